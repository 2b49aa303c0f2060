"""What is old or too much goes, in slices; what must stay stays; and nothing is half done."""

from __future__ import annotations

import signal
import subprocess
import time
import tracemalloc
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import Max, Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import dispatch, logs, presence, retention, spool
from console.models import Kind, LogChunk, Notice, Run
from console.retention import Limits, Pruned
from console.states import FINISHED, Status
from console.views import log as log_views
from console.views import runs as run_views
from data_migrations.models import AppliedMigration, LedgerEvent
from data_migrations.processes import Process
from tests.console.factories import AttemptFactory, RunFactory, WorkerFactory, user
from tests.console.pages import print_lines, run_address
from tests.console.test_outbox import in_a_process

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rests."""
    monkeypatch.setattr(retention, "REST", 0.0)


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def a_run(days: float = 0, lines: int = 3, **fields: Any) -> Run:
    """A finished run of so many days ago, with a log."""
    values = {"finished": True, "finished_at": ago(days), "requested_at": ago(days), "begun": True}
    run = RunFactory.create(**values | fields)
    if lines:
        print_lines(run, *[f"line {number}" for number in range(lines)])
    return Run.objects.get(pk=run.pk)


def many_chunks(run: Run, number: int, text: str = "x" * 100) -> None:
    """A log of so many chunks, made by the database itself."""
    now = timezone.now()
    size = len(text) + 16
    for start in range(1, number + 1, 5000):
        LogChunk.objects.bulk_create(
            LogChunk(run=run, first=first, count=1, bytes=size, at=now, text=text, meta='[[0,"o"]]')
            for first in range(start, min(start + 5000, number + 1))
        )
    Run.objects.filter(pk=run.pk).update(log_next=number + 1, log_kept=number * size, log_bytes=number * size)


def is_whole(run: Run) -> None:
    """What the run says of its log is what there is."""
    run.refresh_from_db()
    kept = LogChunk.objects.filter(run=run).aggregate(total=Sum("bytes"))["total"] or 0
    assert run.log_kept == kept


def kept() -> set[int]:
    return set(Run.objects.values_list("pk", flat=True))


# Logs


def test_a_log_that_is_old_goes_and_its_run_stays_and_says_so(viewer: Client) -> None:
    old, young = a_run(91), a_run(89)
    assert retention.prune(Limits(logs_days=90)) == Pruned(logs=1, bytes=old.log_kept)
    is_whole(old)
    is_whole(young)
    assert (old.log_kept, old.lines) == (0, 3)
    assert old.log_pruned_at is not None
    assert (young.log_pruned_at, len(logs.read(young).lines)) == (None, 3)
    page = logs.read(old)
    assert (page.lines, page.last, page.ended) == ([], 3, True)
    assert "".join(logs.download(old)) == ""
    shown = viewer.get(run_address(old)).content.decode()
    assert "because of its age or size; it had 3 lines." in shown
    assert "because of its age or size" not in viewer.get(run_address(young)).content.decode()
    assert retention.prune(Limits(logs_days=90)) == Pruned()


@pytest.mark.parametrize("status", [status for status in Status if status not in FINISHED])
def test_what_is_not_at_its_end_keeps_its_log_and_its_row(status: Status) -> None:
    run = a_run(400, status=status)
    for _ in range(3):
        a_run(300)
    limits = Limits(logs_days=1, logs_bytes=0, runs_days=1, runs=1)
    assert retention.plan(limits).logs == 3
    retention.prune(limits)
    run.refresh_from_db()
    assert run.log_pruned_at is None
    assert len(logs.read(run).lines) == 3


def test_of_too_much_the_oldest_goes_and_no_more_than_needed() -> None:
    runs = [a_run(days, migration="one_2026_01_01") for days in (5, 4, 3, 2)]
    size = runs[0].log_kept
    assert retention.prune(Limits(logs_bytes=size * 2 + 1)) == Pruned(logs=2, bytes=2 * size)
    assert [bool(run.log_pruned_at) for run in Run.objects.order_by("pk")] == [True, True, False, False]
    assert retention.prune(Limits(logs_bytes=size * 2)) == Pruned()


def test_of_too_much_the_newest_run_of_each_migration_goes_last() -> None:
    only = a_run(9, migration="first_2026_01_01")
    older, newer = a_run(5, migration="second_2026_01_01"), a_run(4, migration="second_2026_01_01")
    retention.prune(Limits(logs_bytes=2 * only.log_kept))
    assert set(Run.objects.exclude(log_pruned_at=None)) == {older}
    retention.prune(Limits(logs_bytes=only.log_kept))
    assert set(Run.objects.exclude(log_pruned_at=None)) == {older, only}
    retention.prune(Limits(logs_bytes=0))
    assert set(Run.objects.exclude(log_pruned_at=None)) == {older, only, newer}


def test_logs_that_go_for_their_age_count_for_the_size() -> None:
    old, young = a_run(100), a_run(1)
    limits = Limits(logs_days=90, logs_bytes=young.log_kept)
    assert retention.plan(limits) == Pruned(logs=1, bytes=old.log_kept)
    assert retention.prune(limits) == Pruned(logs=1, bytes=old.log_kept)


@pytest.mark.slow
def test_a_log_of_many_chunks_goes_in_small_transactions_and_little_memory() -> None:
    run = a_run(100, lines=0)
    many_chunks(run, 5_000, "x" * 2_000)
    connection = connections[spool.alias()]
    tracemalloc.start()
    try:
        assert retention.prune(Limits(logs_days=90)).logs == 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The whole is 10 MB; a slice is keys and sizes.
    assert peak < 3_000_000
    assert not LogChunk.objects.exists()
    is_whole(run)
    many_chunks(run, 1_000)
    with CaptureQueriesContext(connection) as queries:
        retention.prune(Limits())
    deletes = [query["sql"] for query in queries if query["sql"].lstrip().upper().startswith("DELETE")]
    assert len(deletes) == 10
    # What grew after it was taken is taken too.
    assert not LogChunk.objects.exists()


def test_it_stops_when_told_and_the_next_goes_on_there() -> None:
    run = a_run(100, lines=0)
    many_chunks(run, 1_000)
    answers = [True, True, True, False]
    pruned = retention.prune(Limits(logs_days=90), go_on=lambda: answers.pop(0))
    assert pruned.logs == 1
    is_whole(run)
    assert 0 < LogChunk.objects.count() < 1_000
    assert run.log_pruned_at is not None
    assert run.lines == 1_000
    retention.prune(Limits(logs_days=90))
    assert not LogChunk.objects.exists()
    is_whole(run)


KILLED = """
import os, signal
import django
django.setup()
from console import retention
from console.models import LogChunk
from console.retention import Limits
retention.REST = 0.0
delete = type(LogChunk.objects.all()).delete
count = 0
def counted(self):
    global count
    count += 1
    done = delete(self)
    # In the middle of a transaction: its rows are deleted, and not committed.
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
type(LogChunk.objects.all()).delete = counted
retention.prune(Limits(logs_days=90))
"""


@pytest.mark.slow
def test_a_process_killed_in_the_middle_leaves_whole_slices(settings: Any) -> None:
    run = a_run(100, lines=0)
    many_chunks(run, 1_000)
    done = in_a_process(KILLED, settings)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert LogChunk.objects.count() == 700
    is_whole(run)
    assert run.log_pruned_at is not None
    assert (run.lines, run.log_next) == (1_000, 1_001)
    retention.prune(Limits(logs_days=90))
    is_whole(run)
    assert not LogChunk.objects.exists()


@pytest.mark.slow
def test_two_at_once_take_everything_once(settings: Any) -> None:
    runs = [a_run(100, lines=0) for _ in range(3)]
    for run in runs:
        many_chunks(run, 300)
    code = """
import django
django.setup()
from django.db import OperationalError
from console import retention
from console.retention import Limits
retention.REST = 0.0
for _ in range(50):
    try:
        print(retention.prune(Limits(logs_days=90, logs_bytes=1)).logs)
        break
    except OperationalError:
        pass
"""
    import threading

    done: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: done.append(in_a_process(code, settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.stderr for each in done if each.returncode] == []
    assert not LogChunk.objects.exists()
    for run in runs:
        is_whole(run)


# Runs


def test_runs_of_the_history_stay_for_ever_by_default() -> None:
    a_run(5000)
    a_run(4000)
    assert retention.prune(Limits.from_settings()).runs == 0
    assert Run.objects.count() == 2


def test_old_runs_go_with_all_that_hangs_on_them() -> None:
    old = a_run(400)
    AttemptFactory.create(run=old)
    notice = Notice.objects.create(
        run=old, event="failed", channel="email", once_key="x", subject="s", text="t", created_at=ago(1)
    )
    WorkerFactory.create(run=old)
    newest = a_run(300)
    assert retention.prune(Limits(runs_days=365)).runs == 1
    assert kept() == {newest.pk}
    assert set(LogChunk.objects.values_list("run", flat=True)) == {newest.pk}
    notice.refresh_from_db()
    assert notice.run is None


def test_the_newest_run_of_each_migration_and_database_stays_and_the_newest_that_did_it() -> None:
    did_it = a_run(900)
    already = a_run(800, begun=False, note="Already applied: nothing was done.")
    failed = a_run(700, status=Status.FAILED)
    newest = a_run(600, kind=Kind.DRY_RUN)
    elsewhere = a_run(900, database="other")
    another = a_run(900, migration="another_2026_01_01")
    retention.prune(Limits(runs_days=30))
    assert kept() == {did_it.pk, newest.pk, elsewhere.pk, another.pk}
    assert already.pk not in kept()
    assert failed.pk not in kept()


def test_only_so_many_runs_of_a_migration_stay() -> None:
    a_run(9, status=Status.FAILED)
    a_run(8, status=Status.FAILED)
    runs = [a_run(days) for days in (7, 6, 5)]
    others = [a_run(days, migration="another_2026_01_01") for days in (9, 8)]
    limits = Limits(runs=2)
    assert retention.plan(limits).runs == 3
    assert retention.prune(limits).runs == 3
    assert kept() == {run.pk for run in (*runs[1:], *others)}
    assert retention.prune(limits).runs == 0


def test_many_runs_go_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 10)
    Run.objects.bulk_create(
        Run(migration="many_2026_01_01", status=Status.SUCCEEDED, finished_at=ago(100)) for _ in range(55)
    )
    assert retention.prune(Limits(runs_days=30)).runs == 54
    assert kept() == {Run.objects.aggregate(newest=Max("pk"))["newest"]}


def test_marks_unmarks_the_ledger_and_the_admin_history_stay() -> None:
    ana = user("ana", is_staff=True)
    name = "increment_items_2026_01_01"
    for _ in range(3):
        dispatch.mark([name], user=ana, reason="by hand")
        dispatch.unmark([name], user=ana, reason="not yet")
    dispatch.mark([name], user=ana, reason="by hand")
    Run.objects.update(finished_at=ago(900), requested_at=ago(900))
    run = a_run(900)
    newest = a_run(800)
    before = (AppliedMigration.objects.count(), LedgerEvent.objects.count(), LogEntry.objects.count())
    assert before == (1, 7, 7)
    retention.prune(Limits(logs_days=0, logs_bytes=0, runs_days=0, runs=1, notices_days=0))
    assert (AppliedMigration.objects.count(), LedgerEvent.objects.count(), LogEntry.objects.count()) == before
    assert Run.objects.filter(kind__in=(Kind.MARK, Kind.UNMARK)).count() == 7
    assert run.pk not in kept()
    assert newest.pk in kept()


def test_a_mark_does_not_make_the_last_real_run_an_older_one() -> None:
    real = a_run(900, status=Status.FAILED)
    a_run(800, kind=Kind.MARK, door="marked", lines=0)
    retention.prune(Limits(runs_days=30))
    assert real.pk in kept()


# Notices


def test_old_notices_go_but_not_those_that_are_to_be_sent() -> None:
    fields = {"event": "failed", "channel": "email", "subject": "s", "text": "t", "created_at": ago(91)}
    Notice.objects.create(once_key="old", sent_at=ago(91), **fields)
    waiting = Notice.objects.create(once_key="waiting", due_at=timezone.now(), **fields)
    young = Notice.objects.create(once_key="young", **{**fields, "created_at": ago(89)})
    assert retention.prune(Limits(notices_days=90)).notices == 1
    assert set(Notice.objects.all()) == {waiting, young}


# By workers


@pytest.fixture
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_prunes_from", 0.0)


def tick() -> None:
    retention.tick()
    if retention._thread is not None:
        retention._thread.join(30)


def test_a_worker_prunes_when_it_is_time(due: None) -> None:
    run = a_run(91)
    presence.beat(Process.current(), None)
    tick()
    run.refresh_from_db()
    assert run.log_pruned_at
    # Not again before its time.
    again = a_run(91)
    tick()
    again.refresh_from_db()
    assert again.log_pruned_at is None


def test_of_several_workers_the_first_prunes(due: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(91)
    first = WorkerFactory.create()
    presence.beat(Process.current(), None)
    tick()
    run.refresh_from_db()
    assert run.log_pruned_at is None
    # It is gone, or about to go.
    first.draining = True
    first.save()
    monkeypatch.setattr(retention, "_prunes_from", 0.0)
    tick()
    run.refresh_from_db()
    assert run.log_pruned_at


def test_a_site_may_leave_it_to_the_command(due: None, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "PRUNE_SECONDS": None}
    a_run(91)
    presence.beat(Process.current(), None)
    tick()
    assert not Run.objects.exclude(log_pruned_at=None).exists()


def test_a_worker_that_is_asked_to_stop_stops_pruning(due: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(91, lines=0)
    many_chunks(run, 500)
    presence.beat(Process.current(), None)
    monkeypatch.setattr(presence, "is_draining", lambda: LogChunk.objects.count() < 400)
    tick()
    assert LogChunk.objects.count() == 300
    is_whole(run)


def test_a_database_that_is_busy_is_asked_again_in_a_minute(due: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def busy(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    presence.beat(Process.current(), None)
    monkeypatch.setattr(retention, "prune", busy)
    tick()
    assert retention._prunes_from - time.monotonic() <= 60


def test_others_get_the_database_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(retention, "REST", 2.0)
    monkeypatch.setattr(retention.time, "sleep", slept.append)
    clock = iter([0.0, 0.1, 0.3, 5.3, 9.0])
    monkeypatch.setattr(retention.time, "monotonic", lambda: next(clock))
    breaks = retention.Breaks()
    assert breaks()
    assert breaks()
    assert [round(seconds, 3) for seconds in slept] == [0.2, 1.0]


# The command


def test_the_command_says_what_would_go_and_then_takes_it() -> None:
    a_run(91)
    a_run(400, migration="another_2026_01_01", status=Status.FAILED)
    newest = a_run(1, migration="another_2026_01_01")
    out = StringIO()
    call_command("console_prune", "--dry-run", "--runs-days", "365", stdout=out)
    said = "2 logs (0.0 MiB), 1 run of the history, 0 notices"
    assert out.getvalue() == f"Would be taken away: {said}. Nothing was changed.\n"
    assert Run.objects.filter(log_pruned_at=None).count() == 3
    out = StringIO()
    call_command("console_prune", "--runs-days", "365", stdout=out)
    assert out.getvalue() == f"Taken away: {said}.\n"
    assert Run.objects.get(log_pruned_at=None) == newest
    assert Run.objects.count() == 2


def test_the_command_takes_sizes_and_refuses_nonsense() -> None:
    runs = [a_run(days) for days in (3, 2, 1)]
    call_command("console_prune", "--logs-bytes", "1G", stdout=StringIO())
    assert not Run.objects.exclude(log_pruned_at=None).exists()
    call_command("console_prune", "--logs-bytes", str(runs[0].log_kept), stdout=StringIO())
    assert Run.objects.exclude(log_pruned_at=None).count() == 2
    for option, value in (
        ("--logs-bytes", "much"),
        ("--logs-bytes", "-1"),
        ("--runs", "0"),
        ("--runs-days", "-1"),
        ("--logs-days", "nan"),
        ("--logs-days", "never"),
    ):
        with pytest.raises(CommandError, match="is no"):
            call_command("console_prune", f"{option}={value}")


@pytest.mark.parametrize("page", ["log_search", "log_groups", "change"])
def test_a_run_that_goes_while_it_is_looked_at_is_not_found(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    run = a_run(days=400)

    def taken(pk: Any) -> Run:
        found = Run.objects.get(pk=pk)
        Run.objects.filter(pk=pk).delete()
        return found

    for module in (log_views, run_views):
        monkeypatch.setattr(module, "get_or_404", taken)
    assert client_of_ana.get(f"{run_address(run, page)}?text=x").status_code == 404
