"""Following logs inside an asynchronous server: one tailer for each run, however many people read it.

Everything here lives in the server's event loop; only the questions to the database are asked in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.utils import Error

from . import logs
from .logs import LogPage
from .models import Run

logger = logging.getLogger("console")
T = TypeVar("T")
# Makes an event of a page; the second argument says whether the log is over.
Encode = Callable[[LogPage, bool], bytes]

# Seconds between two looks at the log: while lines come, and after a while without.
FASTEST_SECONDS = 0.1
SLOWEST_SECONDS = 0.4
# Each reader costs; so that many do not take the server's time from others, all of them are told more rarely.
SECONDS_A_READER = 0.0005
# What one event holds at most, and what is kept for readers who are behind. Who falls behind further is cut off.
EVENT_LINES = 1000
EVENT_BYTES = 256 * 1024
KEPT_BYTES = 4 * 1024 * 1024
# A tailer begins where its first reader is, if that is no further from the end than this.
NEAR_LINES = 2000


@dataclass(frozen=True)
class Event:
    """What readers are sent. Its lines end with number ``last``; one without lines tells of the run."""

    last: int
    data: bytes
    has_lines: bool


class Desk:
    """Everything of one event loop: its tailers, and the one thread that asks the database for them all."""

    def __init__(self) -> None:
        self.tailers: dict[int, Tailer] = {}
        self.readers = 0
        self._executor: ThreadPoolExecutor | None = None

    async def ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """The answer to a question that needs the database, from the thread with connections of its own."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="console tail")
        return await asyncio.get_running_loop().run_in_executor(self._executor, question, *arguments)

    def enter(self, pk: int, after: int, encode: Encode) -> Tailer:
        """The tailer of a run, for one reader more."""
        tailer = self.tailers.get(pk)
        if tailer is None:
            tailer = self.tailers[pk] = Tailer(self, pk, after, encode)
        tailer.readers += 1
        self.readers += 1
        return tailer

    def leave(self, tailer: Tailer) -> None:
        """One reader less. A tailer ends with its last one, the thread and its connections with the last of all."""
        tailer.readers -= 1
        if tailer.readers == 0:
            tailer.stop()
        self.readers -= 1
        if self.readers == 0 and self._executor is not None:
            self._executor.submit(connections.close_all)
            self._executor.shutdown(wait=False)
            self._executor = None


_desks: WeakKeyDictionary[asyncio.AbstractEventLoop, Desk] = WeakKeyDictionary()


def desk() -> Desk:
    """The desk of the running event loop."""
    return _desks.setdefault(asyncio.get_running_loop(), Desk())


class Tailer:
    """Reads one run's log as it grows, and keeps the newest events for its readers.

    Args:
        home: where it belongs.
        pk: the run.
        after: the last line that the first reader has.
        encode: makes events.
    """

    def __init__(self, home: Desk, pk: int, after: int, encode: Encode) -> None:
        self.pk = pk
        self.readers = 0
        self.is_done = False
        self.is_over = False
        # The newest page without its lines; None before the first look.
        self.head: LogPage | None = None
        # Events before this index are not kept any more; their lines went up to this number.
        self.base = 0
        self.floor = 0
        self._home = home
        self.encode = encode
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._work(after), name=f"console tail of run {pk}")

    @property
    def end(self) -> int:
        """The index that the next event will get."""
        return self.base + len(self._events)

    def event(self, index: int) -> Event:
        """A kept event."""
        return self._events[index - self.base]

    def first_after(self, number: int) -> int:
        """The index of the first kept event with lines after that number."""
        indexes = (at for at, event in enumerate(self._events, self.base) if event.has_lines and event.last > number)
        return next(indexes, self.end)

    def about(self) -> bytes:
        """An event without lines: how far the log is."""
        assert self.head is not None
        return self.encode(self.head, self.is_over)

    async def news(self, seconds: float) -> None:
        """Wait for the next event, or for so long."""
        if not self.is_done:
            await asyncio.wait((self._news,), timeout=max(0.0, seconds))

    def stop(self) -> None:
        """Nobody reads any more."""
        self._task.cancel()
        self._end()

    async def _work(self, wish: int) -> None:
        try:
            after = self.floor = await self._home.ask(_start, self.pk, wish)
            pause = FASTEST_SECONDS
            while not is_stopping():
                page = await self._home.ask(read, self.pk, after)
                after = page.next
                self._publish(page)
                if self.is_over:
                    return
                if page.lines and page.next < page.last:
                    continue
                pause = FASTEST_SECONDS if page.lines else min(pause * 1.25, SLOWEST_SECONDS)
                await asyncio.sleep(max(pause, SECONDS_A_READER * self.readers))
        except Run.DoesNotExist:
            logger.info("Run %s is gone; those who read its log are told so when they ask again.", self.pk)
        except Error as error:
            logger.warning("The log of run %s could not be read; who follows it has to ask again: %s", self.pk, error)
        except Exception:
            logger.exception("The log of run %s could not be read; who follows it has to ask again.", self.pk)
        finally:
            self._end()

    def _publish(self, page: LogPage) -> None:
        # It covers no lines: they are in the events before it.
        before, head = self.head, replace(page, lines=[], start=page.next + 1)
        if before is not None and (before.last, before.status) == (head.last, head.status) and not page.lines:
            return
        self.head = head
        self.is_over = page.ended
        if page.lines:
            self._keep(Event(page.next, self.encode(page, False), has_lines=True))
        if page.ended or (before is not None and before.status != page.status):
            self._keep(Event(page.next, self.about(), has_lines=False))
        news, self._news = self._news, asyncio.get_running_loop().create_future()
        news.set_result(None)

    def _keep(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += len(event.data)
        while self._bytes > KEPT_BYTES and len(self._events) > 1:
            gone = self._events.popleft()
            self._bytes -= len(gone.data)
            self.floor = gone.last
            self.base += 1

    def _end(self) -> None:
        self.is_done = True
        if self._home.tailers.get(self.pk) is self:
            del self._home.tailers[self.pk]
        if not self._news.done():
            self._news.set_result(None)


def _start(pk: int, wish: int) -> int:
    """After which line to begin. Raises Run.DoesNotExist."""
    last = Run.objects.values_list("log_next", flat=True).get(pk=pk) - 1
    return wish if last - NEAR_LINES <= wish <= last else last


def read(pk: int, after: int) -> LogPage:
    """The next lines of a run, no more than an event may hold.

    Raises:
        Run.DoesNotExist: it is gone.
    """
    try:
        page = logs.read(Run(pk=pk), after=after, limit=EVENT_LINES)
    except Error:
        # The next question gets a new connection.
        connections.close_all()
        raise
    size = 0
    for count, line in enumerate(page.lines, 1):
        size += len(line.text)
        if size > EVENT_BYTES and count < len(page.lines):
            return replace(page, lines=page.lines[:count], next=line.through, ended=False)
    return page


def is_stopping() -> bool:
    """Whether the server is asked to stop: uvicorn waits for open answers without a word, so its mark is looked at.

    Servers that end open answers by themselves have no such mark, and need none.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
