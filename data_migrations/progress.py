"""How far a run has come, told often enough to watch and seldom enough not to slow it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .reporting import Reporter
from .stopping import StopFlag

T = TypeVar("T")

INTERVAL = 0.1
"""Seconds between two reports."""


class Progress:
    """Passes progress on to the reporter, at most every ``INTERVAL`` seconds, and the last value always."""

    def __init__(self, reporter: Reporter, stop: StopFlag) -> None:
        self.reporter = reporter
        self.stop = stop
        self._told_at = float("-inf")
        self._pending: tuple[int, int | None] | None = None

    def update(self, done: int, total: int | None = None) -> None:
        """So much is done.

        Raises:
            StopRequested: somebody asked the run to stop; this is a safe point to do so.
        """
        self.stop.check()
        now = time.monotonic()
        if now - self._told_at >= INTERVAL or (total is not None and done >= total):
            self._told_at = now
            self._pending = None
            self.reporter.progress(done, total)
        else:
            self._pending = (done, total)

    def flush(self) -> None:
        """Tell the last value, if it was held back."""
        if self._pending is not None:
            self.reporter.progress(*self._pending)
            self._pending = None

    def track(self, iterable: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Pass the items through and count them; the length is asked for where the iterable has one."""
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except TypeError:
                total = None
        done = 0
        self.update(0, total)
        for item in iterable:
            yield item
            done += 1
            self.update(done, total)
        self.flush()
