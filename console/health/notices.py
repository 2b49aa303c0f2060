"""Whether people are told what they asked to be told."""

from __future__ import annotations

from console import notices

from .finding import Finding, State, good
from .glance import Glance
from .workers import START_WORKER

MOST_ERROR = 300


def look(glance: Glance) -> Finding:
    """Channels that do not work, and notices that nobody sends."""
    failing = notices.failing()
    overdue = notices.overdue(glance.now)
    values = {"failing": {channel: count for channel, count, _ in failing}, "overdue": overdue}
    if not failing and not overdue:
        return good("Every channel that was used in the last week works.", **values)
    said, hints = [], []
    for channel, count, error in failing:
        said.append(f"{_notices(count)} could not be sent by {channel}: {_short(error)}")
    if failing:
        hints.append(
            "Mend it, try it with: python manage.py console_notices test, and have what was given up tried again with: "
            "python manage.py console_notices retry"
        )
    if overdue:
        said.append(f"{_notices(overdue)} should have been sent a while ago.")
        hints.append(
            f"Workers send them: start one with {START_WORKER}, or send them now: python manage.py console_notices send"
        )
    return Finding(State.WARNING, " ".join(said), " ".join(hints), values=values)


def _notices(count: int) -> str:
    return f"{count} notice{'s' if count > 1 else ''}"


def _short(error: str) -> str:
    """The last line of an error, which says what happened."""
    lines = error.strip().splitlines()
    return lines[-1][:MOST_ERROR] if lines else "no message"
