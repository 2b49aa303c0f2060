"""How many rows the next batch gets, so that a batch takes about as long as one wants it to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .words import counted

LIMIT = 100_000
"""The most rows that a batch ever gets by itself."""
STEP = 4.0
"""A batch is at most so many times larger, or smaller, than the one before."""
DEAD_BAND = 0.1
"""A batch that takes within this part of the target keeps its size, so that noise does not move it."""


@dataclass(frozen=True)
class Decision:
    """The next size, the one before, and why, in words for the log."""

    size: int
    before: int
    reason: str

    def __str__(self) -> str:
        change = f"stays {self.size:,}" if self.size == self.before else f"{self.before:,} → {self.size:,}"
        return f"Batch size {change}: {self.reason}."


def next_size(size: int, rows: int, seconds: float, target: float | None) -> Decision:
    """Proportional control with bounded steps: the size at which the last batch would have taken ``target``.

    Args:
        size: what the last batch was allowed to have.
        rows: what it had; a last, short batch says little and changes nothing.
        seconds: what it took.
        target: what it should take, in seconds; None keeps the size.
    """
    if target is None:
        return Decision(size, size, "it has no target")
    if rows < size or seconds <= 0:
        return Decision(size, size, f"the batch had {rows:,} of {size:,} rows, which tells nothing")
    ratio = target / seconds
    why = f"{rows:,} rows took {seconds:.3f} s, wanted {target:.3f} s"
    if abs(1 - 1 / ratio) <= DEAD_BAND:
        return Decision(size, size, why)
    bounded = min(max(ratio, 1 / STEP), STEP)
    wanted = min(max(round(size * bounded), 1), LIMIT)
    return Decision(wanted, size, why)


@dataclass(frozen=True)
class Forecast:
    """The batches that some rows would come in: how many, and the sizes of the first and of the last one."""

    batches: int
    first: int
    last: int

    def __str__(self) -> str:
        if self.first == self.last:
            return f"of {counted(self.first, 'row')}"
        return f"that go from {self.first:,} to {counted(self.last, 'row')}"


def forecast(rows: int, size: int, seconds_each: float, target: float | None) -> Forecast:
    """The batches of a run that begins with that size, each decision taken as the run itself would.

    Args:
        rows: how many there are in all.
        seconds_each: what a row takes.
        target: what a batch should take, in seconds; None keeps the size.
    """
    first, batches = size, 0
    while rows > size:
        after = next_size(size, size, size * seconds_each, target).size
        if after == size:
            # From here on they are all alike, and there may be millions of them.
            break
        rows -= size
        batches += 1
        size = after
    return Forecast(batches + math.ceil(rows / size), first, size)
