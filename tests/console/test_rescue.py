"""Runs that lost their process, or their message."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.utils import Error, InterfaceError
from django.utils import timezone

from console import logs, queue, rescue, spool, states, store, worker
from console.models import Attempt, Run
from console.states import Status
from data_migrations.models import Lease
from data_migrations.processes import machine, started
from tests.console.factories import AttemptFactory, RunFactory

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids for which the bell was rung."""
    found: list[int] = []
    monkeypatch.setattr(queue, "ring", found.append)
    return found


def lost(**fields: Any) -> Run:
    """A run whose process on this machine is gone for certain."""
    run = RunFactory.create(running=True, **fields)
    AttemptFactory.create(run=run, number=run.attempt, pid_started="1")
    return run


def silent(seconds: float, **fields: Any) -> Run:
    """A run of another machine that gave no sign of life for so long."""
    run = RunFactory.create(running=True, heartbeat_at=timezone.now() - timedelta(seconds=seconds), **fields)
    AttemptFactory.create(run=run, machine="elsewhere", host="elsewhere")
    return run


def test_an_atomic_run_whose_process_is_gone_is_taken_up_by_another_worker(rung: list[int]) -> None:
    run = lost()
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert rung == [run.pk]
    assert "is gone" in run.note
    attempt = run.attempts.get()
    assert attempt.outcome == "interrupted"
    assert attempt.ended_at
    assert logs.read(run).lines[-1].text.startswith("Interrupted: ")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)


@pytest.mark.parametrize("at", ["the line in the log", "the way back into the queue"])
def test_a_rescuer_that_is_killed_in_the_middle_leaves_the_run_to_the_next_one(
    rung: list[int], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    run = lost()
    transition = states.transition

    def killed(*args: Any, **options: Any) -> Any:
        raise SystemExit("killed")

    def unless_enqueued(run_id: int, to: Status, **options: Any) -> bool:
        return killed() if to == Status.ENQUEUED else transition(run_id, to, **options)

    with monkeypatch.context() as patch:
        if at == "the line in the log":
            patch.setattr(store, "append", killed)
        else:
            patch.setattr(states, "transition", unless_enqueued)
        with pytest.raises(SystemExit):
            rescue.sweep()
    run.refresh_from_db()
    assert (run.status, run.note, rung) == (Status.RUNNING, "", [])
    assert run.attempts.get().ended_at is None
    assert logs.read(run).lines == []
    rescue.sweep()
    run.refresh_from_db()
    assert (run.status, rung) == (Status.ENQUEUED, [run.pk])
    assert [line.text.partition(":")[0] for line in logs.read(run).lines] == ["Interrupted"]


def test_a_run_that_gives_signs_of_life_is_left_alone(rung: list[int]) -> None:
    run = silent(5)
    here = AttemptFactory.create().run
    rescue.sweep()
    for each in (run, here):
        each.refresh_from_db()
        assert each.status == Status.RUNNING
    assert rung == []


def test_a_silent_run_of_another_machine_is_interrupted_within_a_minute(rung: list[int]) -> None:
    run = silent(31)
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert "no sign of life" in run.note


def test_a_process_that_is_there_but_silent_gets_longer(rung: list[int]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            run = RunFactory.create(running=True, heartbeat_at=timezone.now() - timedelta(seconds=60))
            AttemptFactory.create(run=run, pid=process.pid, machine=machine(), pid_started=started(process.pid))
            rescue.sweep()
            run.refresh_from_db()
            assert run.status == Status.RUNNING
            Run.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=130))
            rescue.sweep()
            run.refresh_from_db()
            assert run.status == Status.ENQUEUED
        finally:
            process.kill()


def test_a_pid_that_was_given_to_another_process_counts_as_gone(rung: list[int]) -> None:
    run = lost(pid=1)
    rescue.sweep()
    assert rung == [run.pk]


def test_a_run_that_is_not_atomic_and_had_begun_stays_interrupted_and_says_what_to_do(rung: list[int]) -> None:
    run = lost(atomic=False, begun=True)
    rescue.sweep()
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.INTERRUPTED
    assert "Look at the data" in run.note
    assert rung == []


def test_a_run_that_is_not_atomic_but_had_not_begun_is_taken_up(rung: list[int]) -> None:
    run = lost(atomic=False, begun=False)
    rescue.sweep()
    assert rung == [run.pk]


def test_the_lease_knows_that_the_work_had_begun_where_the_run_does_not(rung: list[int]) -> None:
    Lease.objects.create(name="increment_items_2026_01_01", unfinished=True)
    run = lost(atomic=False, begun=False)
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.INTERRUPTED
    assert rung == []


def test_a_dry_run_is_always_taken_up(rung: list[int]) -> None:
    run = lost(atomic=False, begun=True, kind="dry_run")
    rescue.sweep()
    assert rung == [run.pk]


def test_a_run_that_dies_again_and_again_is_given_up_with_advice(rung: list[int], settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "MAX_ATTEMPTS": 3}
    run = RunFactory.create()
    for number in (1, 2, 3):
        claim = worker.take(run.pk)
        assert claim is not None
        Attempt.objects.filter(run=run, number=number).update(pid_started="1")
        rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.INTERRUPTED
    assert "MAX_ATTEMPTS" in run.note
    assert len(rung) == 2


def test_attempts_that_were_given_back_do_not_count_as_deaths(rung: list[int], settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "MAX_ATTEMPTS": 2}
    run = lost(attempt=4)
    for number in (1, 2, 3):
        Attempt.objects.create(run=run, number=number, outcome="stopped: stop")
    rescue.sweep()
    assert rung == [run.pk]


def test_a_dead_run_that_was_to_be_cancelled_is(rung: list[int]) -> None:
    run = lost(control="cancel", control_by="bea")
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
    assert "bea" in run.note
    assert rung == []


def test_a_dead_run_from_the_shell_is_shown_and_not_started_by_a_worker(rung: list[int]) -> None:
    run = lost(door="shell")
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.INTERRUPTED
    assert rung == []


def test_a_beat_between_look_and_verdict_saves_the_run(rung: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    run = silent(40)

    def beat(*args: Any) -> Any:
        Run.objects.update(heartbeat_at=timezone.now())
        return verdict(*args)

    verdict = rescue._verdict
    monkeypatch.setattr(rescue, "_verdict", beat)
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.RUNNING
    assert logs.read(run).lines == []


def test_of_many_workers_that_sweep_at_once_one_rescues(rung: list[int]) -> None:
    run = lost()
    barrier = threading.Barrier(5)

    def sweep() -> None:
        try:
            barrier.wait()
            rescue.sweep()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=sweep) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rung == [run.pk]
    assert len(logs.read(run).lines) == 1
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED


def test_the_bell_is_rung_again_for_a_run_that_nobody_claimed(rung: list[int]) -> None:
    """Its message may be lost: Redis, a rotated SECRET_KEY, a worker killed with its messages."""
    long_ago = timezone.now() - timedelta(seconds=70)
    run = RunFactory.create(enqueued_at=long_ago, rung_at=long_ago)
    rescue.sweep()
    rescue.sweep()
    assert rung == [run.pk]


def test_a_run_that_was_never_rung_for_is_rung_for_soon(rung: list[int]) -> None:
    """The process that asked for it died between its commit and the bell."""
    run = RunFactory.create(enqueued_at=timezone.now() - timedelta(seconds=6), rung_at=None)
    RunFactory.create(enqueued_at=timezone.now(), rung_at=None)
    rescue.sweep()
    assert rung == [run.pk]


def test_the_bell_is_rung_ever_more_seldom(rung: list[int]) -> None:
    now = timezone.now()
    RunFactory.create(enqueued_at=now - timedelta(minutes=20), rung_at=now - timedelta(minutes=5))
    rescue.sweep()
    assert rung == []
    Run.objects.update(enqueued_at=now - timedelta(days=2), rung_at=now - timedelta(minutes=16))
    rescue.sweep()
    assert len(rung) == 1


def test_a_queue_that_is_down_while_ringing_again_fails_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run_id: int) -> None:
        raise queue.QueueUnreachable("down")

    monkeypatch.setattr(queue, "ring", refuse)
    long_ago = timezone.now() - timedelta(seconds=70)
    run = RunFactory.create(enqueued_at=long_ago, rung_at=long_ago)
    dead = lost()
    rescue.sweep()
    for each in (run, dead):
        each.refresh_from_db()
        assert each.status == Status.ENQUEUED


@pytest.mark.skipif(
    connections["default"].vendor == "sqlite", reason="SQLite has no locks of rows: its one lock is waited for"
)
def test_a_frozen_process_that_holds_its_runs_row_does_not_stop_the_rescue(rung: list[int]) -> None:
    """PostgreSQL and MariaDB end a transaction of ours that stands still, and meanwhile other runs are seen to."""
    run = lost()
    other = lost()
    held, let_go = threading.Event(), threading.Event()

    def freeze() -> None:
        try:
            spool.prepare_connection()
            with transaction.atomic(using=spool.alias()):
                Run.objects.filter(pk=run.pk).update(note="held")
                held.set()
                let_go.wait(60)
        except (Error, InterfaceError):
            pass
        finally:
            connections.close_all()

    def sweep() -> None:
        try:
            spool.prepare_connection()
            rescue.sweep()
        finally:
            connections.close_all()

    frozen = threading.Thread(target=freeze)
    frozen.start()
    try:
        assert held.wait(20)
        for _ in range(6):
            sweeper = threading.Thread(target=sweep)
            sweeper.start()
            sweeper.join()
        assert sorted(rung) == [run.pk, other.pk]
    finally:
        let_go.set()
        frozen.join()
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED


def test_a_dead_run_that_was_to_be_stopped_by_force_is_cancelled(rung: list[int]) -> None:
    run = lost(control="force", control_by="bea")
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
    assert "stopped by force by bea" in run.note
    assert rung == []


def test_a_dead_batched_run_that_was_to_be_paused_is(rung: list[int]) -> None:
    run = lost(control="pause", control_by="bea", in_batches=True)
    rescue.sweep()
    run.refresh_from_db()
    assert (run.status, run.control) == (Status.PAUSED, "")
    assert rung == []


def test_a_batched_run_is_taken_up_although_it_had_begun_and_says_what_is_kept(rung: list[int]) -> None:
    run = lost(atomic=False, begun=True, in_batches=True)
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert "Its finished batches are kept (0 rows)" in run.note
    assert rung == [run.pk]


def test_a_batched_run_of_a_shell_says_that_it_goes_on_when_it_is_run_again(rung: list[int]) -> None:
    run = lost(door="shell", in_batches=True)
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.INTERRUPTED
    assert "goes on after them" in run.note


def test_a_frozen_batched_run_is_taken_over_within_a_minute(rung: list[int]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            run = RunFactory.create(running=True, in_batches=True, heartbeat_at=timezone.now() - timedelta(seconds=31))
            AttemptFactory.create(run=run, pid=process.pid, machine=machine(), pid_started=started(process.pid))
            rescue.sweep()
            run.refresh_from_db()
            assert run.status == Status.ENQUEUED
        finally:
            process.kill()


@pytest.mark.parametrize(("rows", "status"), [((0, 0, 0, 0), Status.INTERRUPTED), ((0, 0, 0, 7), Status.ENQUEUED)])
def test_a_batched_run_may_lose_its_process_often_while_it_comes_forward(
    rung: list[int], rows: tuple[int, ...], status: Status
) -> None:
    run = lost(in_batches=True, attempt=5)
    for number, done in enumerate(rows, 1):
        Attempt.objects.create(run=run, number=number, outcome="interrupted", rows=done)
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == status
