"""A real cluster that looks alive and takes nothing, and the canary that shows it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django_q.models import OrmQ

from console import dispatch, health
from console.canary import is_answered
from console.health import State
from console.models import Canary, Worker
from console.states import Status
from tests.lifecycle import restless
from tests.lifecycle.test_cluster import Cluster, amounts, clusters, ended, items, until  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

RESTLESS = {"DJANGO_SETTINGS_MODULE": "tests.lifecycle.restless"}


@pytest.fixture(autouse=True)
def same_settings(settings: Any, spool_dir: Path) -> None:
    """The page is asked by the same measure by which the workers go."""
    settings.CONSOLE = {**restless.CONSOLE, "SPOOL_DIR": str(spool_dir)}


def found(check: str) -> health.Result:
    [result] = [each for each in health.report().results if each.id == check]
    return result


def answered() -> bool:
    canary = Canary.objects.first()
    return canary is not None and is_answered(canary)


def test_a_cluster_that_looks_alive_and_takes_nothing_is_noticed_and_a_new_one_is_the_cure(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    wedged = clusters(**RESTLESS)
    until(answered)
    first = Canary.objects.get().sent_at
    # One after another.
    until(lambda: Canary.objects.get().sent_at != first and answered())
    assert found("canary").state == State.GOOD

    worker = Worker.objects.get()
    os.kill(worker.pid, signal.SIGKILL)
    # Its cluster puts another in its place, which gives signs of life like any other.
    until(lambda: Worker.objects.exclude(pid=worker.pid).exists())
    until(lambda: found("canary").state == State.BAD)
    assert found("canary").text.startswith("The queue does not move: a message has been on its way for")
    assert found("workers").state == State.GOOD
    assert [problem.id for problem in health.problems()] == ["canary"]
    run = dispatch.request_run("increment_items_2026_01_01", user="ana", reason="test")
    # It is true: nobody takes the run either. And its messages are few, however long it lasts.
    until(lambda: OrmQ.objects.count() >= 2)
    assert OrmQ.objects.count() < 10
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED

    wedged.kill()
    clusters(**RESTLESS)
    until(answered)
    until(lambda: ended(run))
    assert run.status == Status.SUCCEEDED
    assert amounts() == {1}
    until(lambda: found("canary").state == State.GOOD)


def test_of_two_clusters_one_sends_each_canary(clusters: Callable[..., Cluster]) -> None:  # noqa: F811
    both = [clusters(**RESTLESS), clusters(**RESTLESS)]
    seen: set[Any] = set()

    def enough() -> bool:
        # It is there for a moment before the first one is sent.
        seen.update(Canary.objects.exclude(sent_at=None).values_list("sent_at", flat=True))
        return len(seen) >= 8 and Worker.objects.count() == 2

    until(enough)
    for cluster in both:
        cluster.kill()
    done = sum(cluster.output.read_text().count("processing canary") for cluster in both)
    # The last one may not have come through, and one may have come and gone between two looks.
    assert len(seen) - 1 <= done <= len(seen) + 1
