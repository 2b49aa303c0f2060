"""Daily windows: when a batched data migration may work, by the clock on the wall of the site.

Everything is asked of that clock, so that it needs no rules for the days on which it is put forward or back: what the
clock never shows is never open, and an hour that it shows twice is open twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from . import clock, conf
from .exceptions import OutsideWindow

if TYPE_CHECKING:
    from .management.commands.base import IdempotentCommand

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_MINUTE = timedelta(minutes=1)

WAIT, LEAVE, IGNORE = "wait", "leave", "ignore"
"""What a run does outside its window: wait there, stop so that its process is free, or go on."""


class InvalidWindow(ValueError):
    """A window is a pair of two different times, such as ("22:00", "06:00"), or None."""


@dataclass(frozen=True)
class Window:
    """The part of each day between two times; one that closes before it opens goes on past midnight."""

    opens: time
    closes: time

    def __str__(self) -> str:
        return f"{self.opens:%H:%M} to {self.closes:%H:%M} {timezone.get_default_timezone_name()}"

    def is_open(self, moment: datetime) -> bool:
        """Whether the clock on the wall then shows a time in the window."""
        shown = clock.aware(moment).astimezone(timezone.get_default_timezone()).time()
        if self.opens < self.closes:
            return self.opens <= shown < self.closes
        return shown >= self.opens or shown < self.closes

    def next_opening(self, moment: datetime) -> datetime:
        """The first moment from then on at which it is open, aware; that one itself where it is open already."""
        return self._first(moment, is_open=True)

    def next_closing(self, moment: datetime) -> datetime:
        """The first moment from then on at which it is closed, aware."""
        return self._first(moment, is_open=False)

    def _first(self, moment: datetime, *, is_open: bool) -> datetime:
        moment = clock.aware(moment)
        # Minute by minute, since a window may open and close within an hour that the clock leaves out.
        while self.is_open(moment) != is_open:
            moment = moment.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        return moment


def parse(value: Any) -> Window | None:
    """The window that an attribute or a setting says; None for none.

    Raises:
        InvalidWindow: it is none; the message says why.
    """
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise InvalidWindow(f"{value!r} is not a pair of times")
    opens, closes = (_time(each) for each in value)
    if opens == closes:
        raise InvalidWindow("it opens when it closes")
    return Window(opens, closes)


def _time(text: Any) -> time:
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidWindow(f"{text!r} is not a time such as '22:00'")
    return time(int(found[1]), int(found[2]))


def of(command: IdempotentCommand | type[IdempotentCommand]) -> Window | None:
    """The window of a data migration: its own, else that of the settings; None where it may always work.

    Only work in batches has one: nothing else could stop in the middle and go on.

    Raises:
        InvalidWindow: see ``parse``.
    """
    if not command.in_batches:
        return None
    own = getattr(command, "window", None)
    if own is None:
        return parse(conf.get("WINDOW"))
    # An empty one takes the command out of the setting.
    return parse(own) if own not in ((), []) else None


def reason(command: Any) -> str:
    """Why the next batch of a bound command should wait; empty when it may go.

    Raises:
        OutsideWindow: its run was asked not to wait.
    """
    window = of(command) if command.window_policy != IGNORE else None
    if window is None or window.is_open(now := timezone.now()):
        return ""
    opens = window.next_opening(now)
    if command.window_policy == LEAVE:
        raise OutsideWindow(command.migration_name, window, opens)
    local = opens.astimezone(timezone.get_default_timezone())
    return f"its daily window, {window}, is closed until {local:%Y-%m-%d %H:%M %Z}"
