"""Batched runs of the queue's workers, which are killed, frozen and deployed: every row exactly once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from console import dispatch, logs
from console.models import Run, Worker
from console.states import Status
from data_migrations import checkpoints, ledger
from tests import databases
from tests.lifecycle.test_cluster import Cluster, amounts, clusters, ended, until  # noqa: F401  (a fixture)
from tests.testapp.models import Item

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]

NAME = "batch_increment_2026_02_01"
KILLS = max(4, int(os.environ.get("TEST_KILLS", "100")) // 10)
ROWS = int(os.environ.get("TEST_ROWS", "20000"))
HASTY = {"DJANGO_SETTINGS_MODULE": "tests.lifecycle.hasty"}


@pytest.fixture(autouse=True)
def items(transactional_db: None) -> None:
    Item.objects.bulk_create([Item(name=f"item {number}") for number in range(ROWS)], batch_size=5000)


def at_work(run: Run, attempt: int) -> bool:
    """Whether that attempt has finished batches behind it, and is in the middle of more."""
    run.refresh_from_db()
    assert not run.is_finished, run.error_message
    return run.attempt == attempt and run.status == Status.RUNNING and run.begun


def rows() -> int:
    checkpoint = checkpoints.find(NAME, "default")
    return checkpoint.rows if checkpoint else 0


def hurry() -> None:
    """From here on it may come to its end."""
    assert checkpoints.wish(NAME, "default", batch_size=2000)


def test_killed_at_random_moments_every_row_is_worked_on_once_without_anyones_hand(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters(**HASTY)
    moments = random.Random(20261121)
    run = dispatch.request_run(NAME, user="ana", values={"each": 0.02}, reason="test")
    for number in range(1, KILLS + 1):
        until(lambda number=number: at_work(run, number))
        time.sleep(moments.uniform(0, 0.5))
        assert at_work(run, number)
        assert run.pid
        # It is busy, with thousands of rows to go: an idle one must never be killed.
        os.kill(run.pid, signal.SIGKILL)
        until(lambda number=number: run.attempts.filter(number=number, outcome="interrupted").exists())
    hurry()
    until(lambda: ended(run), seconds=120)
    assert (run.status, run.attempt, run.result) == (Status.SUCCEEDED, KILLS + 1, str(ROWS))
    assert amounts() == {1}
    record = ledger.get(NAME, "default")
    assert record is not None
    assert record.times_applied == 1
    attempts = list(run.attempts.all())
    assert [each.outcome for each in attempts] == ["interrupted"] * KILLS + ["applied"]
    done = [each.rows or 0 for each in attempts[:-1]]
    assert done == sorted(done)
    assert all(each.pid and each.host and each.ended_at for each in attempts)
    assert any("another worker goes on after them" in line.text for line in logs.read(run, limit=5000).lines)


def test_a_deploy_interrupts_at_a_batch_boundary_and_the_next_worker_goes_on(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    first = clusters(**HASTY)
    run = dispatch.request_run(NAME, user="ana", values={"each": 0.05}, reason="test")
    until(lambda: at_work(run, 1) and rows() > 0)
    assert first.stop() == 0
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert "Its finished batches are kept; it goes on by itself after them" in run.note
    kept = rows()
    assert 0 < kept < ROWS
    assert Item.objects.filter(amount=1).count() == kept
    hurry()
    clusters(**HASTY)
    until(lambda: ended(run), seconds=120)
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert [each.outcome for each in run.attempts.all()] == ["stopped: stop", "applied"]
    assert any(f"{kept:,} rows were done" in line.text for line in logs.read(run, limit=5000).lines)
    assert amounts() == {1}


def test_a_paused_run_keeps_its_batches_and_goes_on_there_when_it_is_resumed(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters(**HASTY)
    run = dispatch.request_run(NAME, user="ana", values={"each": 0.05}, reason="test")
    until(lambda: at_work(run, 1) and rows() > 0)
    assert dispatch.request_pause(run.pk, "bea")
    until(lambda: Run.objects.filter(pk=run.pk, status=Status.PAUSED).exists())
    kept = rows()
    assert Item.objects.filter(amount=1).count() == kept
    time.sleep(1)
    assert rows() == kept
    hurry()
    assert dispatch.request_resume(run.pk, "bea")
    until(lambda: ended(run), seconds=120)
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert amounts() == {1}


@pytest.mark.skipif(
    databases.chosen() != "postgresql", reason="elsewhere a frozen process keeps its locks until it wakes"
)
def test_a_frozen_worker_that_wakes_after_takeover_commits_nothing(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    first = clusters(**HASTY)
    run = dispatch.request_run(NAME, user="ana", values={"each": 0.05}, reason="test")
    until(lambda: at_work(run, 1) and rows() > 0)
    frozen = run.pid
    began = time.monotonic()
    os.killpg(first.process.pid, signal.SIGSTOP)
    try:
        clusters(**HASTY)
        until(lambda: at_work(run, 2))
        assert time.monotonic() - began < 60
        hurry()
        until(lambda: ended(run), seconds=120)
    finally:
        os.killpg(first.process.pid, signal.SIGCONT)
    asleep = Worker.objects.filter(pid=frozen).first()
    if asleep is not None:
        until(lambda: not Worker.objects.filter(pk=asleep.pk, seen_at=asleep.seen_at).exists())
    time.sleep(2)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert amounts() == {1}
    outcomes = [each.outcome for each in run.attempts.all()]
    # That of the first may be what it said itself, once it had woken.
    assert outcomes in (["interrupted", "applied"], ["stopped: superseded", "applied"])
