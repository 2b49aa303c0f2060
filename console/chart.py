"""The durations of the last runs as bars, drawn on the server: classes and numbers, no style and no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .appearance import look
from .models import Kind, Run
from .usual import TIMED
from .words import duration

WIDTH, HEIGHT = 320, 72
GAP = 4
# So that a run that took next to nothing can be seen, too.
LEAST_HEIGHT = 2
FEWEST = 2


@dataclass(frozen=True)
class Bar:
    """One run; positions and sizes are in the units of the picture."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    is_dry: bool
    title: str


@dataclass(frozen=True)
class Chart:
    """The bars, oldest first, and the height of the line for what is usual; None where nobody knows."""

    bars: list[Bar]
    usual_y: float | None
    usual: str
    longest: str
    has_dry_runs: bool
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def description(self) -> str:
        """The same in words."""
        return "Oldest first: " + "; ".join(bar.title for bar in self.bars) + "."


def of(runs: Sequence[Run], usual: float | None) -> Chart | None:
    """The chart of runs that are given newest first; None for too few that came to an end.

    ``usual`` is in seconds.
    """
    timed = [run for run in reversed(runs) if run.kind in TIMED and run.is_finished and run.elapsed is not None]
    if len(timed) < FEWEST:
        return None
    seconds = [run.elapsed.total_seconds() for run in timed if run.elapsed is not None]
    highest = max(*seconds, usual or 0.0) or 1.0
    # Two bars in a wide picture would be two blocks.
    step = min(WIDTH / len(timed), 32.0)
    bars = []
    for index, (run, taken) in enumerate(zip(timed, seconds, strict=True)):
        height = max(LEAST_HEIGHT, round(HEIGHT * taken / highest, 1))
        title = f"run {run.pk}, {look(run.kind).word.lower()}, {run.status}, {duration(taken)}"
        tone = look(run.status).tone
        is_dry = run.kind == Kind.DRY_RUN
        bars.append(Bar(round(index * step, 1), HEIGHT - height, round(step - GAP, 1), height, tone, is_dry, title))
    return Chart(
        bars,
        None if usual is None else round(HEIGHT - HEIGHT * usual / highest, 1),
        "" if usual is None else duration(usual),
        duration(max(seconds)),
        any(bar.is_dry for bar in bars),
        width=round(step * len(timed)),
    )
