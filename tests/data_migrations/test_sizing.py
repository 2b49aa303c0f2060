"""The size of batches adapts to how long one takes."""

from __future__ import annotations

import random

import pytest

from data_migrations.sizing import LIMIT, STEP, next_size

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


def test_it_stays_between_one_and_the_limit():
    assert next_size(1, 1, 1e9, TARGET).size == 1
    assert next_size(LIMIT, LIMIT, 1e-9, TARGET).size == LIMIT


def test_a_short_batch_and_no_target_change_nothing():
    assert next_size(1000, 10, 0.001, TARGET).size == 1000
    assert next_size(1000, 1000, 0.001, None).size == 1000
