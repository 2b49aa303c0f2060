"""Numbers in words, for pages and for what is told elsewhere."""

from __future__ import annotations

from datetime import timedelta

from data_migrations import rate
from data_migrations.reporting import Door


def duration(value: timedelta | float) -> str:
    """Seconds or a timedelta as "12 m 04 s", as a log has it; what is shorter than a second in milliseconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return rate.duration(seconds) if seconds >= 1 else f"{max(0, round(seconds * 1000))} ms"


# How an attempt ended that was stopped, by the last word of what is stored.
_STOPPED = {
    "pause": "paused",
    "cancel": "cancelled",
    "force stop": "stopped by force",
    "window": "its daily window closed",
    "stop": "its worker was asked to stop",
    "superseded": "another worker had taken it over",
    "limit": "as many batches as it was to do",
}


def outcome(value: str) -> str:
    """How an attempt ended, in words; what is the name of an error stays that."""
    stored, _, why = value.partition("stopped: ")
    if why and not stored:
        return _STOPPED.get(why, why)
    return _STOPPED.get(value, value.replace("_", " ") if value.islower() else value)


def door(value: str) -> str:
    """Through which door something came; people know nothing of a worker before one has it, only where they asked."""
    return "the console" if value == Door.WORKER else value
