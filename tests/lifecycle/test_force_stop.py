"""Runs that hang are ended by force within seconds, and the queue's workers go on."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from console import dispatch, logs
from console.models import Run
from console.states import Status
from data_migrations import checkpoints, ledger
from tests.lifecycle.test_cluster import Cluster, amounts, clusters, ended, until  # noqa: F401  (a fixture)
from tests.testapp.models import Item

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]

HANGING = "hanging_2026_02_04"
BATCHED = "batch_increment_2026_02_01"


@pytest.fixture(autouse=True)
def items(transactional_db: None) -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(30)])


def printed(run: Run, text: str) -> bool:
    return any(line.text == text for line in logs.read(run).lines)


def force(run: Run) -> float:
    """Force it to stop; the seconds until its page says so."""
    began = time.monotonic()
    assert dispatch.request_force(run.pk, "bea")
    until(lambda: ended(run), seconds=30)
    return time.monotonic() - began


def test_what_hangs_is_ended_within_five_seconds_and_the_next_run_is_taken(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters()
    workers = set()
    for how in ("stubborn", "statement", "loop", "sleep"):
        run = dispatch.request_run(HANGING, user="ana", values={"how": how}, reason="test")
        until(lambda run=run: printed(run, "hanging"))
        seconds = force(run)
        assert (run.status, run.control_by, run.attempt) == (Status.CANCELLED, "bea", 1), how
        assert seconds < 5, how
        assert "force stop" in run.attempts.get().outcome, how
        assert "force" in run.note, how
        assert amounts() == {0}, how
        assert not ledger.is_applied(HANGING, "default")
        workers.add(run.pid)
    # Only the first one had to be ended with its process; the others unwound.
    assert len(workers) == 2
    after = dispatch.request_run("increment_items_2026_01_01", user="ana", reason="test")
    until(lambda: ended(after))
    assert after.status == Status.SUCCEEDED
    assert amounts() == {1}


def test_of_a_batched_run_the_finished_batches_are_kept_and_nothing_of_the_one_that_hangs(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters()
    run = dispatch.request_run(BATCHED, user="ana", values={"hang_at": 3}, reason="test")
    until(lambda: printed(run, "batch 3"))
    assert force(run) < 5
    assert run.status == Status.CANCELLED
    checkpoint = checkpoints.find(BATCHED, "default")
    assert checkpoint is not None
    assert (checkpoint.batches, checkpoint.rows) == (2, 20)
    assert sorted(Item.objects.values_list("amount", flat=True)) == [0] * 10 + [1] * 20
    again = dispatch.request_run(BATCHED, user="ana", reason="test")
    until(lambda: ended(again))
    assert again.status == Status.SUCCEEDED
    assert amounts() == {1}
