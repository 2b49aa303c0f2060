"""What a worker does with a message."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from django_q.exceptions import TimeoutException

from console import dispatch, journal, logs, outline, pace, presence, queue, spool, watch, worker
from console.models import Attempt, Run
from console.states import Status
from data_migrations import checkpoints, ledger
from data_migrations.executor import run_command
from data_migrations.rate import Rate
from tests.console.factories import RunFactory, WorkerFactory
from tests.testapp.management.commands.batch_increment import Command
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def items() -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(3)])


def texts(run: Run) -> list[str]:
    return [line.text for line in logs.read(run, limit=5000).lines]


def requested(migration: str, **fields: Any) -> Run:
    return dispatch.request_run(migration, user="ana", reason="for the test", **fields)


def test_a_run_is_carried_out_and_its_end_and_its_log_are_kept() -> None:
    run = requested("increment_items_2026_01_01", values={"lines": 3})
    assert worker.perform(run.pk) is None

    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert (run.attempt, run.result, run.affected_rows) == (1, "3", 3)
    assert run.pid == os.getpid()
    assert run.host
    assert None not in (run.started_at, run.finished_at, run.heartbeat_at)
    assert texts(run) == ["line 0", "line 1", "line 2", "begun", "changed"]
    assert ledger.is_applied("increment_items_2026_01_01", "default")
    record = ledger.get("increment_items_2026_01_01", "default")
    assert record is not None
    assert (record.by, record.door) == ("ana", "worker")
    assert spool.journals() == []


def test_a_message_that_is_delivered_four_times_runs_once() -> None:
    run = requested("increment_items_2026_01_01")
    for _ in range(4):
        worker.perform(run.pk)
    assert set(Item.objects.values_list("amount", flat=True)) == {1}
    assert Attempt.objects.filter(run=run).count() == 1
    assert texts(run) == ["begun", "changed"]


def test_a_second_claim_of_a_run_that_is_being_worked_on_gets_nothing() -> None:
    run = requested("increment_items_2026_01_01")
    first = worker.take(run.pk)
    assert first is not None
    assert first.number == 1
    assert worker.take(run.pk) is None
    assert worker.take(987654) is None


def test_a_run_of_an_applied_migration_succeeds_and_says_so() -> None:
    run_command("increment")
    run = requested("increment_items_2026_01_01")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert "Already applied" in run.note
    assert set(Item.objects.values_list("amount", flat=True)) == {1}


def test_a_failed_run_keeps_error_traceback_and_the_line_where_it_begins() -> None:
    run = requested("failing_2026_01_03")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert run.error_class == "ValueError"
    # What happened, and in a line of its own what is kept; what to do next the page says by its buttons.
    happened, afterwards = run.error_message.splitlines()
    assert happened == "failing_2026_01_03 failed: ValueError: the data is not as expected."
    assert afterwards == "Nothing was kept: its transaction was rolled back. It was not recorded as applied."
    assert "Traceback (most recent call last)" in run.traceback
    lines = logs.read(run).lines
    assert run.error_line is not None
    assert lines[run.error_line - 1].text == "Traceback (most recent call last):"
    assert lines[run.error_line - 1].level == "r"
    assert lines[0].text == "about to fail"
    assert set(Item.objects.values_list("amount", flat=True)) == {0}


def test_a_refused_run_is_failed_with_the_message() -> None:
    run = requested("dependent_2026_01_04")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "depends on" in run.error_message
    assert run.traceback == ""
    assert any("depends on" in text for text in texts(run))


def test_a_dry_run_keeps_what_it_would_change_and_nothing_else() -> None:
    run = requested("increment_items_2026_01_01", kind="dry_run")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert run.changes == [{"table": "testapp_item", "inserted": 0, "updated": 3, "deleted": 0}]
    assert set(Item.objects.values_list("amount", flat=True)) == {0}


def test_the_queues_timeout_is_recorded_and_does_not_leave_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def over_time(self: Any, dry_run: bool = False) -> None:
        raise TimeoutException("Task exceeded maximum timeout value (1 seconds)")

    monkeypatch.setattr("tests.testapp.management.commands.increment.Command.perform_migration", over_time)
    run = requested("increment_items_2026_01_01")
    assert worker.perform(run.pk) is None
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "maximum timeout" in run.error_message


def test_sys_exit_in_a_migration_is_a_failure_of_the_run_and_does_not_leave_the_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leave(self: Any, dry_run: bool = False) -> None:
        raise SystemExit(3)

    monkeypatch.setattr("tests.testapp.management.commands.increment.Command.perform_migration", leave)
    run = requested("increment_items_2026_01_01")
    assert worker.perform(run.pk) is None
    run.refresh_from_db()
    assert run.status == Status.FAILED


def test_an_error_before_the_run_begins_does_not_leave_it_running(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("increment_items_2026_01_01")

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the executor itself is broken")

    monkeypatch.setattr("console.worker.executor.run_command", broken)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "the executor itself is broken" in run.error_message


@pytest.mark.parametrize("error", [SystemExit(2), TimeoutException("over time"), KeyboardInterrupt()])
def test_what_is_no_exception_ends_the_run_too_when_it_comes_outside_of_the_executor(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    run = requested("increment_items_2026_01_01")

    def leave(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("console.worker.executor.run_command", leave)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert run.error_class.endswith(type(error).__name__)


def test_nothing_leaves_the_task_even_when_the_claim_itself_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def leave(run_id: int) -> None:
        raise TimeoutException("over time")

    monkeypatch.setattr("console.worker.take", leave)
    worker.perform(1)
    assert "Run 1 could not be carried out" in caplog.text


def test_that_the_work_has_begun_is_known_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """On disk at once, so that it is known of a process which is killed in its first moment."""
    run = requested("increment_items_loose_2026_01_02")
    seen: list[str] = []

    def look(self: Any, dry_run: bool = False) -> None:
        [path] = spool.journals()
        seen.append(journal.segments(path)[0].read_text())

    monkeypatch.setattr("tests.testapp.management.commands.increment_loose.Command.perform_migration", look)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert '{"kind": "begun"}' in seen[0]
    assert (run.status, run.begun, run.atomic) == (Status.SUCCEEDED, True, False)


def test_a_migration_that_left_the_code_since_it_was_asked_for_fails_with_the_reason() -> None:
    run = RunFactory.create(migration="long_gone_2020_01_01")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "long_gone_2020_01_01" in run.error_message


def test_a_worker_without_a_place_for_the_log_begins_nothing(settings: Any, tmp_path: Any) -> None:
    run = requested("increment_items_2026_01_01")
    (tmp_path / "file").write_text("")
    settings.CONSOLE = {**settings.CONSOLE, "SPOOL_DIR": str(tmp_path / "file")}
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "SPOOL_DIR" in run.error_message
    assert set(Item.objects.values_list("amount", flat=True)) == {0}


def test_sensitive_arguments_reach_the_command_and_are_stored_nowhere() -> None:
    run = requested("with_arguments_2026_01_09", values={"country": "NZ", "password": "hunter2-hunter2", "count": 4})
    assert run.arguments == {"country": "NZ", "password": "********", "count": 4}
    assert "hunter2" not in run.sealed_arguments
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED, run.error_message
    assert run.sealed_arguments == ""
    assert texts(run) == ["using ********"]
    assert '"count": 4' in run.result


def test_a_rotated_secret_key_fails_the_run_with_what_to_do(settings: Any) -> None:
    run = requested("with_arguments_2026_01_09", values={"country": "NZ", "password": "hunter2-hunter2"})
    settings.SECRET_KEY = "another-" + "1" * 50
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "SECRET_KEY_FALLBACKS" in run.error_message


def test_a_former_secret_key_among_the_fallbacks_still_opens_the_arguments(settings: Any) -> None:
    run = requested("with_arguments_2026_01_09", values={"country": "NZ", "password": "hunter2-hunter2"})
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "1" * 50
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED, run.error_message


def test_a_draining_worker_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("increment_items_2026_01_01")
    monkeypatch.setattr(queue, "is_stopping", lambda: True)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    monkeypatch.setattr(queue, "is_stopping", lambda: False)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED


def test_a_worker_whose_row_says_draining_takes_nothing() -> None:
    from data_migrations.processes import Process

    me = Process.current()
    WorkerFactory.create(host=me.host, pid=me.pid, machine=me.machine, pid_started=me.started, draining=True)
    assert presence.is_draining()


def during(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Have something happen in the middle of the run ``tracked``, which then waits for its effect."""
    from tests.testapp.management.commands.tracked import Command

    def perform(self: Any, dry_run: bool = False) -> None:
        Item.objects.update(amount=3)
        self.stdout.write("begun")
        # In a thread, so through another connection: the run's own has its transaction open.
        outside = threading.Thread(target=lambda: (action(), connections.close_all()))
        outside.start()
        outside.join()
        for step in range(500):
            time.sleep(0.01)
            self.progress(step, 500)
        raise AssertionError("nobody stopped the run")

    monkeypatch.setattr(Command, "perform_migration", perform)


def test_a_cancelled_run_stops_at_its_next_safe_point(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("tracked_2026_01_12")
    during(monkeypatch, lambda: dispatch.request_cancel(run.pk, "bea"))
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
    assert run.control_by == "bea"
    assert run.finished_at
    assert set(Item.objects.values_list("amount", flat=True)) == {0}


@pytest.mark.parametrize(
    ("request_it", "note", "line"),
    [
        (
            dispatch.request_cancel,
            "Cancelled by bea. ",
            "Cancelling was asked for by bea; it stops at its next safe point.",
        ),
        (
            dispatch.request_force,
            "Stopped by force, asked for by bea. ",
            "It is being stopped by force, as asked for by bea.",
        ),
    ],
)
def test_the_note_and_the_log_of_a_run_say_who_stopped_it_and_that_it_begins_anew(
    monkeypatch: pytest.MonkeyPatch, request_it: Any, note: str, line: str
) -> None:
    run = requested("tracked_2026_01_12")
    during(monkeypatch, lambda: request_it(run.pk, "bea"))
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
    assert run.note == (
        f"{note}Nothing was kept: its transaction was rolled back. It was not recorded as applied. Another run "
        "begins anew."
    )
    assert line in [each.text for each in logs.read(run).lines]


def test_a_run_in_batches_that_was_cancelled_goes_on_when_it_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("batch_increment_2026_02_01")

    def cancel(self: Command, batch: Any) -> None:
        outside = threading.Thread(target=lambda: (dispatch.request_cancel(run.pk, "bea"), connections.close_all()))
        outside.start()
        outside.join()
        for step in range(500):
            time.sleep(0.01)
            self.progress(step, 500)

    monkeypatch.setattr(Command, "perform_batch", cancel)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.note == (
        "Cancelled by bea. Its committed batches are kept, and the next run goes on after them. It was not recorded as "
        "applied."
    )
    said = "Cancelling was asked for by bea; it stops after its present batch."
    assert said in [each.text for each in logs.read(run).lines]


def test_a_paused_run_stops_and_runs_again_when_it_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("tracked_2026_01_12")
    with monkeypatch.context() as patch:
        during(patch, lambda: dispatch.request_pause(run.pk, "bea"))
        worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.PAUSED
    assert run.note == "Nothing of it was kept; “Resume…” lets this same run go on from its beginning."
    assert run.finished_at is None
    assert dispatch.request_resume(run.pk, "bea")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert run.attempt == 2
    headings = [line.text for line in logs.read(run).lines if line.level == "a"]
    assert headings == [f"Attempt 2, on {run.host} (pid {run.pid})"]
    assert [group.title for group in outline.read(run).groups] == ["Attempt 1", *headings]


def test_a_worker_that_is_asked_to_stop_gives_its_run_back(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("tracked_2026_01_12")
    rung: list[int] = []
    with monkeypatch.context() as patch:
        during(patch, lambda: patch.setattr(queue, "is_stopping", lambda: True))
        patch.setattr(queue, "ring", rung.append)
        worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert run.note == (
        "The worker that had it was asked to stop. Nothing of it was kept; "
        "it goes on by itself from its beginning, as soon as a worker is free."
    )
    assert rung == [run.pk]
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert run.attempt == 2


def test_a_superseded_attempt_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else took the run over while this worker was frozen: neither its lines nor its end count."""
    run = requested("tracked_2026_01_12")

    def take_over() -> None:
        time.sleep(0.3)
        Run.objects.filter(pk=run.pk).update(attempt=2, note="of the second")
        Attempt.objects.create(run=run, number=2)

    during(monkeypatch, take_over)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.RUNNING
    assert (run.attempt, run.note, run.finished_at) == (2, "of the second", None)
    assert texts(run) == ["begun"]
    assert spool.journals() == []


def test_a_batched_run_keeps_its_pace_and_says_that_it_works_in_batches() -> None:
    run = requested("batch_increment_2026_02_01")
    assert run.in_batches
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert (run.progress_done, run.progress_total) == (3, 3)


def test_a_dry_run_in_batches_keeps_its_samples_and_its_estimate() -> None:
    run = requested("batch_increment_2026_02_01", kind="dry_run")
    assert not run.in_batches
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert run.samples[0]["before"] == {"amount": 0}
    assert run.samples[0]["after"] == {"amount": 1}
    assert run.estimated_seconds is not None
    assert set(Item.objects.values_list("amount", flat=True)) == {0}


def test_a_dry_run_keeps_which_rows_would_be_set_aside() -> None:
    Item.objects.create(name="poison 1")
    key = Item.objects.get(name="poison 1").pk
    run = requested("batch_poison_2026_02_02", kind="dry_run")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.set_aside == {"count": 1, "keys": [f"key {key}"]}
    assert run.estimated_pauses == 0
    # What was tried is all of them, the one that failed as well.
    assert run.progress_done == run.progress_total == Item.objects.count()


def test_a_retry_of_quarantined_rows_keeps_how_many_earlier_runs_did() -> None:
    poison = Item.objects.create(name="poison 1")
    failed = requested("batch_poison_2026_02_02")
    worker.perform(failed.pk)
    Item.objects.filter(pk=poison.pk).update(name="mended")
    retry = requested("batch_poison_2026_02_02")
    worker.perform(retry.pk)
    for run in (failed, retry):
        run.refresh_from_db()
    total = Item.objects.count()
    assert (failed.status, failed.rows_before) == (Status.FAILED, 0)
    assert (retry.status, retry.rows_before, retry.affected_rows, retry.own_rows) == ("succeeded", total - 1, total, 1)


def test_the_time_in_which_it_was_paused_is_not_that_of_the_run() -> None:
    run = requested("batch_increment_2026_02_01")
    earlier = timezone.now() - timedelta(hours=3)
    # It was paused three hours ago, after a minute.
    Attempt.objects.create(run=run, number=1, started_at=earlier, ended_at=earlier + timedelta(minutes=1))
    Run.objects.filter(pk=run.pk).update(attempt=1, started_at=earlier, worked_seconds=60.0)
    run.refresh_from_db()
    assert run.elapsed == timedelta(minutes=1)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert run.elapsed is not None
    assert timedelta(minutes=1) < run.elapsed < timedelta(minutes=5)
    assert run.finished_at is not None
    assert run.finished_at - earlier > timedelta(hours=2)


def test_after_a_change_of_pace_the_rate_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    Item.objects.bulk_create([Item(name=f"more {number}") for number in range(20)])
    begun: list[tuple[Rate, Rate]] = []
    original, anew = Command.perform_batch, watch.Watch.begin_rate_anew

    def tune(self: Command, batch: Any) -> Any:
        checkpoints.wish("batch_increment_2026_02_01", "default", pause=0.01)
        return original(self, batch)

    def note(self: watch.Watch) -> None:
        before = self._rate
        anew(self)
        begun.append((before, self._rate))

    monkeypatch.setattr(Command, "perform_batch", tune)
    monkeypatch.setattr(watch.Watch, "begin_rate_anew", note)
    monkeypatch.setattr("data_migrations.batchrun.WISHES_SECONDS", 0)
    run = requested("batch_increment_2026_02_01")
    worker.perform(run.pk)
    [(before, after)] = begun
    assert before is not after


def test_a_resumed_run_shows_nothing_of_the_rate_that_it_had_before() -> None:
    run = requested("batch_increment_2026_02_01")
    Run.objects.update(status=Status.PAUSED, attempt=1, rate=1200.0, progress_done=300, progress_total=1000)
    assert dispatch.request_resume(run.pk, "bea")
    taken = worker.take(run.pk)
    assert taken is not None
    assert (pace.of(taken.run).rate, pace.of(taken.run).seconds_left) == (None, None)


@pytest.mark.slow
def test_the_rate_is_stored_while_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    Item.objects.bulk_create([Item(name=f"more {number}") for number in range(200)])
    run = requested("batch_increment_2026_02_01", values={"each": 0.1})
    rates: list[float | None] = []

    def watch() -> None:
        try:
            while not rates or not rates[-1]:
                time.sleep(0.1)
                rates.append(Run.objects.values_list("rate", flat=True).get(pk=run.pk))
        finally:
            connections.close_all()

    watcher = threading.Thread(target=watch)
    watcher.start()
    worker.perform(run.pk)
    watcher.join(10)
    assert 20 < (rates[-1] or 0) < 500


def test_why_a_batch_waits_is_on_the_run_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested("batch_increment_2026_02_01")
    seen: list[str] = []

    def throttle(self: Any) -> str | None:
        row = in_a_thread(lambda: Run.objects.values_list("waiting_for", flat=True).get(pk=run.pk))
        seen.append(row)
        return None if any(seen) else "the shop is busy"

    monkeypatch.setattr("tests.testapp.management.commands.batch_increment.Command.throttle", throttle)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.SUCCEEDED
    assert "the shop is busy" in seen
    assert any("Waiting: the shop is busy" in text for text in texts(run))


def in_a_thread(action: Any) -> Any:
    """What the action gives, from a connection of its own."""
    found: list[Any] = []

    def do() -> None:
        found.append(action())
        connections.close_all()

    thread = threading.Thread(target=do)
    thread.start()
    thread.join()
    return found[0]


def test_a_worker_that_does_not_know_the_migration_says_that_it_may_be_older_than_the_code() -> None:
    run = RunFactory.create(migration="deployed_a_minute_ago")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    for words in ("deployed_a_minute_ago", f"pid {os.getpid()}", "its code loaded 20", "python manage.py qcluster"):
        assert words in run.error_message


def test_other_code_than_the_one_that_was_confirmed_is_not_run() -> None:
    run = requested("increment_items_2026_01_01")
    Run.objects.filter(pk=run.pk).update(checksum="0" * 64)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "is not the one that was confirmed" in run.error_message
    assert "restart the worker" in run.error_message.lower()
    assert set(Item.objects.values_list("amount", flat=True)) == {0}
    assert not ledger.is_applied("increment_items_2026_01_01", "default")


def test_a_run_that_is_taken_up_again_goes_on_with_newer_code() -> None:
    run = requested("increment_items_2026_01_01")
    Run.objects.filter(pk=run.pk).update(checksum="0" * 64, attempt=1)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
