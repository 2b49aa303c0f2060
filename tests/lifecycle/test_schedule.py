"""Runs that begin later, with the real queue and real workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from console import dispatch, logs
from console.models import Run, Worker
from console.states import Status
from data_migrations import clock
from tests.lifecycle.test_cluster import Cluster, amounts, clusters, ended, items, until  # noqa: F401  (fixtures)
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "increment_items_2026_01_01"
BATCHED = "batch_increment_2026_02_01"


def test_a_run_starts_at_its_time_and_once_among_two_clusters(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters()
    clusters()
    start = timezone.now() + timedelta(seconds=12)
    run = dispatch.request_run(NAME, user="ana", reason="test", start_at=start)
    assert (run.status, Schedule.objects.count()) == (Status.SCHEDULED, 1)
    until(lambda: ended(run))
    assert (run.status, run.attempt, amounts()) == (Status.SUCCEEDED, 1, {1})
    assert run.started_at is not None
    assert run.started_at >= start
    until(lambda: Schedule.objects.count() == 0 and OrmQ.objects.count() == 0)
    run.refresh_from_db()
    assert run.attempts.count() == 1


def test_with_no_worker_at_its_time_and_its_schedule_lost_it_starts_when_one_comes(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    run = dispatch.request_run(NAME, user="ana", reason="test", start_at=timezone.now() + timedelta(hours=1))
    Schedule.objects.all().delete()
    Run.objects.filter(pk=run.pk).update(start_at=timezone.now() - timedelta(hours=5))
    clusters()
    until(lambda: ended(run))
    assert (run.status, run.attempt, amounts()) == (Status.SUCCEEDED, 1, {1})


def test_the_queues_own_schedule_starts_it_where_no_sweep_does(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters(DJANGO_SETTINGS_MODULE="tests.lifecycle.sweepless")
    until(Worker.objects.exists)
    run = dispatch.request_run(NAME, user="ana", reason="test", start_at=timezone.now() + timedelta(seconds=3))
    until(lambda: ended(run), seconds=90)
    assert (run.status, run.attempt, amounts()) == (Status.SUCCEEDED, 1, {1})


def test_a_run_that_was_cancelled_does_not_start(clusters: Callable[..., Cluster]) -> None:  # noqa: F811
    run = dispatch.request_run(NAME, user="ana", reason="test", start_at=timezone.now() + timedelta(seconds=2))
    assert dispatch.request_cancel(run.pk, "bea")
    clusters()
    witness = dispatch.request_run(BATCHED, user="ana", reason="test", start_at=timezone.now() + timedelta(seconds=5))
    until(lambda: ended(witness))
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.CANCELLED, 0)


@pytest.mark.once
def test_a_window_that_closes_frees_the_worker_and_the_run_goes_on_when_it_opens(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    Item.objects.bulk_create([Item(name=f"more {number}") for number in range(117)])
    # Closed from the next full minute on, for at least a minute.
    now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    if now.second > 40:
        until(lambda: clock.aware(timezone.now()).second < 40)
        now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    opens, closes = now + timedelta(minutes=2), now + timedelta(minutes=1)
    cluster = clusters(TEST_DATA_MIGRATIONS=f'{{"WINDOW": ["{opens:%H:%M}", "{closes:%H:%M}"]}}')
    run = dispatch.request_run(BATCHED, user="ana", values={"each": 6.0}, reason="test")

    def put_off() -> bool:
        run.refresh_from_db()
        return run.status == Status.SCHEDULED

    until(put_off, seconds=90)
    assert run.attempts.get().outcome == "stopped: window"
    assert run.start_at is not None
    done = Item.objects.filter(amount=1).count()
    assert 0 < done < 120
    # Its worker is free for another one.
    other = dispatch.request_run(NAME, user="ana", values={"lines": 1}, kind="dry_run", reason="test")
    until(lambda: ended(other))
    assert other.status == Status.SUCCEEDED
    assert put_off()
    until(lambda: ended(run), seconds=150)
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert amounts() == {1}
    assert any("Resuming after batch" in line.text for line in logs.read(run, limit=5000).lines)
    os.killpg(cluster.process.pid, signal.SIGTERM)
