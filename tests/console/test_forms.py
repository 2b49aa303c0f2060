"""From the form to a run: typed fields, confirm, once only, sealed secrets, marks with a reason."""

from __future__ import annotations

import argparse
import base64
import re
import time
from datetime import timedelta
from html import unescape

import pytest
from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from console import sealing, tickets
from console.forms import RunForm, field_for
from console.models import Run
from data_migrations import ledger, registry
from data_migrations.arguments import Argument
from data_migrations.exceptions import WrongValue
from data_migrations.models import QuarantinedRow
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, a_run, address, person, run_address

pytestmark = pytest.mark.django_db(databases="__all__")

ARGUMENTS = "with_arguments_2026_01_09"
ASKED = {"kind": "run", "database": "default", "reason": "the ticket says so"}


@pytest.fixture(autouse=True)
def rung(monkeypatch) -> list[int]:
    """The runs that the bell was rung for; no queue is needed."""
    rings: list[int] = []
    monkeypatch.setattr("console.queue.ring", rings.append)
    return rings


def applied(name: str = INCREMENT) -> None:
    ledger.record(name, using="default", by="ben", door=Door.SHELL)


def ticket_of(response) -> str:
    assert response.status_code == 200
    found = re.search(r'name="ticket" value="([^"]+)"', response.content.decode())
    assert found is not None, unescape(response.content.decode())
    return found[1]


def confirmed(client: Client, name: str = INCREMENT, **asked: object) -> str:
    return ticket_of(client.post(address("run", name), {**ASKED, **asked}))


def test_form_confirm_start_leads_to_the_run(
    client_of_ana: Client, rung: list[int], django_capture_on_commit_callbacks
):
    assert "Go on to confirm" in client_of_ana.get(address("run")).content.decode()
    ticket = confirmed(client_of_ana)
    assert not Run.objects.exists()
    with django_capture_on_commit_callbacks(using=Run.objects.db, execute=True):
        response = client_of_ana.post(address("start"), {"ticket": ticket})
    run = Run.objects.get()
    assert response.status_code == 302
    assert response["Location"] == run_address(run)
    assert (run.migration, run.kind, run.status, run.requested_by) == (INCREMENT, "run", "enqueued", "ana")
    assert run.reason == "the ticket says so"
    assert rung == [run.pk]


def test_a_double_click_starts_one_run(client_of_ana: Client):
    ticket = confirmed(client_of_ana)
    first = client_of_ana.post(address("start"), {"ticket": ticket})
    second = client_of_ana.post(address("start"), {"ticket": ticket})
    assert Run.objects.count() == 1
    assert first["Location"] == second["Location"]


def test_a_double_click_after_the_run_has_ended_starts_nothing_either(client_of_ana: Client):
    ticket = confirmed(client_of_ana)
    first = client_of_ana.post(address("start"), {"ticket": ticket})
    Run.objects.update(status="succeeded")
    applied()
    assert client_of_ana.post(address("start"), {"ticket": ticket})["Location"] == first["Location"]
    assert Run.objects.count() == 1


def test_get_starts_nothing(client_of_ana: Client):
    assert client_of_ana.get(address("start")).status_code == 405
    assert not Run.objects.exists()


def test_a_reason_is_required(client_of_ana: Client):
    html = client_of_ana.post(address("run"), {**ASKED, "reason": "  "}).content.decode()
    assert "This field is required" in html
    assert 'name="ticket"' not in html


def test_a_dry_run_needs_no_reason(client_of_ana: Client, django_capture_on_commit_callbacks):
    ticket = confirmed(client_of_ana, kind="dry_run", reason="")
    with django_capture_on_commit_callbacks(using=Run.objects.db, execute=True):
        client_of_ana.post(address("start"), {"ticket": ticket})
    run = Run.objects.get()
    assert (run.kind, run.reason) == ("dry_run", "")


@pytest.mark.parametrize(("kind", "needed"), [("dry_run", False), ("run", True), ("nonsense", True)])
def test_the_form_marks_the_reason_as_needed_where_it_is(client_of_ana: Client, kind: str, needed: bool):
    html = client_of_ana.get(address("run", kind=kind)).content.decode()
    assert ('<label for="id_reason" class="required">' in html) is needed
    assert "(required, except for a dry run)" in html


@pytest.mark.parametrize(("kind", "needed"), [("dry_run", False), ("run", True)])
def test_the_form_says_from_the_beginning_when_a_reason_is_required(client_of_ana: Client, kind: str, needed: bool):
    applied()
    html = client_of_ana.get(address("run", kind=kind)).content.decode()
    reason = re.search(r'<textarea name="reason"[^>]*>', html)
    force = re.search(r'<input type="checkbox" name="force"[^>]*>', html)
    assert reason is not None
    assert force is not None
    assert (" required" in reason[0]) is needed
    # What is chosen may change, so that the words hold for each choice, and the script is told when it is needed.
    assert "Reason <span" in html
    assert ">(required, except for a dry run)</span>" in html
    assert ">(required to run it again)</span>" in html
    assert 'data-needed-for="run"' in reason[0]
    assert 'data-needed-for="run"' in force[0]


def test_where_only_a_dry_run_is_allowed_nothing_is_called_required(db: None):
    client = Client()
    client.force_login(person("dora", "view_run", "dry_run_migration"))
    html = client.get(address("run", kind="dry_run")).content.decode()
    assert "Reason:</label>" in html


def test_every_form_that_requires_a_reason_says_so_and_has_the_browser_hold_to_it(client_of_ana: Client):
    applied()
    permissions = Permission.objects.filter(codename__in=["accept_quarantine", "approve_run"])
    User.objects.get(username="ana").user_permissions.add(*permissions)
    name = "batch_increment_2026_02_01"
    QuarantinedRow.objects.create(name=name, key="7", error="ValueError: no", at=timezone.now())
    waiting = a_run(status="waiting", requested_by="ben", approval_expires_at=timezone.now() + timedelta(days=1))
    pages = {
        "mark": client_of_ana.get(address("mark", ARGUMENTS)),
        "unmark": client_of_ana.get(address("unmark")),
        "many": client_of_ana.post("/admin/console/migration/marking/", {"name": [ARGUMENTS], "action": "mark"}),
        "accept": client_of_ana.get(address("accept", name)),
        "reject": client_of_ana.get(run_address(waiting, "reject")),
    }
    for page, response in pages.items():
        html = response.content.decode()
        form = html[
            html.index('class="console-form"') - 200 : html.index("</form>", html.index('class="console-form"'))
        ]
        assert "novalidate" not in form, page
        assert re.search(r'<textarea name="(reason|note)"[^>]* required', form), page
        assert ">(required)</span>" in form, page
    # Whoever approves may say something.
    html = client_of_ana.get(run_address(waiting, "approve")).content.decode()
    assert "(required" not in html


def test_running_again_begins_with_the_reason_and_the_arguments_of_the_run(client_of_ana: Client):
    client_of_ana.post(address("start", ARGUMENTS), {"ticket": confirmed(client_of_ana, ARGUMENTS, **VALUES)})
    run = Run.objects.get()
    Run.objects.update(status="failed", finished_at=timezone.now())
    page = unescape(client_of_ana.get(run_address(run)).content.decode())
    found = re.search(r'<li><a href="([^"]+)">Run again…</a>', page)
    assert found is not None
    response = client_of_ana.get(found[1])
    form: RunForm = response.context["form"]
    shown = {name: form[name].value() for name in form.fields if name.startswith("arg-")}
    assert form["reason"].value() == ASKED["reason"]
    assert shown["arg-country"] == "-de"
    assert (shown["arg-count"], shown["arg-tag"], shown["arg-pair"]) == (7, "one\ntwo", "1\n2")
    html = unescape(response.content.decode())
    assert f"run {run.pk}</a>" in html
    assert "To be given anew: password." in html
    assert "********" not in html
    # All of it goes through as it stands.
    again = confirmed(client_of_ana, ARGUMENTS, **{**shown, "arg-loud": "on", "arg-password": "x"})
    client_of_ana.post(address("start", ARGUMENTS), {"ticket": again})
    second = Run.objects.first()
    assert second is not None
    assert second.pk != run.pk
    assert second.arguments == run.arguments


def test_running_again_shows_no_arguments_to_those_who_may_not_see_them(client_of_ana: Client):
    run = a_run(migration=ARGUMENTS, arguments={"country": "de", "extra": "text"}, status="failed")
    url = f"{address('run', ARGUMENTS)}?again={run.pk}"
    assert client_of_ana.get(url).context["form"]["arg-extra"].value() == '"text"'
    client = Client()
    client.force_login(person("rita", "view_run", "run_migration"))
    response = client.get(url)
    assert response.context["form"]["arg-country"].value() is None
    assert response.context["form"]["reason"].value() == "because"
    assert "You may not see its arguments" in response.content.decode()
    # Nor is anything taken from another data migration's run, or from none.
    for wrong in (a_run(reason="another").pk, 4711, "x", ""):
        form = client_of_ana.get(f"{address('run', ARGUMENTS)}?again={wrong}").context["form"]
        assert form["reason"].value() is None


def test_the_source_changed_between_form_and_confirm_is_shown_again(client_of_ana: Client, monkeypatch):
    ticket = confirmed(client_of_ana)
    # A deploy in between: the web server that answers now has loaded other code.
    monkeypatch.setattr(registry, "checksum", lambda module: "0" * 64)
    response = client_of_ana.post(address("start"), {"ticket": ticket})
    assert "Its source was changed" in response.content.decode()
    assert not Run.objects.exists()
    # Confirmed once more, it starts.
    client_of_ana.post(address("start"), {"ticket": ticket_of(response)})
    assert Run.objects.count() == 1


def test_a_ticket_of_somebody_else_starts_nothing(client_of_ana: Client):
    ticket = confirmed(client_of_ana)
    other = Client()
    other.force_login(User.objects.create_superuser("root"))
    assert other.post(address("start"), {"ticket": ticket})["Location"] == address("run")
    assert not Run.objects.exists()


def test_a_ticket_for_another_migration_or_a_forged_one_starts_nothing(client_of_ana: Client):
    ticket = confirmed(client_of_ana)
    other = client_of_ana.post(address("start", "failing_2026_01_03"), {"ticket": ticket})
    assert other.status_code == 302
    client_of_ana.post(address("start"), {"ticket": ticket[:-4] + "AAAA"})
    client_of_ana.post(address("start"), {"ticket": ""})
    assert not Run.objects.exists()


def test_an_old_ticket_starts_nothing(client_of_ana: Client, monkeypatch):
    ticket = confirmed(client_of_ana)
    now = time.time()
    monkeypatch.setattr("console.tickets.time.time", lambda: now + tickets.LIFETIME_SECONDS + 1)
    response = client_of_ana.post(address("start"), {"ticket": ticket}, follow=True)
    assert "too old" in response.content.decode()
    assert not Run.objects.exists()


def test_what_became_applied_meanwhile_is_not_started(client_of_ana: Client):
    ticket = confirmed(client_of_ana)
    applied()
    response = client_of_ana.post(address("start"), {"ticket": ticket}, follow=True)
    assert "Nothing was started. It is applied already" in response.content.decode()
    assert not Run.objects.exists()


def test_an_applied_one_needs_force(client_of_ana: Client):
    applied()
    html = client_of_ana.post(address("run"), ASKED).content.decode()
    assert "Tick this to run it again" in html
    client_of_ana.post(address("start"), {"ticket": confirmed(client_of_ana, force="on")})
    assert Run.objects.get().force is True


def test_a_dry_run_of_an_applied_one_needs_none(client_of_ana: Client):
    applied()
    client_of_ana.post(address("start"), {"ticket": confirmed(client_of_ana, kind="dry_run")})
    run = Run.objects.get()
    assert (run.kind, run.force) == ("dry_run", False)


def test_reverse_is_offered_only_where_it_can(client_of_ana: Client):
    assert 'value="reverse"' not in client_of_ana.get(address("run")).content.decode()
    name = "reversible_v2_2026_01_06"
    assert 'value="reverse"' in client_of_ana.get(address("run", name)).content.decode()
    html = client_of_ana.post(address("run", name), {**ASKED, "kind": "reverse"}).content.decode()
    assert "nothing to reverse" in html


def test_a_second_run_is_refused_while_one_is_active(client_of_ana: Client):
    ticket = confirmed(client_of_ana)
    run = a_run(status="running", finished_at=None)
    response = client_of_ana.post(address("start"), {"ticket": ticket}, follow=True)
    assert f"Nothing was started. Run {run.pk} of it is running" in response.content.decode()
    assert Run.objects.count() == 1


VALUES = {
    "arg-country": "-de",
    "arg-count": "7",
    "arg-ratio": "0.5",
    "arg-mode": "fast",
    "arg-loud": "on",
    "arg-since": "2026-01-02",
    "arg-tag": "one\n two \n\n",
    "arg-pair": "1\n2",
    "arg-extra": '{"a": 1}',
    "arg-password": " hunter2 ",
}


def test_every_kind_of_argument_travels_typed(client_of_ana: Client):
    ticket = confirmed(client_of_ana, ARGUMENTS, **VALUES)
    client_of_ana.post(address("start", ARGUMENTS), {"ticket": ticket})
    run = Run.objects.get()
    values = sealing.unseal(run.sealed_arguments)
    assert values == {
        "country": "-de",
        "count": 7,
        "ratio": 0.5,
        "mode": "fast",
        "loud": True,
        "since": "2026-01-02",
        "tag": ["one", "two"],
        "pair": ["1", "2"],
        "extra": '{"a": 1}',
        "password": " hunter2 ",
    }


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("arg-country", "", "This field is required"),
        ("arg-count", "seven", "Enter a whole number"),
        ("arg-ratio", "much", "Enter a number"),
        ("arg-mode", "slow", "Select a valid choice"),
        ("arg-since", "yesterday", "“yesterday” is not a date such as 2026-11-22."),
        ("arg-pair", "1", "It takes 2 values, not 1."),
        ("arg-pair", "1\nx", "“x” is not a whole number."),
        ("arg-extra", "{", "valid JSON"),
    ],
)
def test_what_the_command_would_not_take_is_said_in_the_form(client_of_ana: Client, field: str, value: str, words: str):
    response = client_of_ana.post(address("run", ARGUMENTS), {**ASKED, **VALUES, field: value})
    html = unescape(response.content.decode())
    # At its field, and only there.
    (said,) = response.context["form"].errors[field]
    assert words in said
    assert len(response.context["form"].errors) == 1
    assert words in html
    assert html.count("Nothing was ") == 1
    assert 'name="ticket"' not in html
    assert "hunter2" not in html


def test_an_argument_is_not_looked_at_through_what_else_is_missing(client_of_ana: Client):
    response = client_of_ana.post(
        address("run", ARGUMENTS), {**ASKED, **VALUES, "reason": "", "arg-since": "yesterday"}
    )
    errors = response.context["form"].errors
    # All that is wrong is said at once.
    assert set(errors) == {"reason", "arg-since"}


def test_what_cannot_be_asked_for_any_more_is_said_once(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch):
    ticket = confirmed(client_of_ana, ARGUMENTS, **VALUES)

    def refuse(*args: object, **kwargs: object) -> None:
        raise WrongValue("since", "“x” is not a date.")

    monkeypatch.setattr("console.dispatch.request_run", refuse)
    response = client_of_ana.post(address("start", ARGUMENTS), {"ticket": ticket}, follow=True)
    html = unescape(response.content.decode())
    assert "Argument 'since': “x” is not a date. Nothing was run." in html
    assert html.count("Nothing was ") == 1


def test_a_sensitive_value_is_never_in_clear_on_the_way(client_of_ana: Client, caplog):
    response = client_of_ana.post(address("run", ARGUMENTS), {**ASKED, **VALUES})
    html = response.content.decode()
    assert "hunter2" not in html
    ticket = ticket_of(response)
    assert b"hunter2" not in base64.urlsafe_b64decode(ticket + "==")
    started = client_of_ana.post(address("start", ARGUMENTS), {"ticket": ticket})
    assert "hunter2" not in started["Location"]
    page = client_of_ana.get(started["Location"]).content.decode()
    assert "hunter2" not in page
    assert "********" in page
    assert "hunter2" not in caplog.text
    run = Run.objects.values().get()
    assert "hunter2" not in str(run)


def test_going_back_keeps_what_was_filled_in_but_the_sensitive(client_of_ana: Client):
    ticket = confirmed(client_of_ana, ARGUMENTS, **VALUES)
    response = client_of_ana.post(address("run", ARGUMENTS), {"ticket": ticket})
    form: RunForm = response.context["form"]
    assert form["arg-count"].value() == 7
    assert form["reason"].value() == ASKED["reason"]
    html = response.content.decode()
    assert "the ticket says so" in html
    assert "one\ntwo" in html
    assert "hunter2" not in html


def test_confirm_shows_environment_parameters_and_last_failure(client_of_ana: Client, settings):
    settings.CONSOLE = {**settings.CONSOLE, "ENVIRONMENT": "Production"}
    message = f"{ARGUMENTS} failed: ValueError: no such country\nNothing was kept."
    failed = a_run(migration=ARGUMENTS, status="failed", error_class="builtins.ValueError", error_message=message)
    html = client_of_ana.post(address("run", ARGUMENTS), {**ASKED, **VALUES}).content.decode()
    assert "<strong>Production</strong>" in html
    assert "console-environment-red" in html
    assert "<code>count</code> = <code>7</code>" in html
    assert "default" not in html.split("<dt>Parameters</dt>")[1].split("</dd>")[0]
    assert run_address(failed) in html
    assert ": ValueError: no such country</dd>" in html
    assert "No, take me back" in html


def test_confirm_tells_no_failure_that_was_mended_since(client_of_ana: Client):
    a_run(status="failed", error_message="no such country", requested_at=timezone.now() - timedelta(hours=1))
    assert "Last failure" in client_of_ana.post(address("run"), ASKED).content.decode()
    a_run()
    assert "Last failure" not in client_of_ana.post(address("run"), ASKED).content.decode()


def test_confirm_tells_of_no_dry_run_that_was_before_the_last_run(client_of_ana: Client):
    none = "None of this code with these parameters since it was last done."
    assert none in client_of_ana.post(address("run"), ASKED).content.decode()
    dry = a_run(kind="dry_run", checksum=registry.get(INCREMENT).checksum, arguments={})
    html = client_of_ana.post(address("run"), ASKED).content.decode()
    assert run_address(dry) in html
    assert none not in html
    # One that found nothing to do changed nothing.
    a_run(note="Already applied: nothing was done.")
    assert run_address(dry) in client_of_ana.post(address("run"), ASKED).content.decode()
    a_run()
    assert none in client_of_ana.post(address("run"), ASKED).content.decode()


def test_confirm_says_what_is_taken_for_what_was_left_empty(client_of_ana: Client):
    html = client_of_ana.post(address("run", ARGUMENTS), {**ASKED, "arg-country": "de"}).content.decode()
    shown = html.split("<dt>Parameters</dt>")[1].split("</dd>")[0]
    assert "<code>country</code> = <code>de</code></li>" in shown
    for name, value in (("count", "3"), ("mode", "safe")):
        words = '<span class="console-quiet">(left empty: its default)</span>'
        assert f"<code>{name}</code> = <code>{value}</code> {words}" in shown
    # What has no default is not there then, either.
    assert "ratio" not in shown
    assert "password" not in shown


@pytest.mark.parametrize(("argument", "empty"), [({"default": "safe"}, False), ({"required": True}, False), ({}, True)])
def test_a_choice_can_be_left_empty_only_where_that_says_something(argument: dict[str, object], empty: bool):
    parser = argparse.ArgumentParser()
    action = parser.add_argument("--mode", choices=["fast", "safe"], **argument)  # type: ignore[arg-type]
    described = Argument(
        dest="mode", flags=("--mode",), help="", kind="choice", choices=("fast", "safe"), default=action.default,
        required=action.required, nargs=None, sensitive=False, action=action,
    )  # fmt: skip
    field = field_for(described)
    assert isinstance(field, forms.ChoiceField)
    assert [label for value, label in field.choices if not value] == (["— (none of them)"] if empty else [])


def test_a_destructive_one_asks_for_its_name(client_of_ana: Client, monkeypatch):
    monkeypatch.setattr(registry.get(INCREMENT).command_class, "destructive", True)
    ticket = confirmed(client_of_ana)
    again = client_of_ana.post(address("start"), {"ticket": ticket, "typed_name": "increment"})
    assert "Type its name exactly" in again.content.decode()
    assert not Run.objects.exists()
    client_of_ana.post(address("start"), {"ticket": ticket_of(again), "typed_name": INCREMENT})
    assert Run.objects.count() == 1


def test_the_database_of_the_form_is_the_one_that_is_asked(client_of_ana: Client):
    applied()
    ticket = confirmed(client_of_ana, database="other")
    client_of_ana.post(address("start"), {"ticket": ticket})
    assert Run.objects.get().database == "other"


def test_mark_and_unmark_with_a_reason(client_of_ana: Client):
    html = client_of_ana.get(address("mark")).content.decode()
    assert f"Mark {INCREMENT} as applied?" in html
    assert not ledger.is_applied(INCREMENT, "default")
    assert "This field is required" in client_of_ana.post(address("mark"), {"confirmed": "1"}).content.decode()
    assert not ledger.is_applied(INCREMENT, "default")
    response = client_of_ana.post(address("mark"), {"confirmed": "1", "reason": "done by hand"})
    assert response["Location"] == address("change")
    assert ledger.is_applied(INCREMENT, "default")
    marked = Run.objects.get()
    assert (marked.kind, marked.reason, marked.requested_by) == ("mark", "done by hand", "ana")
    client_of_ana.post(address("unmark"), {"confirmed": "1", "reason": "was not done"})
    assert not ledger.is_applied(INCREMENT, "default")
    assert [event.reason for event in ledger.events(INCREMENT, "default")] == ["done by hand", "was not done"]
    assert LogEntry.objects.count() == 2


def test_many_are_marked_at_once_and_those_that_cannot_are_left_out_with_the_reason(client_of_ana: Client):
    applied()
    names = [INCREMENT, "failing_2026_01_03", "noisy_2026_01_08"]
    asked = {"name": names, "action": "mark", "back": "/admin/console/migration/?state=pending"}
    page = client_of_ana.post("/admin/console/migration/marking/", asked)
    html = page.content.decode()
    assert "Mark 2 data migrations as applied?" in html
    assert f"{INCREMENT}: It is applied already." in html
    assert not Run.objects.exists()
    response = client_of_ana.post(
        "/admin/console/migration/marking/", {**asked, "name": names[1:], "confirmed": "1", "reason": "a fresh copy"}
    )
    assert response["Location"] == "/admin/console/migration/?state=pending"
    assert sorted(Run.objects.values_list("migration", flat=True)) == names[1:]


def test_bulk_leads_nowhere_else(client_of_ana: Client):
    asked = {"name": [], "action": "mark", "back": "https://elsewhere.example/"}
    response = client_of_ana.post("/admin/console/migration/marking/", asked)
    assert response["Location"] == "/admin/console/migration/"


@pytest.mark.parametrize("action", ["run", "dry_run", "", "delete"])
def test_there_is_no_bulk_run(client_of_ana: Client, action: str):
    asked = {"name": [INCREMENT], "action": action, "confirmed": "1", "reason": "x"}
    assert client_of_ana.post("/admin/console/migration/marking/", asked).status_code == 302
    assert not Run.objects.exists()


def test_cancelling_a_waiting_run(client_of_ana: Client):
    run = a_run(status="enqueued", started_at=None, finished_at=None)
    assert "No worker has taken it yet" in client_of_ana.get(run_address(run, "cancel")).content.decode()
    run.refresh_from_db()
    assert run.status == "enqueued"
    client_of_ana.post(run_address(run, "cancel"))
    run.refresh_from_db()
    assert (run.status, run.control_by) == ("cancelled", "ana")


def test_cancelling_a_running_run_asks_it_to_stop(client_of_ana: Client):
    run = a_run(status="running", finished_at=None)
    client_of_ana.post(run_address(run, "cancel"))
    run.refresh_from_db()
    assert (run.status, run.control) == ("running", "cancel")
    html = client_of_ana.get(run_address(run)).content.decode()
    assert "Cancelling was asked for by ana" in html


def test_a_finished_run_cannot_be_cancelled(client_of_ana: Client):
    run = a_run()
    response = client_of_ana.post(run_address(run, "cancel"), follow=True)
    assert "nothing left to cancel" in response.content.decode()
    run.refresh_from_db()
    assert (run.status, run.control) == ("succeeded", "")


def test_a_second_cancel_does_not_take_over_the_first(client_of_ana: Client):
    run = a_run(status="running", finished_at=None, control="cancel", control_by="ben")
    response = client_of_ana.post(run_address(run, "cancel"), follow=True)
    assert "Cancelling was asked for by ben" in response.content.decode()
    run.refresh_from_db()
    assert run.control_by == "ben"


def test_a_run_from_the_shell_is_not_ours_to_cancel(client_of_ana: Client):
    run = a_run(status="running", finished_at=None, door="shell")
    assert "stop it where it was started" in client_of_ana.get(run_address(run)).content.decode()
    client_of_ana.post(run_address(run, "cancel"))
    run.refresh_from_db()
    assert (run.status, run.control) == ("running", "")
