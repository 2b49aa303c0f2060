"""What people ask for: recorded first, then the bell is rung."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError, connections, transaction
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from console import dispatch, queue, spool, worker
from console.models import Run
from console.states import Status
from data_migrations import ledger
from data_migrations.exceptions import AlreadyRunning, BrokenMigration, InvalidArgument, UnknownMigration
from data_migrations.executor import run_command
from tests.console.factories import RunFactory, user
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "increment_items_2026_01_01"


def messages() -> list[dict[str, Any]]:
    return [SignedPackage.loads(row.payload) for row in OrmQ.objects.all()]


def test_a_run_is_recorded_and_the_workers_get_its_id_and_nothing_else() -> None:
    run = dispatch.request_run(NAME, user=user("bea"), values={"lines": 2}, reason="a reason", force=True, once_key="k")
    assert (run.migration, run.command_name, run.kind, run.status) == (NAME, "increment", "run", Status.ENQUEUED)
    assert (run.requested_by, run.reason, run.force, run.arguments) == ("bea", "a reason", True, {"lines": 2})
    assert run.requested_by_pk
    assert run.checksum
    assert run.atomic
    [message] = messages()
    assert (message["func"], message["args"], message["kwargs"]) == (queue.PERFORM, (run.pk,), {})
    assert isinstance(message["timeout"], int)
    assert message["timeout"] >= 24 * 3600
    assert message["ack_failure"] is True
    # The history is ours; django-q2's own results are pruned.
    assert message["save"] is False


def test_the_bell_is_rung_after_the_commit_and_not_after_a_rollback() -> None:
    with transaction.atomic(using=spool.alias()):
        dispatch.request_run(NAME, user="ana")
        assert messages() == []
    assert len(messages()) == 1
    with transaction.atomic(using=spool.alias()):
        dispatch.request_run(NAME, user="ana")
        transaction.set_rollback(True, using=spool.alias())
    assert len(messages()) == 1
    assert Run.objects.count() == 1


def test_a_queue_that_cannot_be_reached_fails_the_run_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("connection refused by 127.0.0.1:6379")

    monkeypatch.setattr(queue, "async_task", refuse)
    run = dispatch.request_run("with_arguments_2026_01_09", user="ana", values={"country": "NZ", "password": "secret"})
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert "connection refused" in run.error_message
    assert "Nothing was run" in run.error_message
    assert "run it again" in run.error_message
    assert run.finished_at
    assert run.sealed_arguments == ""


def test_a_double_click_starts_one_run() -> None:
    first = dispatch.request_run(NAME, user="ana", once_key="click-1")
    second = dispatch.request_run(NAME, user="ana", once_key="click-1")
    assert first.pk == second.pk
    assert len(messages()) == 1


def test_a_double_click_at_the_same_moment_starts_one_run() -> None:
    found: list[int] = []
    barrier = threading.Barrier(4)

    def click() -> None:
        try:
            barrier.wait()
            found.append(dispatch.request_run(NAME, user="ana", once_key="click-1").pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert Run.objects.count() == 1


def test_an_unknown_migration_is_refused_with_near_matches() -> None:
    with pytest.raises(UnknownMigration, match=NAME):
        dispatch.request_run("increment_items_2026_01_0", user="ana")
    assert not Run.objects.exists()


def test_a_migration_whose_module_cannot_be_imported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from data_migrations.registry import RegisteredMigration

    broken = RegisteredMigration("broken", "broken", "app", "app.broken", None, "SyntaxError: invalid syntax")
    monkeypatch.setattr("console.dispatch.registry.get", lambda name: broken)
    with pytest.raises(BrokenMigration, match="SyntaxError"):
        dispatch.request_run("broken", user="ana")


@pytest.mark.parametrize("values", [{"lines": "many"}, {"nonsense": 1}])
def test_a_value_that_the_migration_does_not_take_is_refused_before_anything_is_stored(values: Any) -> None:
    with pytest.raises(InvalidArgument):
        dispatch.request_run(NAME, user="ana", values=values)
    assert not Run.objects.exists()


def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="nowhere"):
        dispatch.request_run(NAME, user="ana", database="nowhere")


def test_asking_for_the_depth_of_the_queue_leaves_open_transactions_alone() -> None:
    with transaction.atomic(using="default"):
        Item.objects.create(name="precious")
        assert queue.waiting() == 0
        assert Item.objects.filter(name="precious").exists()
    assert Item.objects.filter(name="precious").exists()
    dispatch.request_run(NAME, user="ana")
    assert queue.waiting() == 1


def test_ringing_in_the_middle_of_another_databases_transaction_loses_none_of_its_rows() -> None:
    """django-q2 closes all of a thread's connections when it sends from outside of its own transaction."""
    if spool.alias() == "default":
        pytest.skip("the queue is in the same database")
    with transaction.atomic(using="default"):
        Item.objects.create(name="precious")
        run = dispatch.request_run(NAME, user="ana")
        assert Item.objects.filter(name="precious").exists()
    assert Item.objects.filter(name="precious").exists()
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert len(messages()) == 1


def test_a_waiting_run_is_cancelled_at_once_and_its_message_then_does_nothing() -> None:
    run = dispatch.request_run(NAME, user="ana")
    assert dispatch.request_cancel(run.pk, "bea")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert (run.status, run.control_by, run.attempt) == (Status.CANCELLED, "bea", 0)
    # It holds as well for one that was paused, which a worker had before.
    assert run.note == "Cancelled by bea while no worker had it."


def test_a_run_at_its_end_can_be_neither_cancelled_nor_paused_nor_resumed() -> None:
    run = RunFactory.create(finished=True)
    assert not dispatch.request_cancel(run.pk, "bea")
    assert not dispatch.request_pause(run.pk, "bea")
    assert not dispatch.request_resume(run.pk, "bea")
    run.refresh_from_db()
    assert (run.status, run.control) == (Status.SUCCEEDED, "")


def test_a_run_from_the_shell_hears_nobody_so_nobody_is_told_that_it_would() -> None:
    run = RunFactory.create(running=True, door="shell")
    assert not dispatch.request_cancel(run.pk, "bea")
    assert not dispatch.request_pause(run.pk, "bea")


def test_a_paused_run_is_resumed_and_rung_for() -> None:
    run = RunFactory.create(status=Status.PAUSED, attempt=1)
    assert dispatch.request_resume(run.pk, "bea")
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert [message["args"] for message in messages()] == [(run.pk,)]


# Marking.


def test_a_mark_is_in_ledger_history_and_admin_log() -> None:
    bea = user("bea", is_staff=True)
    [row] = dispatch.mark([NAME], user=bea, reason="done by hand")
    record = ledger.get(NAME, "default")
    assert record is not None
    assert (record.by, record.door) == ("bea", "marked")
    assert (row.kind, row.status, row.door, row.reason) == ("mark", Status.SUCCEEDED, "marked", "done by hand")
    assert row.changes == [{"before": None, "after": "applied"}]
    assert row.checksum == record.checksum != ""
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id) == (bea.pk, str(row.pk))
    assert "done by hand" in entry.change_message
    assert messages() == []


def test_an_unmark_keeps_who_had_applied_it() -> None:
    run_command("increment", by="carl")
    [row] = dispatch.unmark([NAME], user=user("bea"), reason="it was the wrong database")
    assert not ledger.is_applied(NAME, "default")
    [change] = row.changes
    assert change["before"]["by"] == "carl"
    assert change["after"] is None
    assert "pending" in row.note


def test_only_what_changed_gets_a_row() -> None:
    dispatch.mark([NAME], user="ana", reason="first")
    rows = dispatch.mark([NAME, "noisy_2026_01_08"], user="ana", reason="second")
    assert [row.migration for row in rows] == ["noisy_2026_01_08"]
    assert dispatch.mark([NAME], user="ana", reason="third") == []


def test_a_mark_needs_a_reason() -> None:
    with pytest.raises(InvalidArgument, match="reason"):
        dispatch.mark([NAME], user="ana", reason="  ")
    assert not ledger.is_applied(NAME, "default")


def test_when_one_of_many_cannot_be_marked_none_is_and_no_row_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*args: Any, **kwargs: Any) -> None:
        raise AlreadyRunning("it is being run by host-b")

    monkeypatch.setattr("console.dispatch._record_row", busy)
    with pytest.raises(AlreadyRunning):
        dispatch.mark([NAME, "noisy_2026_01_08"], user="ana", reason="all")
    assert not Run.objects.exists()
    assert not ledger.is_applied(NAME, "default")
    assert not LogEntry.objects.exists()


def test_a_deleted_users_trail_keeps_the_name() -> None:
    bea = user("bea")
    [row] = dispatch.mark([NAME], user=bea, reason="done by hand")
    bea.delete()
    row.refresh_from_db()
    assert row.requested_by == "bea"


def test_without_an_entry_in_the_admin_history_a_mark_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(LogEntry.objects, "log_actions", locked)
    dispatch.mark([NAME], user=user("bea"), reason="imported by hand")
    assert ledger.is_applied(NAME, "default")
