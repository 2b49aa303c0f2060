"""Growing logs for those who ask again and again: what several ask for in one moment is read once.

The counterpart of ``tail`` where each question is a request of its own, in whatever thread of the server.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import replace
from threading import Lock

from . import logs
from .logs import LogPage
from .models import Run
from .states import OVER

# So long, in seconds, an answer is good for others who ask; as often as ``tail`` looks.
MOMENT = 0.1
# So long, in seconds, one waits for somebody else's answer.
PATIENCE = 1.0
# After so long without a question what is kept is not used any more, and is let go when the next log is kept.
FORGOTTEN = 10.0
# What is kept of a log at most: whoever is further behind reads from the database.
KEPT_LINES = 2000
KEPT_CHARACTERS = 512 * 1024

_logs: dict[int, _Newest] = {}


def read(pk: int, after: int, limit: int) -> LogPage:
    """What ``logs.read`` answers for all levels, as it is now or was a tenth of a second ago.

    Raises:
        Run.DoesNotExist: there is no such run.
    """
    newest = _logs.get(pk)
    if newest is not None and (page := newest.read(after, limit)) is not None:
        return page
    page = logs.read(Run(pk=pk), after=after, limit=limit)
    if _is_growing(page):
        _keep(pk, page)
    return page


def forget() -> None:
    """Let go of all that is kept."""
    _logs.clear()


def _keep(pk: int, page: LogPage) -> None:
    now = time.monotonic()
    for other, newest in list(_logs.items()):
        if now - newest.read_at > FORGOTTEN:
            _logs.pop(other, None)
    _logs.setdefault(pk, _Newest(pk, page, now))


def _is_growing(page: LogPage) -> bool:
    """Whether a page reaches to the end of a log that goes on, without a line missing.

    The log of a run that is over may be taken away at any time, and one that is trimmed while it is read has a hole.
    """
    whole = page.lines[-1].through == page.last if page.lines else page.start > page.last
    return page.next == page.last and page.status not in OVER and whole


def _shortened(page: LogPage) -> LogPage:
    """The end of a page, no more than is kept."""
    lines = page.lines
    size = sum(len(line.text) for line in lines)
    dropped = 0
    while len(lines) - dropped > KEPT_LINES or size > KEPT_CHARACTERS:
        size -= len(lines[dropped].text)
        dropped += 1
    return replace(page, lines=lines[dropped:], start=lines[dropped - 1].through + 1) if dropped else page


class _Newest:
    """The newest lines of one log.

    Args:
        pk: the run.
        page: reaches to the end of the log.
        read_at: when it was read, on the monotonic clock.
    """

    def __init__(self, pk: int, page: LogPage, read_at: float) -> None:
        self.pk = pk
        self.read_at = read_at
        self._page = _shortened(page)
        self._is_gone = False
        self._lock = Lock()

    def read(self, after: int, limit: int) -> LogPage | None:
        """The page after a line; None where it is not kept: then it has to be read from the database."""
        # Who comes while it is read waits for that answer, and shares it; unless the database lets one wait long.
        if not self._lock.acquire(timeout=PATIENCE):
            return None
        try:
            page = self._current(after)
        finally:
            self._lock.release()
        if page is None or not page.start - 1 <= after <= page.last:
            return None
        first = bisect_right(page.lines, after, key=lambda line: line.through)
        lines = page.lines[first:]
        if lines and lines[0].seq <= after:
            # It stands for many, of which some were asked for before: the database has one for the others.
            return None
        return logs.cut(replace(page, lines=lines, start=after + 1), limit)

    def _current(self, after: int) -> LogPage | None:
        """What is kept, read on where that is due; None where that cannot go on."""
        age = time.monotonic() - self.read_at
        if after > self._page.last or age >= MOMENT:
            self._is_gone = self._is_gone or age > FORGOTTEN or not self._read_on()
        if not self._is_gone:
            return self._page
        if _logs.get(self.pk) is self:
            del _logs[self.pk]
        return None

    def _read_on(self) -> bool:
        """Add what has come since; False where that is more than is kept, or the log is not the one it was."""
        known = self._page
        try:
            page = logs.read(Run(pk=self.pk), after=known.last, limit=KEPT_LINES)
        except Run.DoesNotExist:
            return False
        if page.last < known.last or not _is_growing(page):
            return False
        self.read_at = time.monotonic()
        self._page = _shortened(replace(page, lines=[*known.lines, *page.lines], start=known.start))
        return True
