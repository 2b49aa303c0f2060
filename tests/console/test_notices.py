"""Which events are told, to whom, and what a notice says."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.core.management import call_command
from django.db import connections, transaction
from django.db.migrations.state import ProjectState
from django.utils import timezone

from console import approval, dispatch, notices, rescue, spool, states, wording, worker
from console.models import Attempt, Notice, Run
from console.states import Status
from data_migrations import clock
from data_migrations.exceptions import MigrationFailed
from data_migrations.utils.migrations import RunDataMigration, run_once
from tests.console.factories import AttemptFactory, RunFactory
from tests.testapp.management.commands.increment import Command as Increment

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

EVERYTHING = dict.fromkeys(("failed", "finished", "waiting", "expired", "stuck"), ("email",))


@pytest.fixture(autouse=True)
def told(settings: Any) -> Any:
    """Everything is told to one address."""
    settings.CONSOLE = {**settings.CONSOLE, "NOTIFY_EMAILS": ["ops@example.com"], "ENVIRONMENT": "production"}
    return settings


def change(settings: Any, **values: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, **values}


def only() -> Notice:
    return Notice.objects.get()


def told_of() -> list[tuple[str, str]]:
    return list(Notice.objects.order_by("pk").values_list("event", "channel"))


def end(run: Run, status: Status = Status.FAILED, **fields: Any) -> bool:
    return states.transition(run.pk, status, expect=Status.RUNNING, finished_at=timezone.now(), **fields)


# Which events


def test_a_failed_run_is_told_once() -> None:
    run = RunFactory.create(running=True)
    assert end(run, error_class="ValueError", error_message="no such row")
    assert not end(run)
    notice = only()
    assert (notice.run, notice.event, notice.channel, notice.tries, notice.sent_at) == (run, "failed", "email", 0, None)
    assert notice.due_at is not None
    notices.tell(Run.objects.get())
    assert Notice.objects.count() == 1


def test_the_notice_is_part_of_the_transaction_of_the_status() -> None:
    run = RunFactory.create(running=True)

    class Undone(Exception):
        pass

    with pytest.raises(Undone), transaction.atomic(using=spool.alias()):
        end(run)
        assert Notice.objects.count() == 1
        raise Undone
    assert not Notice.objects.exists()


def test_a_process_that_ends_between_status_and_notice_leaves_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFactory.create(running=True)

    def killed(*args: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(notices, "_write", killed)
    with pytest.raises(SystemExit):
        end(run)
    run.refresh_from_db()
    assert run.status == Status.RUNNING


def test_a_run_that_took_long_is_told_and_one_that_did_not_is_not(told: Any) -> None:
    long_ago = timezone.now() - timedelta(minutes=10, seconds=1)
    end(RunFactory.create(running=True), Status.SUCCEEDED)
    assert not Notice.objects.exists()
    end(RunFactory.create(running=True, started_at=long_ago), Status.SUCCEEDED, affected_rows=1234)
    assert only().event == "finished"
    assert re.search(r"after 10 m \d\d s", only().text)
    assert "Rows: 1,234" in only().text
    change(told, NOTIFY_FINISHED_MINUTES=None)
    end(RunFactory.create(running=True, started_at=long_ago), Status.SUCCEEDED)
    assert Notice.objects.count() == 1


def test_a_run_that_is_made_to_wait_for_approval_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    save = Run.save

    def as_waiting(self: Run, **kwargs: Any) -> None:
        self.status = Status.WAITING
        self.approval_expires_at = timezone.now() + timedelta(days=1)
        save(self, **kwargs)

    monkeypatch.setattr(Run, "save", as_waiting)
    monkeypatch.setattr(dispatch, "ring_on_commit", lambda pk: None)
    run = dispatch.request_run("increment_items_2026_01_01", user="ana", reason="because")
    notice = only()
    assert (notice.run, notice.event) == (run, "waiting")
    assert "other than ana, opens its page and approves or rejects it" in notice.text
    assert "Until: " in notice.text


def test_an_approval_that_expired_is_told_once() -> None:
    now = timezone.now()
    run = RunFactory.create(status=Status.WAITING, approval_expires_at=now - timedelta(minutes=1))
    later = RunFactory.create(status=Status.WAITING, approval_expires_at=now + timedelta(hours=1))
    assert approval.expire(now) == 1
    assert approval.expire(now) == 0
    notice = only()
    assert (notice.event, notice.channel, notice.run_id) == ("expired", "email", run.pk)
    assert notice.subject == "[production] Approval expired: increment_items_2026_01_01"
    assert "was cancelled, for nobody approved it in time." in notice.text
    assert "What to do: ask for it again where it is still wanted" in notice.text
    assert run.approval_expires_at is not None
    assert f"Until: {timezone.localtime(clock.aware(run.approval_expires_at)):%Y-%m-%d}" in notice.text
    # Withdrawn, or rejected, in time: somebody knows.
    states.transition(later.pk, Status.CANCELLED, expect=Status.WAITING, finished_at=now, note="Withdrawn.")
    assert only() == notice


def test_an_approval_that_expired_goes_where_the_site_has_it(told: Any) -> None:
    change(told, NOTIFY={"waiting": ["email"]})
    RunFactory.create(status=Status.WAITING, approval_expires_at=timezone.now())
    approval.expire(timezone.now())
    assert told_of() == []


def test_a_cancelled_a_paused_and_a_short_run_are_not_told() -> None:
    for status in (Status.CANCELLED, Status.PAUSED, Status.SUCCEEDED, Status.ENQUEUED, Status.INTERRUPTED):
        end(RunFactory.create(running=True), status)
    assert not Notice.objects.exists()


def test_a_run_that_fails_in_a_worker_is_told_with_its_error() -> None:
    run = dispatch.request_run("failing_2026_01_03", user="ana", reason="for the test")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    notice = only()
    assert notice.subject == f"[production] Failed: {run.migration}"
    assert run.error_message.splitlines()[0] in notice.text
    assert "Traceback" not in notice.text


def failing_in_a_command() -> None:
    call_command("failing", stdout=io.StringIO(), stderr=io.StringIO())


def failing_in_code() -> None:
    with run_once("by_code_2026_01_01"):
        raise ValueError("not as expected")


def failing_in_migrate() -> None:
    operation = RunDataMigration("failing")
    with connections["default"].schema_editor() as editor:
        state = ProjectState.from_apps(apps)
        operation.database_forwards("testapp", editor, state, state)


@pytest.mark.parametrize(
    ("fail", "door"), [(failing_in_a_command, "code"), (failing_in_migrate, "migrate"), (failing_in_code, "code")]
)
def test_a_run_that_fails_elsewhere_is_told(told: Any, fail: Callable[[], None], door: str) -> None:
    change(told, RECORD=True)
    with pytest.raises((MigrationFailed, ValueError), match="not as expected"):
        fail()
    # Within a transaction of the caller's nobody waits until it is stored.
    for _ in range(500):
        if Notice.objects.exists():
            break
        time.sleep(0.02)
    run = Run.objects.get()
    assert (run.door, run.status) == (door, Status.FAILED)
    assert only().run == run
    assert "not as expected" in only().text
    assert "run it again the way it was started" in only().text


# Stuck


def interrupted(**fields: Any) -> Run:
    run = RunFactory.create(
        running=True,
        **{"heartbeat_at": timezone.now() - timedelta(minutes=5), "atomic": False, "begun": True, **fields},
    )
    AttemptFactory.create(run=run, number=run.attempt, pid_started="1")
    return run


def test_an_interrupted_run_that_nobody_takes_up_is_told_once_for_each_attempt() -> None:
    run = interrupted()
    rescue.sweep()
    assert Run.objects.get().status == Status.INTERRUPTED
    for _ in range(3):
        assert notices.tell_stuck(timezone.now()) == 1
    assert told_of() == [("stuck", "email")]
    assert "is not taken up again by itself" in only().text
    assert "It is not atomic and its work had begun" in only().text
    Run.objects.update(attempt=2)
    Attempt.objects.create(run=run, number=2)
    notices.tell_stuck(timezone.now())
    assert len(told_of()) == 2


def test_a_run_that_is_taken_up_again_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescue.queue, "ring", lambda pk: None)
    interrupted(atomic=True)
    rescue.sweep()
    assert Run.objects.get().status == Status.ENQUEUED
    assert notices.tell_stuck(timezone.now()) == 0
    # But when no worker comes, it is.
    assert notices.tell_stuck(timezone.now() + timedelta(minutes=11)) == 1
    assert "see that a worker runs" in only().text


def test_a_run_that_waits_behind_another_one_is_not_stuck() -> None:
    RunFactory.create(enqueued_at=timezone.now() - timedelta(hours=1))
    busy = RunFactory.create(running=True)
    assert notices.tell_stuck(timezone.now()) == 0
    end(busy, Status.CANCELLED)
    assert notices.tell_stuck(timezone.now()) == 1


def test_a_run_whose_time_has_come_and_that_nothing_begins_is_told() -> None:
    run = RunFactory.create(status=Status.SCHEDULED, start_at=timezone.now() - timedelta(minutes=9))
    assert notices.tell_stuck(timezone.now()) == 0
    assert notices.tell_stuck(timezone.now() + timedelta(minutes=2)) == 1
    assert only().run == run
    assert "nothing has begun it" in only().text


def test_a_run_that_is_silent_and_could_not_be_interrupted_is_told() -> None:
    run = RunFactory.create(running=True, heartbeat_at=timezone.now() - timedelta(seconds=179))
    assert notices.tell_stuck(timezone.now()) == 0
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=190))
    assert notices.tell_stuck(timezone.now()) == 1
    assert "gives no sign of life" in only().text


def test_what_was_interrupted_long_ago_is_no_news() -> None:
    run = RunFactory.create(running=True, heartbeat_at=timezone.now() - timedelta(days=9))
    attempt = AttemptFactory.create(run=run)
    Run.objects.update(status=Status.INTERRUPTED)
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=timezone.now() - timedelta(days=8))
    assert notices.tell_stuck(timezone.now()) == 0
    # A weekend without a worker: it was noticed today.
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=timezone.now())
    assert notices.tell_stuck(timezone.now()) == 1


# To whom


def test_each_event_has_its_own_channels(told: Any) -> None:
    change(told, NOTIFY={"failed": ["email", "chat", "email"]}, NOTIFY_URLS={"chat": "json://127.0.0.1"})
    end(RunFactory.create(running=True))
    assert told_of() == [("failed", "email"), ("failed", "chat")]
    RunFactory.create(enqueued_at=timezone.now() - timedelta(hours=1))
    notices.tell_stuck(timezone.now())
    assert len(told_of()) == 2


def test_without_anybody_to_tell_nothing_is_written(told: Any) -> None:
    change(told, NOTIFY_EMAILS=())
    end(RunFactory.create(running=True))
    assert not Notice.objects.exists()


def test_the_requester_is_told_only_where_it_is_a_user(told: Any) -> None:
    change(told, NOTIFY={"failed": ["requester"]})
    end(RunFactory.create(running=True, door="run"))
    assert told_of() == []
    end(RunFactory.create(running=True, requested_by_pk="7"))
    assert told_of() == [("failed", "requester")]


def test_a_command_chooses_its_own_channels(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change(told, NOTIFY_URLS={"chat": "json://127.0.0.1"})
    monkeypatch.setattr(Increment, "notify", {"failed": ["chat"], "waiting": []})
    end(RunFactory.create(running=True))
    assert told_of() == [("failed", "chat")]
    notices.tell(RunFactory.create(status=Status.WAITING))
    assert len(told_of()) == 1
    # What it does not name is as the site has it.
    end(RunFactory.create(running=True, started_at=timezone.now() - timedelta(hours=1)), Status.SUCCEEDED)
    assert told_of()[1] == ("finished", "email")


# Never in the way


def test_an_error_of_ours_does_not_keep_the_status_from_being_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> str:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(wording, "text", broken)
    run = RunFactory.create(running=True)
    assert end(run)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "a mistake" in caplog.text


def test_an_error_of_the_database_does_not_spoil_the_transaction_around(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        Notice.objects.create(event="failed", channel="email", once_key="half done", subject="", text="")
        with connections[spool.alias()].cursor() as cursor:
            cursor.execute("SELECT * FROM there_is_no_such_table")

    monkeypatch.setattr(notices, "_write", broken)
    run = RunFactory.create(running=True)
    with transaction.atomic(using=spool.alias()):
        assert end(run)
        Run.objects.filter(pk=run.pk).update(note="afterwards")
    run.refresh_from_db()
    assert (run.status, run.note) == (Status.FAILED, "afterwards")
    assert not Notice.objects.exists()


# What it says


def written(**fields: Any) -> Notice:
    notices.tell(RunFactory.create(finished=True, **{"status": Status.FAILED, "begun": True, **fields}))
    return Notice.objects.latest("pk")


def test_a_notice_says_what_where_who_why_and_what_next() -> None:
    run = RunFactory.create(
        running=True,
        status=Status.FAILED,
        error_class="ValueError",
        error_message="no such row\nin table x",
        begun=True,
    )
    notices.tell(run)
    assert only().subject == "[production] Failed: increment_items_2026_01_01"
    text = only().text
    assert text.startswith("The data migration increment_items_2026_01_01 failed.\n\nEnvironment: production\n")
    for part in (
        "Database: default",
        f"Run: {run.pk}",
        "by ana, through the console",
        "Reason: for the test",
        "Process: elsewhere, pid 4711",
        "Error: ValueError: no such row\n    in table x\n",
        "What to do: nothing of it was kept. Read the error",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "dry_run"}, "a dry run keeps nothing"),
        ({"in_batches": True}, "its finished batches are kept"),
        ({"begun": False}, "nothing was changed"),
        ({"atomic": False}, "a part of its work may be there"),
        ({"kind": "reverse"}, "The reversal of the data migration"),
    ],
)
def test_it_says_what_was_kept(fields: dict[str, Any], words: str) -> None:
    assert words in written(**fields).text


def test_the_link_is_absolute_and_never_guessed(told: Any) -> None:
    run = RunFactory.create()
    assert wording.link(run.pk) == ""
    change(told, SITE_URL="https://admin.example.com/shop/")
    assert wording.link(run.pk) == f"https://admin.example.com/shop/admin/console/run/{run.pk}/change/"
    assert wording.link(None) == ""


def test_a_site_whose_pages_cannot_be_found_gets_a_notice_without_a_link(told: Any) -> None:
    change(told, SITE_URL="https://admin.example.com")
    told.ROOT_URLCONF = "tests.testapp.models"
    assert wording.link(1) == ""


def test_line_breaks_and_control_characters_reach_no_header_and_forge_no_line() -> None:
    nasty = "x\r\nBcc: eve@example.com\x1b[31m\u202e"
    notice = written(
        migration=nasty, reason=f"why\nWhat to do: nothing{nasty}", error_message="a\rWhat to do: b\x85Run: none"
    )
    assert notice.subject == "[production] Failed: x Bcc: eve@example.com [31m"
    lines = notice.text.split("\n")
    assert not [line for line in lines if line.startswith(("Bcc", "What to do: b", "Run: none"))]
    assert len([line for line in lines if line.startswith("What to do:")]) == 1
    assert not {"\r", "\x1b", "\u202e", "\x85"} & set(notice.text)
    assert "\0" not in wording.line("a\0b") + wording.block("a\0b")
    mail.EmailMessage(notice.subject, notice.text, None, ["ops@example.com"]).message()


def test_secrets_are_masked(settings: Any) -> None:
    settings.DATA_MIGRATIONS = {"MASK": [r"sk_\w+"]}
    notice = written(reason="with sk_live_1", error_message="bad key sk_live_2", host="sk_host")
    assert "sk_" not in notice.text
    assert notice.text.count("***") >= 3


def test_arguments_and_log_lines_are_not_in_it() -> None:
    notice = written(arguments={"customer": "Ana Ng"}, traceback="File x, line 3", result="said in the log")
    for secret in ("Ana Ng", "line 3", "said in the log"):
        assert secret not in notice.text


def test_what_is_long_is_cut() -> None:
    notice = written(migration="m" * 190, reason="r" * 9000, error_message="e" * 9000)
    assert len(notice.subject) <= 200
    assert len(notice.text) < 4000
    assert "…" in notice.text
