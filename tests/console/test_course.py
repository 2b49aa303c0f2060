"""How far a run was when: few points, whatever the run takes, and those of all its attempts."""

from __future__ import annotations

import json

import pytest

from console import course
from console.course import Course, Stretch


def test_points_are_some_seconds_apart() -> None:
    points = Course()
    assert [points.add(1000 + second, round(second * 10), 1) for second in (0, 0.5, 1.9, 2, 3, 4.1)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip
    assert points.points == [(1000, 0, 1), (1002, 20, 1), (1004.1, 41, 1)]


@pytest.mark.parametrize("seconds", [120, 3600, 5 * 86400])
def test_however_long_it_takes_there_are_enough_points_and_not_too_many(seconds: int) -> None:
    points = Course()
    step = seconds / 4_000
    for number in range(4_001):
        points.add(number * step, number, 1)
        assert len(points.points) <= course.MOST
    assert len(points.points) > course.MOST / 3
    assert points.points[0] == (0, 0, 1)
    assert points.points[-1][0] > 0.9 * seconds
    apart = [after[0] - before[0] for before, after in zip(points.points, points.points[1:], strict=False)]
    assert max(apart) < seconds / 10


def test_it_is_the_same_after_it_was_stored() -> None:
    points = Course()
    for number in range(100):
        points.add(number * 3.5, number, 1)
    assert Course(json.loads(json.dumps(points.points))).points == points.points


def test_the_rate_is_told_between_points_of_one_attempt_only() -> None:
    points = Course([(0, 0, 1), (10, 100, 1), (20, 100, 1), (5000, 50, 2), (5010, 550, 2), (5020, 500, 2)])
    assert list(points.stretches()) == [
        Stretch(10, 10, 1), Stretch(10, 0, 1), Stretch(10, 50, 2), Stretch(10, 0, 2),
    ]  # fmt: skip


def test_a_new_attempt_has_its_first_point_at_once() -> None:
    points = Course([(0, 0, 1)])
    assert points.add(0.1, 0, 2)


def test_after_a_long_pause_points_are_as_close_as_before() -> None:
    points = Course([(0, 0, 1), (60, 600, 1), (10 * 86400, 600, 2)])
    assert points.add(10 * 86400 + 3, 630, 2)


def test_a_clock_that_was_put_back_divides_by_nothing() -> None:
    points = Course([(100, 0, 1), (100, 10, 1), (90, 20, 1)])
    assert list(points.stretches()) == []
    assert not points.add(80, 30, 1)


def test_its_end_counts_however_soon_it_comes_after_the_last_point() -> None:
    points = Course([(0, 0, 1), (2, 20, 1)])
    points.end(3, 1020, 1)
    assert points.points == [(0, 0, 1), (3, 1020, 1)]
    # The only point of its attempt is not thrown away for it, nor is one that is far enough.
    points = Course([(0, 0, 1), (2, 20, 1), (100, 20, 2)])
    points.end(101, 40, 2)
    assert points.points[-2:] == [(100, 20, 2), (101, 40, 2)]
    points.end(104, 70, 2)
    assert points.points[-2:] == [(101, 40, 2), (104, 70, 2)]
