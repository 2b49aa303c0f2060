"""Numbers in words, for pages and for what is told elsewhere."""

from __future__ import annotations

from datetime import timedelta

from data_migrations import rate
from data_migrations.reporting import Door


def duration(value: timedelta | float) -> str:
    """Seconds or a timedelta as "12 m 04 s", as a log has it; what is shorter than a second in milliseconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return rate.duration(seconds) if seconds >= 1 else f"{max(0, round(seconds * 1000))} ms"


def door(value: str) -> str:
    """Through which door something came; people know nothing of a worker before one has it, only where they asked."""
    return "the console" if value == Door.WORKER else value
