"""How each state looks: its word, its tone and its icon, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe


@dataclass(frozen=True)
class Look:
    """Word, tone (good, bad, warning, active, quiet) and SVG path on a 16 by 16 grid."""

    word: str
    tone: str
    icon: str


_CHECK = "M6.2 12.6 1.9 8.3l1.5-1.5 2.8 2.8 6.4-6.4 1.5 1.5z"
_CROSS = "m3.4 2 4.6 4.6L12.6 2 14 3.4 9.4 8l4.6 4.6-1.4 1.4L8 9.4 3.4 14 2 12.6 6.6 8 2 3.4z"
_PLAY = "M4 2v12l9-6z"
_CLOCK = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1m0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3m-1 1v4.6l3 2.2 1.2-1.6L9 7.6V4z"
_CIRCLE = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1m0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3"
_PAUSE = "M3.5 2h3v12h-3zm6 0h3v12h-3z"
_BROKEN = "M9.5 1 3 9h4l-1 6 7-8.5H9z"
_WARNING = "M8 1 .8 14.5h14.4zm-1 5h2v4.5H7zm0 5.5h2v2H7z"
_BAR = "M1.5 6.5h13v3h-13z"
_QUESTION = "M8 1a4.5 4.5 0 0 0-4.5 4.4h2A2.5 2.5 0 1 1 8 7.9H7V11h2V9.7A4.4 4.4 0 0 0 8 1M7 12.6h2v2.2H7z"
_FLAG = "M3 1v14h2V9.5h8.5L11 5.7 13.5 2H5V1z"
_UNFLAG = "M3 1v14h2V9.5h8.5L11 5.7 13.5 2H5V1zm2 3h4.8L8.6 5.7 9.8 7.5H5z"
_EYE = "M8 3C4.5 3 1.7 5.2.5 8c1.2 2.8 4 5 7.5 5s6.3-2.2 7.5-5C14.3 5.2 11.5 3 8 3m0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6"
_BACK = "M7 2 1 7.5 7 13V9.5c3.5 0 5.8.9 7.5 3.5C14 8.5 11.5 5.5 7 5.5z"
_LOCK = "M8 1a3.5 3.5 0 0 0-3.5 3.5V7H3v8h10V7h-1.5V4.5A3.5 3.5 0 0 0 8 1m-1.5 6V4.5a1.5 1.5 0 0 1 3 0V7z"
_ONE_WAY = "M9 2.5 7.6 3.9 10.7 7H1v2h9.7l-3.1 3.1L9 13.5 14.5 8z"

LOOKS: dict[str, Look] = {
    # A data migration.
    "applied": Look("Applied", "good", _CHECK),
    "pending": Look("Pending", "quiet", _CIRCLE),
    "running": Look("Running", "active", _PLAY),
    "interrupted": Look("Interrupted", "warning", _BROKEN),
    "quarantined": Look("Rows set aside", "warning", _WARNING),
    "through": Look("Done, to be recorded", "warning", _WARNING),
    "changed": Look("Changed since applied", "warning", _WARNING),
    "unregistered": Look("Not in the code here", "warning", _QUESTION),
    "last_failed": Look("Last run failed", "bad", _CROSS),
    "broken": Look("Cannot be imported", "bad", _CROSS),
    # An operation of a schema migration.
    "loss": Look("May lose data", "bad", _WARNING),
    "lock": Look("Locks", "warning", _LOCK),
    "one way": Look("No way back", "quiet", _ONE_WAY),
    # A run.
    "waiting": Look("Waiting for approval", "warning", _QUESTION),
    "scheduled": Look("Scheduled", "quiet", _CLOCK),
    "enqueued": Look("Enqueued", "active", _CLOCK),
    "paused": Look("Paused", "warning", _PAUSE),
    "rejected": Look("Rejected", "quiet", _CROSS),
    "cancelled": Look("Cancelled", "quiet", _BAR),
    "stopped_by_force": Look("Stopped by force", "quiet", _BAR),
    "succeeded": Look("Succeeded", "good", _CHECK),
    "failed": Look("Failed", "bad", _CROSS),
    # A health check.
    "good": Look("Good", "good", _CHECK),
    "warning": Look("Warning", "warning", _WARNING),
    "bad": Look("Bad", "bad", _CROSS),
    "unknown": Look("Unknown", "quiet", _QUESTION),
    # What was asked for.
    "run": Look("Run", "quiet", _PLAY),
    "dry_run": Look("Dry run", "quiet", _EYE),
    "reverse": Look("Reverse", "quiet", _BACK),
    "mark": Look("Mark", "quiet", _FLAG),
    "unmark": Look("Unmark", "quiet", _UNFLAG),
}


def breakable(name: str) -> SafeString:
    """A name, or a path, that a narrow place breaks after an underscore or a slash, and not in the middle of a word."""
    return mark_safe(escape(name).replace("_", "_<wbr>").replace("/", "/<wbr>"))


def look(state: str) -> Look:
    """How a state looks; one that is not in the table looks quiet and says its own name."""
    return LOOKS.get(state, Look(state.replace("_", " ").capitalize() or "Unknown", "quiet", _QUESTION))
