"""How fast a run goes, and how long it will take: for a log, a page and an estimate."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 30.0
"""Seconds that the rate is measured over: long enough to be steady, short enough to follow a change."""
STEP = 0.5
"""Seconds between two values that are remembered."""


class Rate:
    """Rows a second over the last half minute, and the time that is left at that rate.

    What was done before the first value, by an earlier run, does not count as speed.

    Args:
        window: seconds to measure over.
    """

    def __init__(self, window: float = WINDOW) -> None:
        self.window = window
        self.done = 0
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, done: int, now: float | None = None) -> None:
        """So many are done.

        Args:
            now: seconds by a clock that only goes forward; the process's own where it is left out.
        """
        now = time.monotonic() if now is None else now
        self.done = done
        if len(self._seen) > 1 and now - self._seen[-2][0] < STEP:
            self._seen.pop()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self.window:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """Rows a second; None before it is known."""
        if len(self._seen) < 2:
            return None
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return max(last - first, 0) / (now - began) if now > began else None

    def seconds_left(self, total: int | None) -> float | None:
        """Seconds until ``total`` are done; None where that cannot be told."""
        return seconds_left(self.done, total, self.per_second)

    def words(self, total: int | None) -> str:
        """Where the run is: "43 % · 430,000 of 1,000,000 rows · 5,120 rows/s · about 1 m 51 s left"."""
        parts = []
        if total:
            parts.append(f"{min(self.done * 100 // total, 100)} %")
        parts.append(f"{self.done:,} of {total:,} rows" if total is not None else f"{self.done:,} rows")
        rate = self.per_second
        if rate is not None:
            parts.append(f"{number(rate)} rows/s")
        left = self.seconds_left(total)
        if left is not None:
            parts.append(f"{about(left)} left")
        return " · ".join(parts)


def seconds_left(done: int, total: int | None, per_second: float | None) -> float | None:
    """Seconds until ``total`` are done at that rate; None where that cannot be told, or nothing is left."""
    if total is None or not per_second or done >= total:
        return None
    return (total - done) / per_second


def about(seconds: float) -> str:
    """A time that nobody knows exactly: "about 1 m 51 s", "less than a second"."""
    return f"about {duration(seconds)}" if seconds >= 1 else "less than a second"


def number(value: float) -> str:
    """A rate to three digits or so: "5,120", "7.3"."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Seconds in words: "4.2 s", "51 s", "1 m 51 s", "2 h 05 m", "3 d 04 h"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} m"
    if minutes:
        return f"{minutes} m {rest:02d} s"
    return f"{whole} s"
