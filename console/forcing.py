"""Ending a run that does not come to a safe point: interrupt it, and if nothing helps, end its process.

The process may be ended because the queue makes a new worker for one that is gone while it was busy.
Ending an idle one would hang the queue, so whoever ends it holds a lock that a run's end takes, too.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from data_migrations.stopping import FORCE_SIGNAL, StopFlag

from . import conf
from .endings import Ending, by_force
from .states import Status
from .threads import ConsoleThread

if TYPE_CHECKING:
    from .recorder import Recorder

logger = logging.getLogger("console")

AGAIN_SECONDS = 0.5
# What is being committed is waited for a little longer: it tells by itself how it ended.
COMMIT_SECONDS = 10.0
# Longer than that the last lines are not waited for; the next worker stores them.
RECORD_SECONDS = 5.0
REASON = "force stop"
NOTE = (
    "{who}: it came to no safe point, so its worker process was ended. What it had not committed is not kept. {record}"
)
UNRECORDED = "It was not recorded as applied."
STILL_RECORDED = "Its record stays as it was, so only another forced run goes on."


class ForcedStop:
    """What it takes to end one run by force, from the thread that hears of it.

    Args:
        stop: the flag of the run.
    """

    def __init__(self, stop: StopFlag) -> None:
        self.stop = stop
        self.recorder: Recorder | None = None
        self._over = threading.Event()
        # Held while the process is ended, and to say that there is no need to.
        self._lock = threading.Lock()
        self._is_begun = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block the run may be forced to stop; after it its process is left alone for certain."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(FORCE_SIGNAL) == signal.SIG_DFL:
            # One that is sent a moment too late must not end an idle worker.
            signal.signal(FORCE_SIGNAL, signal.SIG_IGN)
        try:
            yield
        finally:
            with self._lock:
                self._over.set()

    def begin(self) -> None:
        """Begin to interrupt; returns at once."""
        if not self._is_begun:
            self._is_begun = True
            # Interrupting a statement may itself hang, so that nobody may wait for it.
            ConsoleThread("console force", self._interrupt).start()
            ConsoleThread("console force deadline", self._end).start()

    def _interrupt(self) -> None:
        while not self._over.is_set():
            self.stop.force(REASON)
            self._over.wait(AGAIN_SECONDS)

    def _end(self) -> None:
        if self._over.wait(conf.get("FORCE_STOP_SECONDS")):
            return
        latest = time.monotonic() + COMMIT_SECONDS
        # What is recorded now has to stay true.
        while not (barred := self.stop.bar()) and time.monotonic() < latest:
            if self._over.wait(0.1):
                return
        if barred:
            recording = ConsoleThread("console force record", self._record)
            recording.start()
            recording.join(RECORD_SECONDS)
        with self._lock:
            if self._over.is_set():
                return
            logger.warning("The run did not stop, so its worker process %s ends itself.", os.getpid())
            end_process()

    def _record(self) -> None:
        if self.recorder is not None:
            record = STILL_RECORDED if self.recorder.is_forced else UNRECORDED
            note = NOTE.format(who=by_force(self.recorder.control_by), record=record)
            self.recorder.end(Ending(Status.CANCELLED, REASON, {"note": note}))


def end_process() -> None:
    """End this process at once, without any of Python's last acts: they would wait for what hangs."""
    os._exit(70)
