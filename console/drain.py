"""From a journal into the database: the one way, for a live run as for what a dead process left behind."""

from __future__ import annotations

import logging
import os
import shutil
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.utils import DatabaseError, DataError

from data_migrations import clock

from . import conf, journal, spool, states, store, worked
from .journal import Cursor, Line, Note
from .models import Attempt, Run
from .states import FINISHED, Status

logger = logging.getLogger("console")


class Drain:
    """Stores a journal's records one step at a time; each step is one transaction that can be repeated.

    Args:
        late: the writer is gone; its lines are kept even when a newer attempt has the run by now.
    """

    def __init__(self, path: Path, head: dict[str, Any], *, late: bool = False) -> None:
        self.head = head
        self.path = path
        self.late = late
        self.ended = False
        self.run_id = 0
        self._cursor = Cursor(path)
        self._attempt: Attempt | None = None
        self._pending: list[Line | Note] = []
        self._partial: Note | None = None
        self._superseded = False

    def step(self) -> bool:
        """Store the next chunk or note. False when nothing is left for now.

        Raises:
            TurnedAway: the run is gone, or a newer attempt has it and this is no late journal.
            DatabaseError: the database does not take it now; nothing was lost, call again later.
        """
        if not self._pending:
            for path in self._cursor.behind():
                path.unlink(missing_ok=True)
            self._pending = self._cursor.read(conf.get("FLUSH_LINES"), conf.get("FLUSH_BYTES"))
        if not self._pending:
            return False
        if self._attempt is None:
            self._attempt = self._find_attempt()
        first = self._pending[0]
        if isinstance(first, Note):
            self._note(first)
            del self._pending[0]
        else:
            self._lines()
        return True

    def rest(self) -> None:
        """What a dead writer had begun to print without coming to the end of the line."""
        if self._partial is None or self._attempt is None:
            return
        start = self._partial.data["next"]
        at = self._partial.data["at"]
        pieces = enumerate(self._partial.data["lines"], start)
        self._pending = [Line(index, at, level, text) for index, (level, text) in pieces]
        self._partial = None
        while self._pending:
            self._lines()

    def _lines(self) -> None:
        assert self._attempt is not None
        self._partial = None
        stored = self._attempt.stored
        lines: list[Line] = []
        taken = 0
        for record in takewhile(lambda record: isinstance(record, Line), self._pending):
            assert isinstance(record, Line)
            if lines and record.index != lines[-1].index + 1:
                break
            taken += 1
            if record.index >= stored:
                lines.append(record)
        if lines:
            try:
                self._store(lines)
            except store.Raced:
                # Our own commit went through though its answer was lost, or somebody else was faster.
                self._attempt.refresh_from_db()
                return
        del self._pending[:taken]

    def _store(self, lines: list[Line]) -> None:
        assert self._attempt is not None
        fence = None if self._superseded else self._attempt.number
        try:
            store.append_once(self.run_id, self._attempt, lines, fence=fence)
        except store.TurnedAway:
            if not self.late or self._superseded:
                raise
            self._superseded = True
            _tell(self.run_id, f"Lines of attempt {self._attempt.number}, found later on {self._attempt.host}:")
            self._store(lines)
        except DataError:
            # A database whose encoding has no such characters: better spelled out than lost.
            store.append_once(self.run_id, self._attempt, [_spelled_out(line) for line in lines], fence=fence)

    def _note(self, note: Note) -> None:
        assert self._attempt is not None
        mine = Run.objects.filter(pk=self.run_id, attempt=self._attempt.number)
        if note.kind == "partial":
            self._partial = note
        elif note.kind == "started":
            mine.update(**note.data)
        elif note.kind == "begun":
            mine.update(begun=True)
        elif note.kind == "going_on":
            # Of a run with several attempts the first one knows what others had done.
            mine.filter(rows_before=None).update(rows_before=note.data["rows"])
        elif note.kind == "end":
            self._partial = None
            self._finish(note.data)
            self.ended = True

    def _finish(self, data: dict[str, Any]) -> None:
        """Write how the attempt ended: under its fence, and after its last line."""
        assert self._attempt is not None
        status = Status(data["status"])
        at = clock.from_timestamp(data["at"])
        fields = dict(data["fields"])
        if "progress_done" in fields:
            fields["progress_at"] = at
        if status in FINISHED:
            fields |= {"finished_at": at, "sealed_arguments": ""}
        if status == Status.ENQUEUED:
            fields |= {"enqueued_at": at, "rung_at": None}
        expect = [source for source in (Status.RUNNING, Status.INTERRUPTED) if (source, status) in states.TRANSITIONS]
        if status == Status.ENQUEUED:
            expect = [Status.RUNNING]
        with transaction.atomic(using=spool.alias()):
            mine = states.transition(
                self.run_id, status, expect=expect, attempt=self._attempt.number, control="", **fields
            )
            Attempt.objects.filter(pk=self._attempt.pk).update(ended_at=at, outcome=data["outcome"][:200])
            if mine:
                worked.note(self.run_id)

    def _find_attempt(self) -> Attempt:
        """The attempt that the journal belongs to; a run that began outside the console is made now."""
        with transaction.atomic(using=spool.alias()):
            if "run" in self.head:
                run, _ = Run.objects.get_or_create(key=self.head["key"], defaults=_with_times(self.head["run"]))
                values = _with_times(self.head["attempt"])
                attempt, _ = Attempt.objects.get_or_create(run=run, number=values.pop("number"), defaults=values)
            else:
                found = (
                    Attempt.objects.select_related("run")
                    .filter(run__key=self.head["key"], number=self.head["attempt"]["number"])
                    .first()
                )
                if found is None:
                    raise store.TurnedAway
                attempt = found
        self.run_id = attempt.run_id
        return attempt


def _with_times(values: dict[str, Any]) -> dict[str, Any]:
    """Fields as a journal's head holds them, their times (seconds since 1970) made datetimes."""
    return {
        name: clock.from_timestamp(value) if name.endswith("_at") and value is not None else value
        for name, value in values.items()
    }


def _tell(run_id: int, text: str) -> None:
    store.append(run_id, [Line(0, time.time(), "s", text)])


def _spelled_out(line: Line) -> Line:
    text = line.text.encode("ascii", "backslashreplace").decode()
    return Line(line.index, line.at, line.level, text, line.is_error)


def drain_orphans() -> int:
    """Store what processes of this machine left behind when they ended. Gives how many journals were finished.

    Safe beside any number of others that do the same, and beside the writers themselves.
    """
    finished = 0
    for path in spool.journals():
        lock = journal.adopt(path)
        if lock is None:
            continue
        try:
            finished += _drain_orphan(path)
        finally:
            os.close(lock)
    return finished


def _drain_orphan(path: Path) -> bool:
    try:
        drain = Drain(path, journal.head(path), late=True)
        while drain.step():
            pass
        drain.rest()
    except store.TurnedAway:
        logger.info("The run of the journal %s is gone; so is the journal now.", path)
    except (OSError, ValueError, KeyError):
        logger.exception("The journal %s cannot be read; it was left where it is.", path)
        return False
    except DatabaseError:
        # Not now: the tables are not there yet, or the database is busy or down. The journal waits.
        return False
    shutil.rmtree(path, ignore_errors=True)
    return True
