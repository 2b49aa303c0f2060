"""How far a run was when: enough to draw how fast it went, and no more of it however long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# Unix seconds by the database's clock, rows done, number of the attempt.
Point = tuple[float, int, int]

MOST = 60
"""So many points are kept at most."""
LEAST_SECONDS = 2.0
"""Two points are this far apart at least, and further the longer the run takes."""


@dataclass(frozen=True)
class Stretch:
    """Rows a second between two points of one attempt; ``seconds`` is how long that was."""

    seconds: float
    rate: float
    attempt: int


class Course:
    """The points of one run, those of earlier attempts included.

    Args:
        points: what was kept so far, as ``points`` gives it.
    """

    def __init__(self, points: Iterable[Sequence[float]] = ()) -> None:
        self.points: list[Point] = [(float(at), int(done), int(attempt)) for at, done, attempt in points]

    def add(self, at: float, done: int, attempt: int) -> bool:
        """So many rows are done at that moment. True when it became a point, and is worth storing."""
        if self.points and self.points[-1][2] == attempt:
            since = at - self.points[-1][0]
            if since < max(LEAST_SECONDS, 2 * (self._seconds() + since) / MOST):
                return False
        self.points.append((at, done, attempt))
        if len(self.points) > MOST:
            self.points = [*self.points[:-1:2], self.points[-1]]
        return True

    def end(self, at: float, done: int, attempt: int) -> None:
        """So many are done at last: too soon after the last point to be one, it takes that one's place."""
        if self.add(at, done, attempt) or not self.points:
            return
        if len(self.points) > 1 and self.points[-2][2] == attempt:
            self.points.pop()
        self.points.append((at, done, attempt))

    def _seconds(self) -> float:
        """How long it has been going; the time between two attempts may be days, and does not count."""
        return sum(stretch.seconds for stretch in self.stretches())

    def stretches(self) -> Iterator[Stretch]:
        """How fast it went between each two points."""
        for (began, first, before), (ended, last, attempt) in zip(self.points, self.points[1:], strict=False):
            # Between two attempts it did not run, and the second may begin further back.
            if attempt == before and ended > began:
                yield Stretch(ended - began, max(last - first, 0) / (ended - began), attempt)
