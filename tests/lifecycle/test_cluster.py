"""The real queue with real workers, which are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django_q.models import OrmQ

from console import dispatch, drain, health, logs, presence, queue
from console.models import Run, Worker
from console.states import Status
from data_migrations.processes import started
from tests import databases, processes
from tests.lifecycle.conftest import Nursery
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something is true, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError("it did not come true")


class Cluster:
    """A ``manage.py qcluster`` in a process group of its own."""

    def __init__(self, output: Path, **env: str) -> None:
        self.output = output
        with output.open("w") as file:
            self.process = processes.manage("qcluster", env=env, start_new_session=True, stdout=file, stderr=file)

    def kill(self) -> None:
        """Kill every process of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(timeout=20)

    def stop(self) -> int:
        """Ask it to stop, as a deploy does, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Start clusters; they end with the test."""
    made: list[Cluster] = []

    def start(**env: str) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster{len(made)}.txt", **env))
        return made[-1]

    yield start
    for cluster in made:
        cluster.kill()


@pytest.fixture(autouse=True)
def items() -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(3)])


def amounts() -> set[int]:
    return set(Item.objects.values_list("amount", flat=True))


def begun(run: Run) -> bool:
    """Whether a line of its work can be read already."""
    return any(line.text == "begun" for line in logs.read(run).lines)


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.is_finished


def test_workers_that_are_stopped_say_goodbye(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters()
    until(lambda: presence.seen().exists())
    cluster.stop()
    assert not presence.seen().exists()
    assert Worker.objects.exists()
    assert presence.last_goodbye() is not None


def test_a_killed_worker_loses_no_line_and_its_run_is_taken_up_without_anyones_hand(
    clusters: Callable[..., Cluster],
) -> None:
    clusters()
    run = dispatch.request_run(
        "increment_items_2026_01_01", user="ana", values={"lines": 50, "before": 4.0}, reason="for the test"
    )
    until(lambda: begun(run))
    run.refresh_from_db()
    assert run.pid
    os.kill(run.pid, signal.SIGKILL)
    until(lambda: ended(run))
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert amounts() == {1}
    assert [each.outcome for each in run.attempts.all()] == ["interrupted", "applied"]
    lines = logs.read(run, limit=5000).lines
    once = [f"line {number}" for number in range(50)] + ["begun"]
    assert [line.text for line in lines[:51]] == once
    assert lines[51].text.startswith("Interrupted: Its process on")
    assert [line.text for line in lines[52:] if line.level == "o"] == [*once, "changed"]


def test_when_a_whole_host_of_workers_dies_another_takes_the_run_up(clusters: Callable[..., Cluster]) -> None:
    first = clusters()
    run = dispatch.request_run("increment_items_2026_01_01", user="ana", values={"before": 3.0}, reason="test")
    until(lambda: begun(run))
    first.kill()
    clusters()
    until(lambda: ended(run))
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert amounts() == {1}


def test_a_worker_that_is_asked_to_stop_gives_its_run_back_and_the_next_one_finishes_it(
    clusters: Callable[..., Cluster],
) -> None:
    first = clusters()
    run = dispatch.request_run("tracked_2026_01_12", user="ana", values={"steps": 60, "each": 0.1}, reason="test")
    until(lambda: len(logs.read(run).lines) > 5)
    assert first.stop() == 0
    run.refresh_from_db()
    assert run.status == Status.ENQUEUED
    assert run.attempts.get().outcome == "stopped: stop"
    clusters()
    until(lambda: ended(run))
    assert (run.status, run.attempt, run.result) == (Status.SUCCEEDED, 2, "60")


def test_a_run_is_cancelled_while_it_goes(clusters: Callable[..., Cluster]) -> None:
    clusters()
    run = dispatch.request_run("tracked_2026_01_12", user="ana", values={"steps": 600, "each": 0.1}, reason="test")
    until(lambda: len(logs.read(run).lines) > 2)
    assert dispatch.request_cancel(run.pk, "bea")
    until(lambda: ended(run))
    assert run.status == Status.CANCELLED
    assert amounts() == {0}


def test_workers_are_seen_and_their_end_is_noticed(clusters: Callable[..., Cluster]) -> None:
    assert [problem.id for problem in health.problems()] == ["workers"]
    cluster = clusters()
    worker = until(lambda: Worker.objects.first())
    assert health.problems() == []
    assert worker.pid != cluster.process.pid
    assert started(worker.pid) == worker.pid_started


def test_a_run_from_a_shell_that_is_killed_is_shown_as_interrupted_with_its_log(
    clusters: Callable[..., Cluster],
) -> None:
    shell = processes.manage("increment", "--before", "60", "--lines", "20", stdout=subprocess.DEVNULL)
    try:
        run = until(lambda: Run.objects.first())
        until(lambda: begun(run))
    finally:
        shell.kill()
        shell.communicate()
    clusters()
    until(lambda: Run.objects.filter(pk=run.pk, status=Status.INTERRUPTED).exists())
    run.refresh_from_db()
    assert (run.door, run.attempt) == ("shell", 1)
    texts = [line.text for line in logs.read(run).lines]
    assert texts[:21] == [f"line {number}" for number in range(20)] + ["begun"]
    assert "is gone" in texts[-1]
    assert amounts() == {0}


def test_a_message_that_lies_in_the_queue_four_times_runs_once(clusters: Callable[..., Cluster]) -> None:
    run = dispatch.request_run("increment_items_2026_01_01", user="ana", values={"before": 1.0}, reason="test")
    for _ in range(3):
        queue.ring(run.pk)
    assert queue.waiting() == 4
    clusters()
    clusters()
    until(lambda: ended(run) and OrmQ.objects.count() == 0)
    assert amounts() == {1}
    assert run.attempts.count() == 1
    assert [line.text for line in logs.read(run).lines] == ["begun", "changed"]


@pytest.mark.skipif(
    databases.chosen() != "postgresql", reason="elsewhere a frozen process keeps its locks until it wakes"
)
def test_a_frozen_worker_that_wakes_after_its_run_was_taken_over_writes_nothing(
    clusters: Callable[..., Cluster],
) -> None:
    hasty = {"DJANGO_SETTINGS_MODULE": "tests.lifecycle.hasty"}
    first = clusters(**hasty)
    run = dispatch.request_run(
        "increment_items_2026_01_01", user="ana", values={"before": 2.0, "after": 1.0}, reason="test"
    )
    until(lambda: begun(run))
    run.refresh_from_db()
    frozen = run.pid
    assert frozen
    # All of it: its pusher would go on to take messages for a worker that does not work.
    os.killpg(first.process.pid, signal.SIGSTOP)
    try:
        clusters(**hasty)
        until(lambda: ended(run))
        assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
        assert run.pid != frozen
        before = [line.text for line in logs.read(run).lines]
    finally:
        os.killpg(first.process.pid, signal.SIGCONT)
    # It is awake when it gives a sign of life again.
    clusters_row = Worker.objects.get(pid=frozen)
    until(lambda: Worker.objects.get(pk=clusters_row.pk).seen_at > clusters_row.seen_at)
    time.sleep(3)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert [line.text for line in logs.read(run).lines] == before
    assert [each.outcome for each in run.attempts.all()] == ["interrupted", "applied"]
    assert amounts() == {1}


def test_every_line_of_a_shell_run_killed_at_any_moment_is_kept_once_and_in_order(
    nurseries: Callable[..., Nursery],
) -> None:
    nursery = nurseries()
    dice = random.Random(20261121)
    for _ in range(15):
        # What killed runs of other tests left behind comes first.
        drain.drain_orphans()
        known = set(Run.objects.values_list("pk", flat=True))
        child = nursery.start("increment", "--lines", "200000", "--before", "60")
        child.until("line 0", seconds=30)
        time.sleep(dice.uniform(0, 0.5))
        child.signal(signal.SIGKILL)
        child.wait()
        printed = child.text().splitlines()
        drain.drain_orphans()
        run = Run.objects.exclude(pk__in=known).get()
        kept = [
            line for line in "".join(logs.download(run)).splitlines() if line.startswith("line ") or line == "begun"
        ]
        whole = [f"line {number}" for number in range(200_000)] + ["begun"]
        assert kept == whole[: len(kept)]
        # The terminal hears of a line first; the last one may be cut off there.
        assert len(kept) >= len(printed) - 2
