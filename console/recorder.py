"""The console's reporter: the same for every door through which a run comes."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import connections, transaction

from data_migrations.exceptions import MigrationFailed, StoppedEarly
from data_migrations.reporting import GroupEnd, Holder, Outcome, Reporter, RunInfo, group_words

from . import conf, endings, threads
from .drain import Drain
from .endings import NOT_ATOMIC, Ending, Kept
from .journal import Journal
from .lines import ATTEMPT, GROUP, GROUP_END, GROUP_FAILED, Splitter, clean
from .masking import Masker
from .states import Status
from .watch import Watch

logger = logging.getLogger("console")

# Other hooks of the same commit may take their time before ours is called.
COMMIT_PATIENCE_SECONDS = 30.0
_MESSAGE_LEVELS = {"info": "s", "success": "s", "warning": "w", "error": "r"}
_living: weakref.WeakSet[Recorder] = weakref.WeakSet()


class Recorder(Reporter):
    """Writes a run into its journal, and has a thread store the journal in the database.

    Args:
        head: whose journal it is, as ``journal.Journal.create`` takes it.
        secrets: values that must not be stored.
        on_control: called with each word that ``watch.Watch`` hears.
        put_off: gives what is stored of a run that is to go on at a later moment.
        shield: makes a context in which the calling thread is not interrupted.

    Raises:
        OSError: there is no place for a journal.
    """

    def __init__(
        self,
        head: dict[str, Any],
        *,
        secrets: Iterable[Any] = (),
        on_control: Callable[[str], None] | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        shield: Callable[[], AbstractContextManager[None]] = nullcontext,
        put_off: Callable[[datetime], dict[str, Any]] | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._mask = Masker(secrets)
        limit = conf.get("LINE_BYTES")
        self._splitter = Splitter(self._mask, limit, slack=max(4096, self._mask.longest))
        number = head["attempt"]["number"]
        self._journal = Journal.create(f"{head['key']}-{number}", head)
        self._using = "default"
        self._partial: tuple[float, list[tuple[str, str]]] = (0.0, [])
        self._unflushed = 0
        self.control = self.control_by = ""
        self.is_forced = False
        self._kept = NOT_ATOMIC
        self._shield = shield
        self._on_control = on_control
        self._put_off = put_off
        self.is_ended = False
        self._status: Status | None = None
        self._provisional: Outcome | None = None
        self._is_open: Callable[[], bool] = lambda: False
        self._gone_at: float | None = None
        self.watch = Watch(
            Drain(self._journal.path, head),
            number,
            before_flush=self._look_around,
            on_control=self._controlled if on_control else None,
            is_stopping=is_stopping,
            on_done=self._settle,
        )
        self._pid = os.getpid()
        _living.add(self)
        self.watch.start()

    def started(self, run: RunInfo) -> None:
        self._using = run.using
        self.is_forced = run.force
        self._kept = Kept.of(run)
        self._note(
            "started",
            checksum=run.checksum,
            atomic=run.atomic,
            in_batches=run.in_batches and not (run.dry_run or run.reverse),
            command_name=run.command_name,
        )

    def waiting(self, holder: Holder) -> None:
        self.message("info", f"Waiting for {holder}, who is running this migration.")

    def working(self) -> None:
        self._note("begun")
        self.watch.wake()

    def message(self, level: str, text: str) -> None:
        letter = _MESSAGE_LEVELS.get(level, "s")
        with self._shield():
            self._add([(letter, line, False) for line in self._finished_lines(text)])

    def output(self, stream: str, text: str) -> None:
        # What our own threads log while a run goes on in this process is not the run's. And in a child
        # of a fork the lock may be held for ever.
        if threads.is_ours() or os.getpid() != self._pid:
            return
        with self._shield(), self._lock:
            self._add([(level, line, False) for level, line in self._splitter.feed(stream, text)])

    def group_began(self, title: str) -> None:
        self._heading(GROUP, title)

    def group_ended(self, title: str, end: GroupEnd, seconds: float) -> None:
        self._heading(GROUP_FAILED if end == GroupEnd.FAILED else GROUP_END, group_words(title, end, seconds))

    def attempt_began(self, number: int, host: str, pid: int) -> None:
        """Separate what this attempt prints from what those before it did."""
        self._heading(ATTEMPT, f"Attempt {number}, on {host} (pid {pid})")

    def _heading(self, level: str, text: str) -> None:
        with self._shield(), self._lock:
            # What is half written belongs to what was before.
            self._flush()
            self._add([(level, self._finished_lines(text)[0], False)])

    def throttled(self, reason: str) -> None:
        self.watch.waiting_for = self._mask.lines(clean(reason))

    def progress(self, done: int, total: int | None) -> None:
        self.watch.progress = (done, total)

    def finished(self, outcome: Outcome) -> None:
        if outcome.provisional:
            self._await_commit(outcome)
            return
        self.end(endings.of_outcome(outcome, self._mask))

    def committed(self) -> None:
        with self._lock:
            outcome, self._provisional = self._provisional, None
        if outcome is not None:
            self.finished(replace(outcome, provisional=False))

    def going_on(self, rows: int) -> None:
        self._note("going_on", rows=rows)

    def pace_changed(self) -> None:
        self.watch.begin_rate_anew()

    def _await_commit(self, outcome: Outcome) -> None:
        """Keep the end back until the transaction around the run has come to its own."""
        self._flush()
        connection = connections[self._using]
        transaction.on_commit(self.committed, using=self._using, robust=True)
        with self._lock:
            self._provisional = outcome
            # Django empties this list when the transaction ends, whichever way.
            self._is_open = lambda: any(entry[1] == self.committed for entry in connection.run_on_commit)
        self._gone_at = None

    def _notice_rollback(self, patience: float = COMMIT_PATIENCE_SECONDS) -> None:
        """End a provisional run whose transaction is over without word of a commit."""
        with self._lock:
            if self._provisional is None or self._is_open():
                self._gone_at = None
                return
            now = time.monotonic()
            self._gone_at = self._gone_at or now
            if now - self._gone_at < patience:
                return
            self._provisional = None
        self._end_record(endings.of_rollback(forced=self.is_forced))

    def failed(self, error: BaseException, traceback_text: str) -> None:
        message = self._mask.lines(clean(endings.words(error)))
        if isinstance(error, StoppedEarly):
            self.end(
                endings.of_stop(
                    error,
                    message,
                    control=self.control,
                    by=self.control_by,
                    kept=self._kept,
                    in_worker=self._on_control is not None,
                    put_off=self._put_off,
                )
            )
            return
        # The executor tells of a failure while it still handles the author's own error.
        cause = error
        if isinstance(error, MigrationFailed):
            cause = error.__cause__ or sys.exc_info()[1] or error
        text = self._mask.lines(clean(traceback_text)).rstrip("\n")
        first, *others = self._finished_lines(text or message)
        self._flush()
        self._add([("r", first, True), *(("r", line, False) for line in others)])
        self.end(endings.of_error(cause, message, text))

    def end(self, ending: Ending) -> None:
        """Write how the attempt ended; the first call counts."""
        with self._lock:
            if self.is_ended:
                return
            self._end_record(ending)
        self.close()

    @property
    def handed_back(self) -> bool:
        """Whether the run went back into the queue."""
        return self._status == Status.ENQUEUED

    @property
    def is_put_off(self) -> bool:
        """Whether the run is to go on at a later time."""
        return self._status == Status.SCHEDULED

    def _end_record(self, ending: Ending) -> None:
        with self._lock:
            if self.is_ended:
                return
            self._flush()
            self.is_ended = True
            self._status = ending.status
            fields = ending.fields
            done = self.watch.progress
            if done is not None:
                fields = {**fields, "progress_done": done[0], "progress_total": done[1]}
            self._journal.note(
                "end", status=ending.status.value, outcome=clean(ending.outcome), at=time.time(), fields=fields
            )

    def close(self, seconds: float | None = None) -> bool:
        """Wait for the last lines to be stored, within bounds. True when they all are.

        Inside the caller's transaction nothing is waited for: on SQLite in one file the lines can be
        stored only after it. The thread goes on by itself, and what it cannot store a worker will.
        """
        if seconds is None:
            inside = self._using in connections and connections[self._using].in_atomic_block
            seconds = 0 if inside else conf.get("END_WAIT_SECONDS")
        stored = self.watch.finish(seconds)
        if not self.watch.is_alive():
            self._settle()
        return stored

    def _settle(self) -> None:
        """The journal is stored, or left for a worker; while the run goes on it stays open."""
        with self._lock:
            if self.watch.drain.ended or self.watch.turned_away:
                self._journal.remove()
            elif self.is_ended:
                self._journal.close()

    def _finished_lines(self, text: str) -> list[str]:
        splitter = Splitter(self._mask, conf.get("LINE_BYTES"), slack=self._splitter.slack)
        return [line for _, line in splitter.feed("stdout", text.rstrip("\n") + "\n")]

    def _flush(self) -> None:
        self._add([(level, line, False) for level, line in self._splitter.flush()])

    def _add(self, lines: list[tuple[str, str, bool]]) -> None:
        if not lines:
            return
        with self._lock:
            if self.is_ended or self.watch.turned_away:
                return
            self._journal.add(lines)
            self._unflushed += len(lines)
        if self._unflushed >= conf.get("FLUSH_LINES"):
            self._unflushed = 0
            self.watch.wake()

    def _note(self, kind: str, **data: Any) -> None:
        with self._lock:
            if not self.is_ended:
                self._journal.note(kind, **data)

    def _look_around(self) -> None:
        self._note_partial()
        self._notice_rollback()

    def _note_partial(self) -> None:
        """Keep the beginning of a line whose end is long in coming: it may say what a killed process was at."""
        self._unflushed = 0
        with self._lock:
            waiting = self._splitter.waiting()
            now = time.monotonic()
            if waiting != self._partial[1] and now - self._partial[0] >= 1 and not self.is_ended:
                self._partial = (now, waiting)
                self._journal.note("partial", next=self._journal.lines, at=time.time(), lines=waiting)

    def _controlled(self, word: str, by: str) -> None:
        self.control, self.control_by = word, by
        if text := endings.asked(word, by, in_batches=self._kept.goes_on):
            # Before the run hears of it: after its end it has no lines any more.
            self.message("warning", text)
        if self._on_control is not None:
            self._on_control(word)


def _finish_all() -> None:
    """At the end of the process: give the last lines their time, all together no longer than one run."""
    deadline = time.monotonic() + conf.get("END_WAIT_SECONDS")
    for recorder in list(_living):
        if recorder.watch.is_alive():
            recorder._notice_rollback(patience=0)
            recorder.close(max(0.0, deadline - time.monotonic()))


atexit.register(_finish_all)
