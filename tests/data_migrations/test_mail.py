"""E-mails of a dry run are held back; those of everybody else are sent."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, mail_admins, mail_managers, send_mail, send_mass_mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend as LocMemBackend

from data_migrations.mail import held_mail

ADDRESSES = ("from@example.org", ["to@example.org"])
# Django 6.1 replaces get_connection() and the arguments around it by settings.MAILERS; both have to be held.
pytestmark = pytest.mark.filterwarnings("ignore:.*(get_connection|MAILERS|EMAIL_BACKEND|connection|mailers)")


@pytest.fixture(autouse=True)
def people(settings: Any) -> None:
    settings.ADMINS = ["admin@example.org"] if hasattr(mail, "mailers") else [("Admin", "admin@example.org")]
    settings.MANAGERS = settings.ADMINS


@pytest.fixture(params=["as it is", "MAILERS"])
def mailers(request: pytest.FixtureRequest, settings: Any) -> None:
    """Run with the settings of both: those that Django 5.2 knows, and 6.1's MAILERS."""
    if request.param == "MAILERS":
        if not hasattr(mail, "mailers"):
            pytest.skip("this Django has no MAILERS")
        backend = {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
        settings.MAILERS = {"default": backend, "second": backend}


def message() -> EmailMessage:
    return EmailMessage("Subject", "Text", *ADDRESSES)


@pytest.mark.parametrize(
    ("send", "number"),
    [
        (lambda: message().send(), 1),
        (lambda: EmailMultiAlternatives("Subject", "Text", *ADDRESSES).send(), 1),
        (lambda: send_mail("Subject", "Text", *ADDRESSES), 1),
        (lambda: send_mail("Subject", "Text", *ADDRESSES, html_message="<b>Text</b>"), 1),
        (lambda: send_mass_mail([("Subject", "Text", *ADDRESSES)] * 3), 3),
        (lambda: mail_admins("Subject", "Text"), 1),
        (lambda: mail_managers("Subject", "Text"), 1),
        (lambda: mail.get_connection().send_messages([message(), message()]), 2),
    ],
    ids=[
        "send",
        "alternatives",
        "send_mail",
        "html",
        "send_mass_mail",
        "mail_admins",
        "mail_managers",
        "get_connection",
    ],
)
def test_every_way_of_sending_is_held_and_counted(send: Any, number: int, mailers: None) -> None:
    with held_mail() as held:
        result = send()
    assert mail.outbox == []
    assert held.count == number
    assert result in (None, number)
    send()
    assert len(mail.outbox) == number


def test_a_mailer_chosen_by_name_is_held(settings: Any) -> None:
    if not hasattr(mail, "mailers"):
        pytest.skip("this Django has no MAILERS")
    backend = {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
    settings.MAILERS = {"default": backend, "second": backend}
    with held_mail() as held:
        message().send(using="second")
        mail.mailers["second"].send_messages([message()])
    assert (held.count, mail.outbox) == (2, [])


def test_a_backend_named_by_its_path_is_held() -> None:
    with held_mail() as held:
        mail.get_connection("django.core.mail.backends.locmem.EmailBackend").send_messages([message()])
    assert (held.count, mail.outbox) == (1, [])


def test_a_backend_made_before_is_held() -> None:
    backend = LocMemBackend()
    explicit = EmailMessage("Subject", "Text", *ADDRESSES, connection=backend)
    with held_mail() as held:
        backend.send_messages([message()])
        explicit.send()
    assert (held.count, mail.outbox) == (2, [])


def test_a_backend_imported_only_then_is_held() -> None:
    sent: list[Any] = []
    with held_mail() as held:

        class Late(BaseEmailBackend):
            def send_messages(self, email_messages: Any) -> int:
                sent.extend(email_messages)
                return len(email_messages)

        Late().send_messages([message()])
    assert (held.count, sent) == (1, [])
    Late().send_messages([message()])
    assert len(sent) == 1


def test_a_backend_that_calls_its_parent_is_counted_once() -> None:
    class Child(LocMemBackend):
        def send_messages(self, messages: Any) -> int:
            return super().send_messages(messages)

    with held_mail() as held:
        Child().send_messages([message()])
    assert held.count == 1
    Child().send_messages([message()])
    assert len(mail.outbox) == 1


def test_a_backend_of_no_known_class_is_held() -> None:
    class Duck:
        sent: list[Any] = []

        def send_messages(self, messages: Any) -> int:
            self.sent += messages
            return len(messages)

    duck: Any = Duck()
    explicit = EmailMessage("Subject", "Text", *ADDRESSES, connection=duck)
    with held_mail() as held:
        explicit.send()
    assert (held.count, Duck.sent) == (1, [])
    explicit.send()
    assert len(Duck.sent) == 1


def test_a_message_class_of_ones_own_is_held() -> None:
    class Loud(EmailMessage):
        def send(self, fail_silently: bool = False, **kwargs: Any) -> int:
            return super().send(**kwargs)

    with held_mail() as held:
        Loud("Subject", "Text", *ADDRESSES).send()
    assert (held.count, mail.outbox) == (1, [])


def test_a_message_without_recipients_counts_nothing() -> None:
    with held_mail() as held:
        assert EmailMessage("Subject", "Text", "from@example.org", []).send() == 0
    assert held.count == 0


def test_another_thread_goes_on_sending() -> None:
    with held_mail() as held:
        thread = threading.Thread(target=lambda: message().send())
        thread.start()
        thread.join()
        message().send()
    assert len(mail.outbox) == 1
    assert held.count == 1


def test_after_an_error_mail_is_sent_again() -> None:
    with pytest.raises(ZeroDivisionError), held_mail():
        raise ZeroDivisionError
    message().send()
    assert len(mail.outbox) == 1


def test_holding_inside_holding_counts_by_itself() -> None:
    with held_mail() as outer:
        message().send()
        with held_mail() as inner:
            message().send()
        message().send()
    assert (outer.count, inner.count) == (2, 1)
