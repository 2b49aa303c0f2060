"""Asking a run to stop at its next safe point, from a signal or from another thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, FunctionType
from typing import Any, ParamSpec, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic

P = ParamSpec("P")
R = TypeVar("R")


class StopRequested(BaseException):
    """Unwinds the work after a request to stop.

    Not an ``Exception``: a command's own ``except Exception`` around each row must not swallow it.
    """


class StopFlag:
    """A request to stop, set by anybody, honoured by the run at its next safe point."""

    def __init__(self) -> None:
        self._reason: str | None = None
        # A signal's handler may ask while its thread is in here.
        self._lock = threading.RLock()
        self._event = threading.Event()
        self._interrupters: list[Callable[[], None]] = []
        self._shields = 0
        self._is_barred = False

    @property
    def reason(self) -> str | None:
        """Why the run is to stop, or None while it is to go on."""
        return self._reason

    def request(self, reason: str) -> None:
        """Ask the run to stop; the first reason given stays."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
        self._event.set()

    def check(self) -> None:
        """Raise ``StopRequested`` when somebody asked the run to stop."""
        if self._reason is not None:
            raise StopRequested(self._reason)

    def force(self, reason: str) -> None:
        """Ask, and interrupt what the run is doing right now: a statement, a loop, a sleep. Call it again if need be.

        What is being committed is left to come to its end.
        """
        self.request(reason)
        for interrupt in tuple(self._interrupters):
            interrupt()

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Within the block ``force`` also calls this, from whichever thread forces."""
        self._interrupters.append(interrupt)
        try:
            yield
        finally:
            self._interrupters.remove(interrupt)

    @contextmanager
    def shield(self, *, commits: bool = True) -> Iterator[None]:
        """Within the block nothing is interrupted: an interrupted commit would leave in doubt what is kept.

        Raises:
            StopRequested: the block ``commits``, and that was barred.
        """
        self._enter(commits)
        try:
            yield
        finally:
            with self._lock:
                self._shields -= 1

    def settle(self) -> None:
        """From here on nothing is interrupted any more: the run is about to commit its end."""
        self._enter(commits=True)

    def _enter(self, commits: bool) -> None:
        with self._lock:
            if commits and self._is_barred:
                raise StopRequested(self._reason)
            self._shields += 1

    def bar(self) -> bool:
        """From here on the run commits nothing any more, whatever it does. False: it is committing right now."""
        with self._lock:
            self._is_barred = self._is_barred or self._shields == 0
            return self._is_barred

    @property
    def is_shielded(self) -> bool:
        """Whether an interruption has to wait."""
        return self._shields > 0

    def wait(self, seconds: float) -> bool:
        """Sleep, but at most until somebody asks to stop. True when somebody did."""
        return self._event.wait(seconds)


FORCE_SIGNAL = signal.SIGUSR2
"""Sent by ``StopFlag.force`` to the thread of the run; nothing else should."""


@contextmanager
def interruptible_thread(flag: StopFlag) -> Iterator[None]:
    """Let ``flag.force`` raise ``StopRequested`` in this thread, in the middle of whatever it does.

    Only a main thread gets signals; in any other one a forced stop waits for the next safe point.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    thread = threading.get_ident()

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.reason is not None and not flag.is_shielded and not _ends_a_transaction(frame):
            raise StopRequested(flag.reason)

    previous = signal.signal(FORCE_SIGNAL, handle)
    try:
        with flag.interruptible(lambda: signal.pthread_kill(thread, FORCE_SIGNAL)):
            yield
    finally:
        signal.signal(FORCE_SIGNAL, signal.SIG_IGN if previous is None else previous)


# Within these nothing is interrupted: they commit or roll back. What is to be done after a commit is called by one of
# them, but may be interrupted.
_ENDINGS = {Atomic.__exit__.__code__}
_AFTER_COMMIT = BaseDatabaseWrapper.run_and_clear_commit_hooks.__code__


def ends_transactions(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function within which a run is not interrupted, because it commits or rolls back."""
    assert isinstance(function, FunctionType)
    _ENDINGS.add(function.__code__)
    return function


def _ends_a_transaction(frame: FrameType | None) -> bool:
    """Whether a transaction is being ended right there.

    A rollback that is interrupted is none: on SQLite what it left open is committed a moment later, when Django goes
    back to autocommit.
    """
    while frame is not None and frame.f_code is not _AFTER_COMMIT:
        if frame.f_code in _ENDINGS:
            return True
        frame = frame.f_back
    return False


@contextmanager
def signals(flag: StopFlag, tell: Callable[[str], None]) -> Iterator[None]:
    """Turn SIGTERM and the first SIGINT into a request on ``flag``; a second SIGINT interrupts at once.

    Handlers that somebody else installed are left alone, and so is every thread but the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if flag.reason is not None and number == signal.SIGINT and not _ends_a_transaction(frame):
            raise KeyboardInterrupt
        flag.request(name)
        tell(f"{name} received: stopping at the next safe point. Press Ctrl-C again to stop at once.")

    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for watched, default in defaults.items():
        if signal.getsignal(watched) is default:
            previous[watched] = signal.signal(watched, handle)
    try:
        yield
    finally:
        for watched_number, handler in previous.items():
            signal.signal(watched_number, handler)
