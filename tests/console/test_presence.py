"""Worker processes say that they are there."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from queue import Queue
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from console import journal, presence, queue, rescue, skew
from console.journal import Journal
from console.models import Worker
from data_migrations import databases
from data_migrations.processes import Process
from tests.console.factories import RunFactory, WorkerFactory

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_a_beat_makes_a_row_and_the_next_renews_it() -> None:
    me = Process.current()
    presence.beat(me, None)
    first = Worker.objects.get()
    assert (first.host, first.pid, first.draining) == (me.host, me.pid, False)
    presence.beat(me, RunFactory.create().pk)
    again = Worker.objects.get()
    assert again.pk == first.pk
    assert again.seen_at >= first.seen_at
    assert again.run_id


def test_a_beat_tells_how_late_the_logs_of_its_host_are_and_how_far_off_its_clock_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    presence.beat(Process.current(), None)
    worker: Any = Worker.objects.get()
    assert (worker.log_lag, worker.clock_skew) == (0, pytest.approx(0, abs=1))
    written = Journal.create("k-1", {"key": "k", "attempt": {"number": 1}})
    (written.path / journal.DELAYED).touch()
    os.utime(written.path / journal.DELAYED, (time.time() - 90, time.time() - 90))
    now = databases.now
    monkeypatch.setattr(databases, "now", lambda using: now(using) - timedelta(minutes=5))
    presence.beat(Process.current(), None)
    worker.refresh_from_db()
    assert (worker.log_lag, worker.clock_skew) == (pytest.approx(90, abs=30), pytest.approx(300, abs=30))
    written.remove()


def test_a_slow_answer_of_the_database_is_not_taken_for_a_wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = databases.now

    def slow(using: str) -> Any:
        answer = now(using)
        time.sleep(0.3)
        return answer

    monkeypatch.setattr(databases, "now", slow)
    assert abs(skew.measure("default")[1]) < 0.1


def test_a_worker_that_is_asked_to_stop_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "is_stopping", lambda: True)
    presence.beat(Process.current(), None)
    assert Worker.objects.get().draining


def test_workers_seen_lately_are_counted_and_others_are_not() -> None:
    WorkerFactory.create(seen_at=timezone.now() - timedelta(seconds=91))
    lately = WorkerFactory.create(seen_at=timezone.now() - timedelta(seconds=80))
    assert [worker.pk for worker in presence.seen()] == [lately.pk]


def test_rows_of_the_dead_are_taken_away_when_a_worker_comes() -> None:
    me = Process.current()
    WorkerFactory.create(host=me.host, machine=me.machine, pid=me.pid, pid_started="1")
    WorkerFactory.create(seen_at=timezone.now() - timedelta(days=2))
    elsewhere = WorkerFactory.create()
    presence.beat(me, None)
    assert set(Worker.objects.values_list("pid", flat=True)) == {me.pid, elsewhere.pid}
    assert Worker.objects.count() == 2


def test_a_worker_that_ends_as_asked_says_goodbye_and_is_not_counted_any_more() -> None:
    presence.beat(Process.current(), None)
    other = WorkerFactory.create()
    assert presence.seen().count() == 2
    presence.leave()
    assert [worker.pk for worker in presence.seen()] == [other.pk]
    # While another one may still be there, nobody was the last.
    assert presence.last_goodbye() is None or presence.seen().exists()
    other.delete()
    assert presence.last_goodbye() == pytest.approx(databases.now("default"), abs=timedelta(seconds=5))


def test_a_worker_that_was_killed_after_the_last_goodbye_leaves_the_end_unknown() -> None:
    now = timezone.now()
    WorkerFactory.create(seen_at=now - timedelta(minutes=9), left_at=now - timedelta(minutes=9))
    WorkerFactory.create(seen_at=now - timedelta(minutes=5))
    assert presence.last_goodbye() is None


def test_a_goodbye_that_cannot_be_written_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    hanging: Queue[threading.Thread] = Queue()

    def hang(*args: Any) -> None:
        hanging.put(threading.current_thread())
        goes_on.wait(60)
        raise OperationalError("the database is away")

    monkeypatch.setattr(presence, "_own", hang)
    monkeypatch.setattr(presence, "GOODBYE_SECONDS", 0.2)
    begun = time.monotonic()
    presence.leave()
    assert time.monotonic() - begun < 5
    # Its session would be in the way of whoever drops the database. It may not have come so far yet.
    goes_on.set()
    thread = hanging.get(timeout=30)
    thread.join(30)
    assert not thread.is_alive()


def test_a_database_that_is_away_does_not_end_the_beat(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def down(*args: Any) -> None:
        raise OperationalError("the database is away")

    me = presence.Presence(Process.current())
    with monkeypatch.context() as patch:
        patch.setattr(presence, "beat", down)
        me.tick()
        me.tick()
    assert [record.getMessage() for record in caplog.records].count(
        f"The console's database does not answer the worker {presence.name()}: the database is away"
    ) == 1
    me.tick()
    assert Worker.objects.count() == 1


def test_after_the_database_was_away_the_living_may_beat_before_anybody_is_declared_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(*args: Any) -> None:
        raise OperationalError("the database is away")

    swept: list[int] = []
    monkeypatch.setattr(rescue, "sweep", lambda: swept.append(1))
    me = presence.Presence(Process.current())
    me.tick()
    assert swept == [1]
    with monkeypatch.context() as patch:
        patch.setattr(presence, "beat", down)
        me.tick()
    me.tick()
    assert swept == [1]
    me._sweeps_from -= 31
    me.tick()
    assert swept == [1, 1]


def test_an_error_in_a_chore_does_not_end_the_beat(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def broken() -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(rescue, "sweep", broken)
    presence.Presence(Process.current()).tick()
    assert "a mistake" in caplog.text


def test_the_thread_beats_and_ends_when_told() -> None:
    presence.start()
    try:
        presence.start()
        assert sum(isinstance(each, presence.Presence) for each in threading.enumerate()) == 1
        for _ in range(500):
            if Worker.objects.exists():
                break
            threading.Event().wait(0.02)
        assert Worker.objects.get().pid == Process.current().pid
    finally:
        presence.stop()
    assert not [each for each in threading.enumerate() if isinstance(each, presence.Presence)]


def test_the_stop_event_of_the_cluster_is_found_from_within_a_worker() -> None:
    from django_q.cluster import Sentinel

    class Fake(Sentinel):
        def __init__(self) -> None:
            self.stop_event = threading.Event()

        def spawn(self) -> Any:
            import sys

            def worker() -> Any:
                return queue._find_stop_event(sys._getframe())

            return worker()

    sentinel = Fake()
    assert sentinel.spawn() is sentinel.stop_event
    assert queue._find_stop_event(None) is None


def test_a_worker_whose_cluster_was_killed_counts_as_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats on, but nobody will ever feed it."""
    assert not queue.is_stopping()
    monkeypatch.setattr(queue, "_feeder", os.getppid())
    assert not queue.is_stopping()
    monkeypatch.setattr(queue, "_feeder", os.getppid() + 1)
    assert queue.is_stopping()


def test_presence_closes_its_connections() -> None:
    done = presence.Presence(Process.current())
    done._ended.set()
    closed: list[Any] = []
    run = done.run

    def look() -> None:
        run()
        closed.extend(connection.connection for connection in connections.all(initialized_only=True))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert closed
    assert set(closed) == {None}
