"""How fast a run went from its start to now, drawn on the server: numbers and classes, no style and no script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from data_migrations import clock
from data_migrations.rate import number

from .course import Course, Stretch
from .models import Run

WIDTH, HEIGHT = 320, 48
# Between two attempts, in units of the picture.
GAP = 4.0
FEWEST = 3


@dataclass(frozen=True)
class Chart:
    """An area for each attempt, as the points of a polygon, and what they show in words."""

    areas: list[str]
    description: str
    width: int = WIDTH
    height: int = HEIGHT


def of(run: Run) -> Chart | None:
    """The chart of a run; None for one that was too short to tell."""
    course = Course(run.course or ())
    # After its last row it may still verify its work, which is no slowness.
    has_more = course.points and run.progress_done is not None and run.progress_done > course.points[-1][1]
    if has_more and run.progress_at is not None and run.progress_done is not None:
        course.end(clock.aware(run.progress_at).timestamp(), run.progress_done, course.points[-1][2])
    stretches = list(course.stretches())
    highest = max((stretch.rate for stretch in stretches), default=0.0)
    if len(stretches) < FEWEST or not highest:
        return None
    seconds = sum(stretch.seconds for stretch in stretches)
    attempts = [list(found) for _, found in groupby(stretches, lambda stretch: stretch.attempt)]
    scale = (WIDTH - GAP * (len(attempts) - 1)) / seconds
    areas = []
    left = 0.0
    for found in attempts:
        areas.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in _corners(found, left, scale, highest)))
        left += sum(stretch.seconds for stretch in found) * scale + GAP
    lowest, last = min(stretch.rate for stretch in stretches), stretches[-1].rate
    # How long it took is not said: the chart ends with the last sign of progress, a moment before the run does.
    what = f"Rows a second{f', in {len(attempts)} attempts' if len(attempts) > 1 else ''}"
    return Chart(areas, f"{what}: between {number(lowest)} and {number(highest)}, at last {number(last)}.")


def _corners(stretches: list[Stretch], left: float, scale: float, highest: float) -> Iterator[tuple[float, float]]:
    yield left, HEIGHT
    for stretch in stretches:
        y = HEIGHT - HEIGHT * stretch.rate / highest
        yield left, y
        left += stretch.seconds * scale
        yield left, y
    yield left, HEIGHT
