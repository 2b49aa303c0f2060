"""The pages of what begins later: the form's "Start at", the daily window, and a second person's decision."""

from __future__ import annotations

import html
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console import dispatch
from console.models import Run
from console.states import Status
from data_migrations import clock, ledger, registry
from data_migrations.models import Checkpoint
from data_migrations.reporting import Door
from tests.console.pages import EVERYTHING, INCREMENT, address, person, run_address
from tests.console.test_forms import ASKED, ticket_of
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__")

BATCHED = "batch_increment_2026_02_01"
ARGUMENTS = "with_arguments_2026_01_09"
LIST = "/admin/console/migration/"


@pytest.fixture(autouse=True)
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.queue.ring", lambda run_id: None)
    monkeypatch.setattr("console.queue.ring_at", lambda run_id, when: None)
    monkeypatch.setattr("console.queue.ring_not", lambda run_id: None)


@pytest.fixture
def needs_approval(settings: Any, spool_dir: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": True}


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    times = (f"{now + timedelta(hours=6):%H:%M}", f"{now + timedelta(hours=7):%H:%M}")
    monkeypatch.setattr(registry.get(BATCHED).command_class, "window", times)


@pytest.fixture
def open_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    times = (f"{now - timedelta(hours=1):%H:%M}", f"{now + timedelta(hours=2):%H:%M}")
    monkeypatch.setattr(registry.get(BATCHED).command_class, "window", times)


@pytest.fixture
def bea(db: None) -> Client:
    """A browser of somebody who may approve."""
    return browser("bea", "approve_run")


def browser(name: str, *codenames: str) -> Client:
    client = Client()
    client.force_login(person(name, *EVERYTHING, *codenames))
    return client


def confirmed(client: Client, name: str, data: dict[str, str]) -> tuple[Any, dict[str, str]]:
    """The confirm page for what was filled in, and what its form posts."""
    page = client.post(address("run", name), data)
    return page, {"ticket": ticket_of(page)}


def text(response: Any) -> str:
    """The words of a page, without its marks."""
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())
    return re.sub(r" ([,.;)])", r"\1", words)


def shown(moment: datetime) -> str:
    """As the field of the form takes it."""
    return f"{clock.aware(moment).astimezone(timezone.get_default_timezone()):%Y-%m-%dT%H:%M}"


def in_three_hours() -> datetime:
    return (timezone.now() + timedelta(hours=3)).replace(second=0, microsecond=0)


def waiting(**fields: Any) -> Run:
    """A run of ana's that waits for approval."""
    ana = User.objects.filter(username="ana").first() or person("ana", *EVERYTHING)
    return dispatch.request_run(INCREMENT, user=ana, reason="the report needs it", **fields)


# Start at.


def test_a_run_is_scheduled_from_the_form(client_of_ana: Client) -> None:
    start = in_three_hours()
    page, data = confirmed(client_of_ana, INCREMENT, ASKED | {"start_at": shown(start)})
    assert "Starts in" in text(page)
    assert 'value="Yes, schedule it"' in page.content.decode()
    client_of_ana.post(address("start"), data)
    run = Run.objects.get()
    assert (run.status, run.start_at) == (Status.SCHEDULED, start)
    page = client_of_ana.get(run_address(run))
    assert "It starts in" in text(page)
    assert "Start now…" in text(page)
    assert "Run again…" not in text(page)
    assert f"run {run.pk} starts in" in text(client_of_ana.get(LIST))
    assert f"Run {run.pk} starts in" in text(client_of_ana.get(address("change")))


def test_the_form_names_the_zone_and_the_time_that_it_is(client_of_ana: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    page = text(client_of_ana.get(address("run")))
    assert re.search(r"In the time zone Asia/Kolkata, where it is \d{4}-\d\d-\d\d \d\d:\d\d IST now", page)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("2020-01-01T00:00", "That time is past"),
        ("2999-01-01T00:00", "more than a year ahead"),
        ("9999-12-31T23:59", "more than a year ahead"),
        ("tomorrow", "Write it as"),
    ],
)
def test_a_time_that_will_not_do_is_refused_in_words(client_of_ana: Client, given: str, said: str) -> None:
    page = client_of_ana.post(address("run"), ASKED | {"start_at": given})
    assert said in text(page)
    assert not Run.objects.exists()


def test_a_time_that_passed_while_the_confirm_page_was_open_starts_nothing(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = in_three_hours()
    _, data = confirmed(client_of_ana, INCREMENT, ASKED | {"start_at": shown(start)})
    monkeypatch.setattr("console.views.request.timezone.now", lambda: start + timedelta(minutes=1))
    page = client_of_ana.post(address("start"), data)
    assert "Not possible now: That time is past" in text(page)
    assert not Run.objects.exists()


def test_back_from_the_confirm_page_the_time_is_still_there(client_of_ana: Client) -> None:
    start = in_three_hours()
    _, data = confirmed(client_of_ana, INCREMENT, ASKED | {"start_at": shown(start)})
    page = client_of_ana.post(address("run"), {"ticket": data["ticket"]})
    assert f'value="{shown(start)}"' in page.content.decode()


def test_a_scheduled_run_is_started_now_or_cancelled_from_its_page(client_of_ana: Client) -> None:
    run = waiting(start_at=in_three_hours())
    question = text(client_of_ana.get(run_address(run, "start")))
    assert "It was to start at" in question
    assert "at at" not in question
    client_of_ana.post(run_address(run, "start"))
    run.refresh_from_db()
    assert (run.status, run.note) == (Status.ENQUEUED, "Started by ana before its time.")
    other = waiting(start_at=in_three_hours())
    assert "Its time has not come: it will not be started" in text(client_of_ana.get(run_address(other, "cancel")))
    client_of_ana.post(run_address(other, "cancel"))
    other.refresh_from_db()
    assert other.status == Status.CANCELLED


def test_nobody_starts_it_now_without_the_permission_to_run(viewer: Client) -> None:
    run = waiting(start_at=in_three_hours())
    assert viewer.post(run_address(run, "start")).status_code == 403
    assert "Start now…" not in text(viewer.get(run_address(run)))


def test_beside_a_scheduled_run_only_a_dry_run_can_be_asked_for(client_of_ana: Client) -> None:
    run = waiting(start_at=in_three_hours())
    page = text(client_of_ana.get(address("change")))
    assert f"Run… – Run {run.pk} of it starts at" in page
    assert "Not possible now: Dry run…" not in page


# Daily windows.


def test_the_confirm_page_says_that_the_window_is_closed_and_schedules_for_the_opening(
    client_of_ana: Client, closed: None
) -> None:
    page, data = confirmed(client_of_ana, BATCHED, ASKED)
    assert "It is closed now: the run starts when it opens, in" in text(page)
    assert "Yes, schedule it" in page.content.decode()
    client_of_ana.post(address("start", BATCHED), data)
    run = Run.objects.get()
    assert (run.status, run.ignore_window) == (Status.SCHEDULED, False)
    assert "when its daily window (" in text(client_of_ana.get(run_address(run)))
    assert "it is put aside for this run" in text(client_of_ana.get(run_address(run, "start")))


def test_the_window_can_be_ignored_on_the_confirm_page(client_of_ana: Client, closed: None) -> None:
    _, data = confirmed(client_of_ana, BATCHED, ASKED)
    client_of_ana.post(address("start", BATCHED), data | {"ignore_window": "1"})
    run = Run.objects.get()
    assert (run.status, run.ignore_window) == (Status.ENQUEUED, True)
    assert "put aside for this run" in text(client_of_ana.get(run_address(run)))


def test_an_open_window_is_said_with_its_end(client_of_ana: Client, open_now: None) -> None:
    page, data = confirmed(client_of_ana, BATCHED, ASKED)
    assert "It is open now; when it closes," in text(page)
    client_of_ana.post(address("start", BATCHED), data)
    assert Run.objects.get().status == Status.ENQUEUED


def test_without_a_window_nothing_is_said_of_one(client_of_ana: Client) -> None:
    page, _ = confirmed(client_of_ana, BATCHED, ASKED)
    assert "window" not in text(page)


# Approval.


def test_from_the_form_to_the_second_person(client_of_ana: Client, bea: Client, needs_approval: None) -> None:
    page, data = confirmed(client_of_ana, INCREMENT, ASKED)
    assert "A second person has to approve it, exactly as it stands here, before" in text(page)
    assert 'value="Yes, ask for approval"' in page.content.decode()
    client_of_ana.post(address("start"), data)
    run = Run.objects.get()
    assert run.status == Status.WAITING
    page = client_of_ana.get(run_address(run))
    assert "A second person has to approve it before" in text(page)
    assert "Approve…" not in text(page)
    assert "Approve…" in text(bea.get(run_address(run)))
    page = bea.get(run_address(run, "approve"))
    assert "You approve exactly this" in text(page)
    run.refresh_from_db()
    assert run.status == Status.WAITING
    answer = bea.post(run_address(run, "approve"), {"fingerprint": run.fingerprint, "note": "go"}, follow=True)
    assert "Approved. It waits for a worker." in text(answer)
    run.refresh_from_db()
    assert (run.status, run.decided_by, run.decision_note) == (Status.ENQUEUED, "bea", "go")
    assert "Approved" in text(bea.get(run_address(run)))


def test_what_the_second_person_is_shown(bea: Client, needs_approval: None) -> None:
    ana = person("ana", *EVERYTHING)
    run = dispatch.request_run(
        ARGUMENTS, user=ana, values={"country": "NZ", "password": "secret"}, reason="the report", force=True
    )
    page = text(bea.get(run_address(run, "approve")))
    for words in (
        "ana asked for this",
        "country = NZ",
        "password = ********",
        "the report",
        "Although it is applied already.",
        "as soon as it is approved",
        run.checksum,
        "None of this code in this database.",
        "class Command(IdempotentCommand)",
    ):
        assert words in page
    assert "secret" not in page.replace("secrets", "")


def test_without_the_permission_the_parameters_are_not_shown(needs_approval: None) -> None:
    client = Client()
    client.force_login(person("cleo", "view_run", "approve_run"))
    run = waiting(values={"lines": 4711})
    page = text(client.get(run_address(run, "approve")))
    assert "4711" not in page
    assert "There are some, and you may not see them." in page


def test_rejecting_needs_a_note(bea: Client, needs_approval: None) -> None:
    run = waiting()
    page = bea.post(run_address(run, "reject"), {"note": ""})
    assert "This field is required." in text(page)
    run.refresh_from_db()
    assert run.status == Status.WAITING
    bea.post(run_address(run, "reject"), {"note": "Not today."})
    run.refresh_from_db()
    assert (run.status, run.decision_note) == (Status.CANCELLED, "Not today.")
    said = text(bea.get(run_address(run)))
    assert "Rejected by bea: Not today. Nothing was run." in said
    assert said.count("Not today.") == 1
    # No worker ever had it.
    assert ", through the console" in said
    assert "through worker" not in said


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_only_those_with_the_permission_decide(client_of_ana: Client, needs_approval: None, word: str) -> None:
    run = dispatch.request_run(INCREMENT, user=person("dan"))
    for method in (client_of_ana.get, client_of_ana.post):
        assert method(run_address(run, word)).status_code == 403
    assert Client().post(run_address(run, word)).status_code == 302
    run.refresh_from_db()
    assert run.status == Status.WAITING


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_the_migrations_own_permission_counts(
    bea: Client, needs_approval: None, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(registry.get(INCREMENT).command_class, "permission", "auth.add_user")
    run = waiting()
    assert bea.post(run_address(run, word), {"note": "x", "fingerprint": run.fingerprint}).status_code == 403


@pytest.mark.parametrize("superuser", [False, True])
def test_who_asked_sees_why_they_cannot_decide(needs_approval: None, superuser: bool) -> None:
    client = browser("ana", "approve_run")
    User.objects.update(is_superuser=superuser)
    run = waiting()
    assert "Approve…, Reject… – You asked for it yourself" in text(client.get(run_address(run)))
    assert "You asked for it yourself" in text(client.get(run_address(run, "approve")))
    answer = client.post(run_address(run, "approve"), {"fingerprint": run.fingerprint}, follow=True)
    assert "Nothing was decided. You asked for it yourself" in text(answer)
    run.refresh_from_db()
    assert run.status == Status.WAITING


def test_who_asked_may_withdraw_it_without_the_permission_to_cancel(needs_approval: None) -> None:
    client = Client()
    client.force_login(person("ana", "view_run", "run_migration"))
    run = waiting()
    assert "Cancel…" in text(client.get(run_address(run)))
    client.post(run_address(run, "cancel"))
    run.refresh_from_db()
    assert (run.status, run.control_by) == (Status.CANCELLED, "ana")
    other = dispatch.request_run(INCREMENT, user=person("dan"))
    assert client.post(run_address(other, "cancel")).status_code == 403


def test_approving_something_else_than_what_was_shown_is_refused(bea: Client, needs_approval: None) -> None:
    run = waiting()
    answer = bea.post(run_address(run, "approve"), {"fingerprint": "0" * 64}, follow=True)
    assert "Nothing was decided. It is not what you were shown." in text(answer)


def test_changed_code_is_said_and_not_approved(
    bea: Client, needs_approval: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = waiting()
    monkeypatch.setattr(registry.RegisteredMigration, "checksum", "f" * 64)
    page = text(bea.get(run_address(run, "approve")))
    assert "Not possible now: The code of" in page
    assert "The source is another one now" in page
    assert "Yes, approve it" not in page
    # It can still be rejected.
    assert "Yes, reject it" in bea.get(run_address(run, "reject")).content.decode()


def test_the_list_has_a_filter_with_how_many_wait(client_of_ana: Client, needs_approval: None) -> None:
    assert "Waiting for approval" not in text(client_of_ana.get(LIST))
    run = waiting()
    page = client_of_ana.get(LIST)
    assert "Waiting for approval 1" in text(page)
    assert f"run {run.pk} waits for approval" in text(page)
    rows = re.findall(r'id="row-[^"]*"', client_of_ana.get(f"{LIST}?state=waiting").content.decode())
    assert len(rows) == 1
    change = text(client_of_ana.get(address("change")))
    assert f"Run {run.pk} waits for approval." in change
    assert f"Run… – Run {run.pk} of it waits for approval; have that decided, or cancel it." in change


def test_planned_runs_cost_no_query_each(client_of_ana: Client) -> None:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        captures = [CaptureQueriesContext(connections[alias]) for alias in connections]
        for capture in captures:
            capture.__enter__()
        client_of_ana.get(LIST)
        for capture in captures:
            capture.__exit__(None, None, None)
        return sum(len(capture) for capture in captures)

    first, *others = registry.all_migrations()
    Run.objects.create(migration=first.name, status=Status.SCHEDULED, start_at=in_three_hours())
    client_of_ana.get(LIST)
    before = queries()
    for migration in others:
        Run.objects.create(migration=migration.name, status=Status.SCHEDULED, start_at=in_three_hours())
    assert queries() == before


# Typed confirmation, and the environment.


@pytest.fixture
def applied(db: None) -> None:
    ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL)


@pytest.mark.parametrize(
    ("environment", "color", "asks"),
    [("production", "", True), ("Live", "red", True), ("production", "orange", False), ("staging", "", False)],
)
def test_running_again_in_production_asks_for_the_name(
    client_of_ana: Client, settings: Any, applied: None, environment: str, color: str, asks: bool
) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "ENVIRONMENT": environment, "ENVIRONMENT_COLOR": color}
    page, data = confirmed(client_of_ana, INCREMENT, ASKED | {"force": "on"})
    assert ("It is applied already, and this is production. Type its name" in text(page)) is asks
    again = client_of_ana.post(address("start"), data)
    assert ("Type its name exactly to confirm." in again.content.decode()) is asks
    assert Run.objects.exists() is not asks
    client_of_ana.post(address("start"), data | {"typed_name": INCREMENT})
    assert Run.objects.count() == 1


def test_the_band_is_on_every_page(client_of_ana: Client, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "ENVIRONMENT": "staging", "ENVIRONMENT_COLOR": "orange"}
    run = waiting(start_at=in_three_hours())
    for url in (
        LIST,
        address("change", BATCHED),
        address("run", BATCHED),
        run_address(run),
        run_address(run, "cancel"),
        "/admin/console/run/",
        "/admin/console/health/",
        "/admin/console/schemamigration/",
    ):
        page = client_of_ana.get(url).content.decode()
        assert page.count('class="console-environment console-environment-orange"') == 1, url


# Estimates.


def test_the_confirm_page_says_how_many_rows_and_how_long(client_of_ana: Client) -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(1234)])
    now = timezone.now()
    dry = Run.objects.create(
        migration=BATCHED, kind="dry_run", status="succeeded", estimated_seconds=724, attempt=1, started_at=now,
        finished_at=now,
    )  # fmt: skip
    page, _ = confirmed(client_of_ana, BATCHED, ASKED)
    assert "Rows 1,234" in text(page)
    assert f"about 12 m 04 s (worked out by dry run {dry.pk}," in text(page)
    past = Run.objects.create(
        migration=BATCHED, kind="run", status="succeeded", attempt=1, started_at=now - timedelta(minutes=5),
        finished_at=now,
    )  # fmt: skip
    page, _ = confirmed(client_of_ana, BATCHED, ASKED)
    assert f"about 5 m 00 s (as run {past.pk}," in text(page)


def test_the_confirm_page_says_whose_time_it_is_and_which_pace_goes_on(client_of_ana: Client) -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(10)])
    now = timezone.now()
    Run.objects.create(
        migration=BATCHED, kind="run", status="succeeded", attempt=1, started_at=now - timedelta(minutes=5),
        finished_at=now, arguments={"each": 0.5}, progress_total=5,
    )  # fmt: skip
    page, _ = confirmed(client_of_ana, BATCHED, {**ASKED, "arg-each": "0.5"})
    assert "about 10 m 00 s (worked out from run" in text(page)
    assert "with other parameters" not in text(page)
    assert "Pace" not in text(page)
    Checkpoint.objects.create(
        name=BATCHED, rows=2, total=10, batches=1, started_at=now, updated_at=now, wanted_batch_size=1250,
        wanted_pause=0.5,
    )  # fmt: skip
    page, _ = confirmed(client_of_ana, BATCHED, {**ASKED, "arg-each": "0.1"})
    assert "with other parameters, " in text(page)
    pace = "Pace 1,250 rows in a batch, a pause of 0.5 s between them, as was asked for of an earlier run"
    assert pace in " ".join(text(page).split())


def test_what_cannot_be_estimated_is_left_out_and_fails_nothing(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any) -> Any:
        raise RuntimeError("not here")

    monkeypatch.setattr(registry.get(BATCHED).command_class, "get_queryset", broken)
    page, _ = confirmed(client_of_ana, BATCHED, ASKED)
    assert "Yes, run it" in page.content.decode()
    assert "Rows" not in text(page)
