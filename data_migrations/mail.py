"""Holding e-mails back while a dry run works.

Every way of sending in Django ends in ``EmailMessage.send`` or in the ``send_messages`` of a backend, for Django 5.2's
``get_connection`` and for 6.1's ``mailers`` alike. Both are wrapped once, on the classes, and the wrappers ask a
context variable: other threads of the process go on sending.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMessage


class HeldMail:
    """The e-mails held back so far: ``count`` of them."""

    def __init__(self) -> None:
        self.count = 0


held_here: ContextVar[HeldMail | None] = ContextVar("data_migrations_held_mail", default=None)
_lock = threading.Lock()


@contextmanager
def held_mail() -> Iterator[HeldMail]:
    """Hold back and count every e-mail that this context sends during the block; the sender sees it as sent.

    Covered are ``EmailMessage.send``, ``send_mail``, ``send_mass_mail``, ``mail_admins``, ``mail_managers``, and
    ``send_messages`` of any backend that derives from Django's ``BaseEmailBackend``, however it was obtained.
    Coroutines and tasks of the context are part of it. A thread is not, unless ``held_here`` is set in it: a dry run
    does that for the threads that its body starts. What goes round Django, such as ``smtplib`` or an HTTP service, is
    sent.
    """
    _wrap_all()
    held = HeldMail()
    token = held_here.set(held)
    try:
        yield held
    finally:
        held_here.reset(token)


def _wrap_all() -> None:
    """Wrap the classes there are now; a backend class that is imported later is wrapped when it is made."""
    with _lock:
        if "__init_subclass__" not in BaseEmailBackend.__dict__:

            def wrap_new(cls: type[BaseEmailBackend], **kwargs: Any) -> None:
                super(BaseEmailBackend, cls).__init_subclass__(**kwargs)
                _wrap(cls, "send_messages", _send_messages)

            BaseEmailBackend.__init_subclass__ = classmethod(wrap_new)  # type: ignore[assignment]
        classes: list[type] = [BaseEmailBackend, EmailMessage]
        while classes:
            cls = classes.pop()
            if issubclass(cls, EmailMessage):
                _wrap(cls, "send", _send)
            else:
                _wrap(cls, "send_messages", _send_messages)
            classes.extend(cls.__subclasses__())


def _wrap(cls: type, name: str, hold: Callable[..., int]) -> None:
    original = cls.__dict__.get(name)
    if not callable(original) or hasattr(original, "_holds_mail"):
        return

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        held = held_here.get()
        if held is None:
            return original(self, *args, **kwargs)
        return hold(held, self, *args)

    wrapper._holds_mail = True  # type: ignore[attr-defined]
    setattr(cls, name, wrapper)


def _send(held: HeldMail, message: EmailMessage, *args: Any) -> int:
    # As Django does: what has no recipients is not sent.
    if not message.recipients():
        return 0
    held.count += 1
    return 1


def _send_messages(held: HeldMail, backend: Any, email_messages: Any) -> int:
    number = sum(1 for message in email_messages if message.recipients())
    held.count += number
    return number
