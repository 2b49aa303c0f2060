"""The size of batches adapts to how long one takes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from django.db.models import F

from data_migrations import batchrun, executor
from data_migrations.exceptions import StoppedEarly
from data_migrations.management.commands.base import BatchedCommand
from data_migrations.sizing import LIMIT, STEP, forecast, next_size
from data_migrations.work import RunRequest
from tests.testapp.models import Item

TARGET = 2.0


def settle(size: int, cost: float, *, noise: float = 0.0, fixed: float = 0.0) -> tuple[int, list[float]]:
    """Ten batches of rows that cost so many seconds each; gives the last size and the batches' times."""
    source = random.Random(7)
    times = []
    for _ in range(10):
        seconds = fixed + size * cost * (1 + source.uniform(-noise, noise))
        times.append(seconds)
        size = next_size(size, size, seconds, TARGET).size
    return size, times


@pytest.mark.parametrize("cost", [0.02, 0.002, 0.0002, 0.00005])
def test_from_a_thousand_it_settles_within_ten_batches_and_again_when_rows_cost_tenfold(cost):
    size, times = settle(1000, cost, noise=0.05)
    assert times[-1] == pytest.approx(TARGET, rel=0.2)
    size, times = settle(size, cost * 10, noise=0.05)
    assert times[-1] == pytest.approx(TARGET, rel=0.2)
    size, times = settle(size, cost, noise=0.05)
    assert times[-1] == pytest.approx(TARGET, rel=0.2)


def test_a_fixed_cost_of_each_batch_does_not_keep_it_from_settling():
    _, times = settle(1000, 0.0005, fixed=0.5)
    assert times[-1] == pytest.approx(TARGET, rel=0.2)


@pytest.mark.parametrize("seconds", [1e-9, 1e9])
def test_a_step_is_bounded(seconds):
    size = next_size(1000, 1000, seconds, TARGET).size
    assert 1000 / STEP <= size <= 1000 * STEP


@pytest.mark.parametrize(
    ("rows", "size", "each", "target", "batches", "last"),
    [
        (100, 10, 0.1, None, 10, 10),
        (101, 10, 0.1, None, 11, 10),
        (5, 10, 0.1, None, 1, 10),
        # 200, 800, 3,200 and then the 5,000 that take the two seconds.
        (14_200, 200, 0.0004, TARGET, 5, 5000),
        (500, 100, 0.2, TARGET, 40, 10),
        (10**12, 1000, 0.0, TARGET, 10**9, 1000),
        (10**12, 1000, 1e-12, TARGET, 10_000_004, LIMIT),
    ],
)
def test_the_batches_of_so_many_rows_are_foretold(rows, size, each, target, batches, last):
    ahead = forecast(rows, size, each, target)
    assert (ahead.batches, ahead.first, ahead.last) == (batches, size, last)


def test_what_is_foretold_is_what_the_sizes_come_to():
    size, left, batches = 1000, 1_000_000, 0
    while left > 0:
        left, batches, size = left - size, batches + 1, next_size(size, size, size * 0.00013, TARGET).size
    ahead = forecast(1_000_000, 1000, 0.00013, TARGET)
    assert (ahead.batches, ahead.last) == (batches, size)


def test_it_stays_between_one_and_the_limit():
    assert next_size(1, 1, 1e9, TARGET).size == 1
    assert next_size(LIMIT, LIMIT, 1e-9, TARGET).size == LIMIT


def test_a_short_batch_and_no_target_change_nothing():
    assert next_size(1000, 10, 0.001, TARGET).size == 1000
    assert next_size(1000, 1000, 0.001, None).size == 1000


def test_the_log_has_each_decision_in_words():
    assert (
        str(next_size(1000, 1000, 1.0, TARGET)) == "Batch size 1,000 → 2,000: 1,000 rows took 1.000 s, wanted 2.000 s."
    )
    assert str(next_size(1000, 1000, 2.1, TARGET)) == "Batch size stays 1,000: 1,000 rows took 2.100 s, wanted 2.000 s."
    assert str(next_size(1000, 10, 0.1, TARGET)) == (
        "Batch size stays 1,000: the batch had 10 of 1,000 rows, which tells nothing."
    )


class Clock:
    """Stands in for the module ``time``: goes on only when somebody works."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.slow
def test_a_run_over_a_real_table_settles_and_settles_again_when_its_rows_cost_tenfold(monkeypatch, listener):
    Item.objects.bulk_create([Item(name=f"item {number}") for number in range(30_000)], batch_size=5000)
    clock = Clock()
    monkeypatch.setattr(batchrun, "time", clock)
    costs = random.Random(7)
    seen: list[tuple[int, float]] = []

    class Command(BatchedCommand):
        migration_name = "sizing_2026_03_01"
        batch_size = 1000
        target_batch_seconds = TARGET

        def get_queryset(self):
            return Item.objects.all()

        def perform_batch(self, batch):
            cost = (0.001 if len(seen) < 12 else 0.01) * costs.uniform(0.95, 1.05)
            batch.queryset.update(amount=F("amount") + 1)
            seconds = len(batch) * cost
            clock.now += seconds
            seen.append((len(batch), seconds))
            # What the author counts is nothing to the size.
            return 1

    command = Command()
    command.accept({})
    command.options["limit_batches"] = 24
    with pytest.raises(StoppedEarly):
        executor.execute(command, RunRequest(), [listener])
    sizes, times = zip(*seen, strict=True)
    # The decision after each batch is in the log.
    logged = [text for stream, text in listener.of("output") if stream == "logging:DEBUG"]
    assert len(logged) == len(sizes)
    assert [text.partition(":")[0] for text in logged[:-1]] == [
        f"Batch size {one:,} → {other:,}" if one != other else f"Batch size stays {one:,}"
        for one, other in pairwise(sizes)
    ]
    assert all(" rows took " in text for text in logged)
    assert sizes[0] == 1000
    near = [seconds == pytest.approx(TARGET, rel=0.2) for seconds in times]
    assert all(near[9:12])
    assert not near[12]
    assert all(near[21:24])
    assert Item.objects.filter(amount=1).count() == sum(sizes)
    assert not Item.objects.filter(amount__gt=1).exists()
