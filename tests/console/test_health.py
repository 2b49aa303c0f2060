"""What is wrong just now, in words."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from console import health, journal, presence, queue, skew, spool
from console.health import State, logs, probe, setup
from console.journal import Journal
from console.models import Canary, Notice, Run, Worker
from data_migrations import databases, ledger, registry
from data_migrations.registry import RegisteredMigration
from tests import databases as databases_of_tests
from tests.console.factories import AttemptFactory, RunFactory, WorkerFactory

pytestmark = pytest.mark.django_db(databases="__all__")

HEAD = {"key": "k", "attempt": {"number": 1}}


@pytest.fixture(autouse=True)
def fresh() -> None:
    """What an earlier look found does not count."""
    probe.forget()
    setup.forget()


def ids() -> list[str]:
    return [problem.id for problem in health.problems()]


def only() -> health.Result:
    [problem] = health.problems()
    return problem


def row(check: str) -> health.Result:
    """What one check of the whole page says."""
    [result] = [each for each in health.report().results if each.id == check]
    return result


@pytest.fixture
def seen() -> None:
    WorkerFactory.create()


def test_all_is_well(seen: None) -> None:
    assert health.problems() == []


def test_no_worker_seen_is_said_with_the_command_that_starts_one() -> None:
    problem = only()
    assert (problem.id, problem.level) == ("workers", "error")
    assert problem.text == "No worker was seen for 90 s: runs will wait."
    assert "python manage.py qcluster" in problem.hint


def a_goodbye(seconds: float) -> None:
    then = timezone.now() - timedelta(seconds=seconds)
    WorkerFactory.create(seen_at=then, left_at=then, draining=True)


def test_that_the_last_worker_has_stopped_is_said_at_once_and_not_only_when_it_is_missed() -> None:
    a_goodbye(20)
    problem = only()
    assert (problem.id, problem.level) == ("workers", "error")
    assert re.fullmatch(r"No worker is running: the last one stopped \d+ s ago\. Runs will wait\.", problem.text)
    assert "python manage.py qcluster" in problem.hint


def test_a_restart_is_no_alarm() -> None:
    a_goodbye(0)
    RunFactory.create()
    assert health.problems() == []
    assert row("workers").state == State.GOOD
    assert re.match(r"The last worker stopped \S+ m?s ago; a restart takes", row("workers").text)
    WorkerFactory.create()
    assert row("workers").text == "1 worker takes runs."


@pytest.mark.parametrize("nobody", [lambda: None, lambda: a_goodbye(20), lambda: WorkerFactory.create(draining=True)])
def test_what_waits_without_a_worker_is_not_called_good(nobody: Any) -> None:
    nobody()
    assert row("waiting").state == State.GOOD
    assert row("queue").state == State.GOOD
    RunFactory.create()
    queue.ring(1)
    assert row("waiting").state == State.WARNING
    assert row("waiting").text.startswith("1 run waiting")
    assert row("waiting").text.endswith("and no worker takes runs.")
    assert row("queue").state == State.WARNING
    assert row("queue").text.endswith("and no worker takes them.")


def test_workers_that_are_all_about_to_stop_are_said() -> None:
    WorkerFactory.create(draining=True)
    assert "about to stop" in only().text


def test_a_deep_queue_is_said(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "waiting", lambda: 120)
    assert only().text == "120 messages wait in the queue."


def test_a_queue_that_cannot_be_reached_is_said(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise queue.QueueUnreachable("connection refused")

    monkeypatch.setattr(queue, "waiting", refuse)
    problem = only()
    assert (problem.id, problem.level) == ("queue", "error")
    assert "connection refused" in problem.text


def test_runs_that_wait_while_nobody_is_busy_are_said(seen: None) -> None:
    RunFactory.create(enqueued_at=timezone.now() - timedelta(minutes=10))
    problem = only()
    assert problem.id == "waiting"
    assert problem.text == "1 run waiting, and no worker is busy."
    RunFactory.create(running=True)
    assert health.problems() == []


def test_a_log_that_cannot_be_stored_is_said_to_be_delayed(seen: None) -> None:
    written = Journal.create("k-1", HEAD)
    assert health.problems() == []
    mark = written.path / journal.DELAYED
    mark.touch()
    assert health.problems() == []
    os.utime(mark, (time.time() - 60, time.time() - 60))
    problem = only()
    assert problem.id == "delayed"
    assert "Delayed: the log of 1 run" in problem.text


def test_a_log_that_a_dead_process_left_is_said_to_be_delayed(seen: None) -> None:
    written = Journal.create("k-1", HEAD)
    long_ago = (time.time() - 60, time.time() - 60)
    os.utime(written.path, long_ago)
    written.close()
    # It wrote a moment ago.
    assert health.problems() == []
    os.utime(journal.segments(written.path)[-1], long_ago)
    assert only().id == "delayed"
    written.remove()
    assert health.problems() == []


def test_a_log_that_is_being_written_is_not_delayed_however_seldom(seen: None) -> None:
    written = Journal.create("k-1", HEAD)
    for path in (written.path, *journal.segments(written.path)):
        os.utime(path, (time.time() - 60, time.time() - 60))
    assert health.problems() == []
    written.remove()


def test_tables_that_are_not_up_to_date_are_said_with_the_command() -> None:
    MigrationRecorder.Migration.objects.using(spool.alias()).filter(app="console").delete()
    problem = only()
    assert (problem.id, problem.level) == ("tables", "error")
    assert "console.0001_initial" in problem.text
    assert problem.hint.startswith("Run: python manage.py migrate")


def test_a_database_that_does_not_answer_is_a_problem_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: Any) -> Any:
        raise OperationalError("no such host")

    monkeypatch.setattr(probe, "unapplied", down)
    problem = only()
    assert (problem.id, problem.level) == ("database", "error")
    assert "no such host" in problem.text


def test_a_check_that_raises_is_unknown_with_its_error_and_the_others_come(
    monkeypatch: pytest.MonkeyPatch, seen: None
) -> None:
    def broken(*args: Any) -> Any:
        raise ZeroDivisionError("a mistake in the check")

    monkeypatch.setattr(presence, "seen", broken)
    found = {result.id: result for result in health.report().results}
    assert found["workers"].state == State.UNKNOWN
    assert found["workers"].text == "Workers could not be looked at: ZeroDivisionError: a mistake in the check"
    assert found["stuck"].state == State.GOOD
    assert {problem.id: problem.level for problem in health.problems()}["workers"] == "warning"


def test_a_failing_query_of_one_check_does_not_spoil_those_after_it(
    monkeypatch: pytest.MonkeyPatch, seen: None
) -> None:
    def broken(*args: Any) -> Any:
        with connections[spool.alias()].cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr(presence, "seen", broken)
    with transaction.atomic(using=spool.alias()):
        found = {result.id: result.state for result in health.report().results}
    assert found["workers"] == State.UNKNOWN
    assert found["stuck"] == found["queue"] == State.GOOD


def test_every_check_is_a_row_and_all_is_well(seen: None, in_order: None) -> None:
    report = health.report()
    assert [result.id for result in report.results] == [check.id for check in health.CHECKS]
    assert {result.id: result.text for result in report.results if result.state != State.GOOD} == {}
    assert report.state == State.GOOD


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs from one machine to the next, and between databases, is as it should be."""
    canary(answered=5)
    monkeypatch.setattr(logs.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**12))
    monkeypatch.setattr(setup, "_kept", (time.monotonic(), []))


def canary(*, sent: float = 0, answered: float | None = None) -> None:
    """One that was sent so many seconds ago, and perhaps answered."""
    now = databases.now(spool.alias())
    answered_at = None if answered is None else now - timedelta(seconds=answered)
    sent_at = now - timedelta(seconds=max(sent, answered or 0))
    Canary.objects.update_or_create(
        cluster=queue.cluster(), defaults={"sent_at": sent_at, "answered_at": answered_at, "took": 0.2}
    )


# Workers


def test_a_worker_that_was_not_heard_for_three_beats_is_said(seen: None) -> None:
    assert row("workers").text == "1 worker takes runs."
    WorkerFactory.create(seen_at=timezone.now() - timedelta(seconds=40), host="web-2")
    found = row("workers")
    assert found.state == State.WARNING
    assert re.match(r"1 of 2 workers gave no sign of life for up to [45]\d s", found.text)
    assert found.finding.values["seen"] == 2
    assert any("web-2" in each for each in found.finding.details)


def test_workers_of_another_release_are_said(seen: None, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "RELEASE": "2.0"}
    Worker.objects.update(release="1.9")
    found = row("workers")
    assert found.state == State.WARNING
    assert "(1.9)" in found.text
    assert "(2.0)" in found.text
    Worker.objects.update(release="2.0")
    assert row("workers").state == State.GOOD


def test_workers_about_to_stop_do_not_count_and_many_are_not_all_listed(seen: None) -> None:
    WorkerFactory.create_batch(30, draining=True, release="old", seen_at=timezone.now() - timedelta(seconds=60))
    found = row("workers")
    assert found.state == State.GOOD
    assert found.finding.values["taking_runs"] == 1
    assert found.finding.details[-1] == "… and 11 more"


# Canary


def test_a_canary_that_came_through_is_good(seen: None) -> None:
    canary(sent=20, answered=19)
    found = row("canary")
    assert found.state == State.GOOD
    assert found.finding.values["answered"] is True


def test_one_on_its_way_is_good_until_it_is_late(seen: None) -> None:
    canary(sent=50)
    assert row("canary").state == State.GOOD
    canary(sent=70)
    found = row("canary")
    assert found.state == State.BAD
    assert "The queue does not move" in found.text
    assert "only worker has nothing to do" in found.text
    assert [problem.id for problem in health.problems()] == ["canary"]


def test_a_late_canary_behind_busy_workers_is_no_problem() -> None:
    WorkerFactory.create(run=RunFactory.create(running=True))
    canary(sent=3000)
    found = row("canary")
    assert found.state == State.GOOD
    assert "every worker is busy" in found.text


def test_a_late_canary_where_a_run_just_ended_is_no_problem(seen: None) -> None:
    canary(sent=70)
    RunFactory.create(finished=True)
    assert row("canary").state == State.GOOD


def test_with_some_workers_busy_a_late_canary_is_a_warning_at_first(seen: None) -> None:
    WorkerFactory.create(run=RunFactory.create(running=True))
    canary(sent=100)
    assert row("canary").state == State.WARNING
    canary(sent=400)
    assert row("canary").state == State.BAD


def test_a_late_canary_without_workers_says_nothing_about_the_queue() -> None:
    canary(sent=400)
    assert row("canary").state == State.UNKNOWN
    assert ids() == ["workers"]


def test_workers_that_send_no_canary_are_said(seen: None) -> None:
    canary(sent=500, answered=499)
    assert row("canary").state == State.WARNING
    Worker.objects.all().delete()
    assert row("canary").state == State.GOOD


def test_workers_that_never_sent_one_are_said_once_they_had_the_time(seen: None) -> None:
    assert row("canary").state == State.GOOD
    Worker.objects.update(started_at=timezone.now() - timedelta(minutes=5))
    assert row("canary").text == "No worker has sent a canary through the queue yet."


def test_the_canary_can_be_off(seen: None, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "CANARY_SECONDS": 0}
    canary(sent=400)
    assert row("canary").state == State.GOOD


# Queue and runs


def test_the_queue_says_how_many_wait_and_since_when(seen: None) -> None:
    assert row("queue").text == "The queue is empty."
    key = queue.cluster()
    OrmQ.objects.create(key=key, payload="x", lock=timezone.now() - timedelta(seconds=90))
    OrmQ.objects.create(key=key, payload="x", lock=timezone.now() - timedelta(seconds=5))
    # One that a worker has, and one of another cluster.
    OrmQ.objects.create(key=key, payload="x", lock=timezone.now() + timedelta(days=8))
    OrmQ.objects.create(key="other", payload="x", lock=timezone.now() - timedelta(days=8))
    found = row("queue")
    assert found.text.startswith("2 messages wait in the queue, the oldest for 1 m 3")
    assert found.finding.values["messages"] == 2


def test_a_broker_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, seen: None) -> None:
    hold = threading.Event()
    monkeypatch.setattr(queue.Conf, "ORM", None)
    monkeypatch.setattr(queue, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(queue, "get_broker", lambda name: SimpleNamespace(queue_size=hold.wait))
    problem = only()
    hold.set()
    assert problem.id == "queue"
    assert "no answer within 0.1 s" in problem.text


def test_runs_without_a_sign_of_life_are_said_to_be_possibly_stuck(seen: None) -> None:
    run = RunFactory.create(running=True)
    assert row("stuck").state == State.GOOD
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=45))
    found = row("stuck")
    assert found.state == State.WARNING
    assert re.match(r"Possibly stuck: 1 run has given no sign of life for up to (4|5)\d s", found.text)
    assert found.finding.details[0].startswith(f"Run {run.pk} of increment_items_2026_01_01 on elsewhere")
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=200))
    assert row("stuck").state == State.BAD


def test_runs_that_wait_for_approval_are_counted_and_said_when_it_gets_late(seen: None) -> None:
    assert row("approval").text == "No run waits for approval."
    run = RunFactory.create(status="waiting", approval_expires_at=timezone.now() + timedelta(days=2))
    found = row("approval")
    assert found.state == State.GOOD
    assert found.text.startswith("1 run waits for approval")
    Run.objects.filter(pk=run.pk).update(approval_expires_at=timezone.now() + timedelta(minutes=30))
    assert "1 will expire within the hour" in row("approval").text
    assert row("approval").state == State.WARNING
    Run.objects.update(approval_expires_at=None, requested_at=timezone.now() - timedelta(days=2))
    assert row("approval").state == State.WARNING


def test_a_scheduled_run_whose_time_has_passed_is_said(seen: None) -> None:
    RunFactory.create(status="scheduled", start_at=timezone.now() + timedelta(minutes=10))
    assert row("schedule").state == State.GOOD
    Run.objects.update(start_at=timezone.now() - timedelta(minutes=10))
    assert re.fullmatch(r"1 scheduled run was not begun in time; it is 10 m \d\d s late\.", only().text)


# Logs


def test_lines_that_wait_on_the_host_of_a_worker_are_said(seen: None) -> None:
    Worker.objects.update(host="worker-7", log_lag=3)
    assert row("delayed").state == State.GOOD
    Worker.objects.update(log_lag=200)
    found = row("delayed")
    assert found.state == State.WARNING
    assert "log lines wait on worker-7 to be stored" in found.text
    Worker.objects.update(log_lag=2000)
    assert row("delayed").state == State.BAD


def test_the_size_of_the_logs_and_the_room_for_more(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=5 * 10**9)
    monkeypatch.setattr(logs.shutil, "disk_usage", lambda path: free)
    found = row("logs")
    assert found.state == State.GOOD
    assert found.finding.values["bytes"] > 0
    # SQLite does not tell what one table takes.
    is_file = connections[spool.alias()].vendor == "sqlite"
    assert found.text.startswith("The logs are in the file of the database" if is_file else "The logs take ")
    free.free = 100 * 1024**2
    assert row("logs").state == State.WARNING
    free.free = 10 * 1024**2
    found = row("logs")
    assert found.state == State.BAD
    assert found.text.startswith("Only 10.0 MB are free on this host")


def test_code_that_was_changed_since_it_was_loaded_is_said(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert row("code").state == State.GOOD
    migration = registry.all_migrations()[0]
    monkeypatch.setattr(RegisteredMigration, "source", property(lambda self: f"# {self.name}"))
    # Thousands of files are not read with each look.
    assert row("code").state == State.GOOD
    setup.forget()
    found = row("code")
    assert found.state == State.WARNING
    assert "changed after this web server had started" in found.text
    assert found.hint == "Restart web server and workers."
    count = sum(1 for each in registry.all_migrations() if each.command_class is not None)
    assert len(found.finding.values["stale"]) == min(count, setup.MOST_NAMES)
    monkeypatch.setattr(setup, "MOST_NAMES", 2)
    assert len(row("code").finding.values["stale"]) == 2
    monkeypatch.setattr(registry, "all_migrations", lambda: [migration])
    setup.forget()
    assert row("code").text.startswith("The file of 1 data migration was changed after")


# Databases


def test_a_clock_that_is_off_is_said_of_the_host_that_it_is_on(seen: None) -> None:
    assert row("clock").state == State.GOOD
    Worker.objects.update(host="worker-7", clock_skew=-4.2)
    found = row("clock")
    assert found.state == State.WARNING
    assert found.finding.details == ("worker host worker-7 and the console's database: 4.2 s apart",)
    Worker.objects.update(clock_skew=120)
    assert row("clock").state == State.BAD


def test_a_host_whose_clock_is_off_from_a_database_is_said(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skew.time, "time", lambda: datetime.now(UTC).timestamp() + 10)
    found = row("clock")
    assert found.state == State.WARNING
    told = [
        re.fullmatch(r"this host and database 'default': ([0-9.]+) s apart", each) for each in found.finding.details
    ]
    # What the question takes counts as no difference, and a machine with much to do takes its time.
    assert [7 < float(each[1]) < 10.1 for each in told if each] == [True]


def test_a_database_without_the_ledger_is_said_with_the_command(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "missing_tables", lambda using: ["data_migrations_lease"] if using == "other" else [])
    found = row("ledger")
    assert found.state == State.BAD
    assert "data_migrations_lease in 'other'" in found.text
    assert "python manage.py migrate data_migrations --database other" in found.hint


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_schema_migrations_that_lack_in_another_database_are_said() -> None:
    recorded = MigrationRecorder.Migration.objects.using("other")
    recorded.filter(app="data_migrations", name="0002_applied_source").delete()
    try:
        found = row("tables")
    finally:
        recorded.create(app="data_migrations", name="0002_applied_source")
    assert found.state == State.BAD
    assert "data_migrations.0002_applied_source not applied in other" in found.text
    assert found.hint == "Run: python manage.py migrate --database other"
    # The console itself can still be asked.
    assert row("stuck").state == State.GOOD


@contextmanager
def dead_database(alias: str) -> Iterator[None]:
    """A database whose server takes connections and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        port = silent.getsockname()[1]
        known = connections.settings
        entry = {
            **known["default"],
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": port,
            "USER": "ana",
            "PASSWORD": "hunter2-hunter2",
            "OPTIONS": {},
        }
        connections.settings = {**known, alias: entry}
        try:
            yield
        finally:
            connections.settings = known


def test_a_dead_database_is_said_and_holds_nobody_up(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Those that are alive have to answer within it, however busy the machine is.
    monkeypatch.setattr(probe, "ANSWER_SECONDS", 3)
    with dead_database("warehouse"):
        # Without limits this does not come back.
        found = {result.id: result for result in health.report().results}
    assert found["database"].state == State.BAD
    assert "'warehouse' does not answer" in found["database"].text
    assert found["workers"].state == State.GOOD
    assert found["ledger"].state == State.GOOD


def test_threads_do_not_pile_up_behind_a_dead_database(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    whole = probe.ask

    def ask(alias: str, **options: Any) -> probe.Probe:
        if alias == "other":
            hold.wait(60)
        return whole(alias, **options)

    monkeypatch.setattr(probe, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(probe, "ask", ask)
    try:
        assert probe.ask_all(["other"])["other"].error == "no answer within 0.2 s"
        first = probe._asking["other"]
        assert probe.ask_all(["other"])["other"].error == "no answer within 0.2 s"
        assert probe._asking["other"] is first
    finally:
        hold.set()
        first.join()
    monkeypatch.setattr(probe, "ANSWER_SECONDS", 60)
    assert probe.ask_all(["other"])["other"].error == ""


def test_while_the_consoles_database_is_away_the_rest_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(alias: str, **options: Any) -> probe.Probe:
        return probe.Probe(alias, error="connection refused" if alias == spool.alias() else "")

    monkeypatch.setattr(probe, "ask", down)
    monkeypatch.setattr(presence, "seen", lambda: pytest.fail("it was asked"))
    report = health.report()
    found = {result.id: result for result in report.results}
    assert report.state == State.BAD
    assert found["database"].state == State.BAD
    assert "connection refused" in found["database"].text
    assert found["workers"].text == "Not asked: the console's database does not answer."
    assert found["settings"].state != State.UNKNOWN


@pytest.mark.skipif(databases_of_tests.chosen() != "sqlite", reason="SQLite only")
def test_sqlite_that_is_not_set_up_for_several_processes_is_said(monkeypatch: pytest.MonkeyPatch, seen: None) -> None:
    assert row("sqlite").state == State.GOOD
    monkeypatch.setitem(connections["other"].settings_dict, "OPTIONS", {"timeout": 30})
    found = row("sqlite")
    assert found.state == State.WARNING
    assert "'other' begins its transactions DEFERRED" in found.text
    whole = probe.ask

    def delete_mode(alias: str, **options: Any) -> probe.Probe:
        asked = whole(alias, **options)
        asked.journal_mode = "delete"
        return asked

    monkeypatch.setattr(probe, "ask", delete_mode)
    assert "'default' is in journal mode delete, not WAL" in row("sqlite").text


# Settings


def test_retry_shorter_than_a_run_may_take_is_said(seen: None, settings: Any) -> None:
    assert row("retry").state == State.GOOD
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "retry": 3600}
    found = row("retry")
    assert found.state == State.WARNING
    assert found.finding.values["retry_seconds"] == 3600


def test_retry_shorter_than_the_longest_run_is_bad(seen: None, settings: Any) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "retry": 3600}
    run = RunFactory.create(finished=True)
    ended = timezone.now()
    AttemptFactory.create(run=run, started_at=ended - timedelta(hours=2), ended_at=ended)
    found = row("retry")
    assert found.state == State.BAD
    assert "took 2 h 00 m" in found.text


def test_a_run_that_goes_on_counts_as_long_as_it_has_lasted(seen: None, settings: Any) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "retry": 3600}
    AttemptFactory.create(started_at=timezone.now() - timedelta(hours=3))
    assert row("retry").state == State.BAD


def test_the_settings_of_the_cluster_that_works_on_data_migrations_count(seen: None, settings: Any) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"long": {"retry": 100}}}
    assert row("retry").state == State.GOOD
    settings.CONSOLE = {**settings.CONSOLE, "CLUSTER": "long"}
    found = row("retry")
    assert found.state == State.WARNING
    assert "'long'" in found.text
    settings.CONSOLE = {**settings.CONSOLE, "CLUSTER": "typo"}
    assert row("retry").state == State.BAD
    assert "neither Q_CLUSTER nor its ALT_CLUSTERS has that name" in row("retry").text


def test_what_the_system_checks_say_is_said(seen: None, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "TYPO": 1}
    found = row("settings")
    assert found.state == State.BAD
    assert "console.E001" in found.finding.values["errors"]
    setup.forget()
    settings.SILENCED_SYSTEM_CHECKS = ["console.E001"]
    assert "console.E001" not in row("settings").finding.values["errors"]


# Notices


def notice(**fields: Any) -> Notice:
    count = Notice.objects.count()
    return Notice.objects.create(event="failed", channel="email", once_key=str(count), subject="x", text="x", **fields)


def test_a_channel_that_does_not_work_is_said_without_its_secrets(seen: None) -> None:
    notice(sent_at=timezone.now() - timedelta(hours=1))
    assert row("notices").state == State.GOOD
    notice(error="Traceback\nSMTPServerDisconnected: please log in with token=abcdef123456", tries=8)
    found = row("notices")
    assert found.state == State.WARNING
    assert found.text.startswith("1 notice could not be sent by email: SMTPServerDisconnected: please log in")
    assert "abcdef123456" not in found.text
    Notice.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert row("notices").state == State.GOOD


def test_notices_that_nobody_sends_are_said(seen: None) -> None:
    notice(due_at=timezone.now() - timedelta(minutes=20))
    assert only().text == "1 notice should have been sent a while ago."


# Secrets, cost


def test_passwords_in_errors_are_not_shown(seen: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "HEALTH_TOKEN": "a-token-of-a-monitor"}
    said = f"redis://ana:opensesame@cache/0 {settings.SECRET_KEY} a-token-of-a-monitor password=swordfish"

    def refuse() -> int:
        raise queue.QueueUnreachable(said)

    monkeypatch.setattr(queue, "waiting", refuse)
    text = row("queue").text
    assert "@cache/0" in text
    for secret in ("opensesame", settings.SECRET_KEY, "a-token-of-a-monitor", "swordfish"):
        assert secret not in text


@pytest.mark.parametrize("look", [health.problems, health.report])
def test_the_number_of_queries_does_not_grow(seen: None, look: Any) -> None:
    def count() -> int:
        with CaptureQueriesContext(connections[spool.alias()]) as captured:
            look()
        return len(captured)

    look()
    before = count()
    WorkerFactory.create_batch(30, run=RunFactory.create(running=True))
    RunFactory.create_batch(30)
    for index in range(30):
        AttemptFactory.create(run=RunFactory.create(running=True), number=index)
        notice(error="x")
    assert count() <= before + 4
    assert before <= 45
