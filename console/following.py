"""One reader of a growing log: the events for him, from wherever he is to the log's end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

from django.db import connections
from django.db.utils import Error

from . import tail
from .models import Run
from .tail import Encode, Tailer

logger = logging.getLogger("console")

# Who has heard nothing for so long hears that we are still there.
BEAT_SECONDS = 15.0
# Who only counts lines is told no more often than this.
COUNT_SECONDS = 1.0
OPENING = b": open\n\n"
BEAT = b": still here\n\n"


class CutOff(Exception):
    """A reader was too slow: events that he has not taken are not kept any more. He comes back by his number."""


async def follow(
    pk: int,
    after: int,
    encode: Encode,
    *,
    counts_only: bool = False,
    may_go_on: Callable[[], bool] = lambda: True,
    check_seconds: float = 60.0,
) -> AsyncGenerator[bytes, None]:
    """The events for one reader, until the log has ended, or until he has to ask again by his last number.

    Args:
        pk: the run.
        after: the number of the last line that he has.
        encode: makes an event of a page; its second argument says whether the log is over.
        counts_only: he wants no lines, only how far the log is.
        may_go_on: asked in a thread every ``check_seconds``; False ends the stream.
    """
    # At once, so that the browser sees that nothing on the way keeps events back.
    yield OPENING
    desk = tail.desk()
    clock = asyncio.get_running_loop().time
    spoke_at = clock()
    check_at = spoke_at + check_seconds
    tailer = desk.enter(pk, after, encode)
    reader = _Counts(tailer) if counts_only else _Lines(tailer, after)
    try:
        while True:
            if clock() >= check_at:
                if not await desk.ask(_ask, may_go_on):
                    return
                check_at = clock() + check_seconds
            data = await reader.next() if tailer.head is not None else None
            if data is not None:
                yield data
                spoke_at = clock()
            elif tailer.is_done:
                return
            elif clock() >= spoke_at + BEAT_SECONDS:
                yield BEAT
                spoke_at = clock()
            else:
                await tailer.news(min(check_at, spoke_at + BEAT_SECONDS) - clock())
    except (CutOff, Run.DoesNotExist):
        return
    except Error as error:
        logger.warning("A reader of the log of run %s has to ask again: %s", pk, error)
    finally:
        desk.leave(tailer)


def _ask(may_go_on: Callable[[], bool]) -> bool:
    try:
        return may_go_on()
    except Error:
        # As in tail.read: the thread outlives a connection, the next question gets a new one.
        connections.close_all()
        raise


class _Lines:
    """Where a reader is who wants the lines."""

    def __init__(self, tailer: Tailer, after: int) -> None:
        self._tailer = tailer
        self._at = after
        self._index: int | None = None

    async def next(self) -> bytes | None:
        """The next event for him; None when there is none yet.

        Raises:
            CutOff: it is not kept any more.
        """
        tailer = self._tailer
        if self._index is None:
            # From the database, until he is where the kept events begin.
            if self._at < tailer.floor:
                page = await tail.desk().ask(tail.read, tailer.pk, self._at)
                # Without lines: they were pruned meanwhile.
                self._at = page.next if page.lines else tailer.floor
                return tailer.encode(page, False)
            self._index = tailer.first_after(self._at)
            if self._index == tailer.end:
                return tailer.about()
        if self._index == tailer.end:
            return None
        if self._index < tailer.base:
            raise CutOff
        self._index += 1
        return tailer.event(self._index - 1).data


class _Counts:
    """Where a reader is who wants no lines, only how far the log is."""

    def __init__(self, tailer: Tailer) -> None:
        self._tailer = tailer
        self._told: object = None

    async def next(self) -> bytes | None:
        """How far it is now; None when he knows."""
        if self._told is self._tailer.head:
            return None
        if self._told is not None:
            await asyncio.sleep(COUNT_SECONDS)
        self._told = self._tailer.head
        return self._tailer.about()
