"""A run's journal: what was printed, on disk the moment it is printed, so that it survives the process.

A journal is a folder: ``run.json`` says whose it is, numbered segments hold one JSON record a
line. Its writer holds a lock on the folder, which the system lets go of when the process ends,
so whoever gets the lock knows that the writer is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import conf, spool

# A file in the journal's folder while its writer cannot store it.
DELAYED = "delayed"
SEGMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Line:
    """A record of one log line: its number within the journal, when, which level, and whether an error begins there."""

    index: int
    at: float
    level: str
    text: str
    is_error: bool = False


@dataclass(frozen=True)
class Note:
    """Any other record: ``begun``, ``partial`` or ``end``, with its data."""

    kind: str
    data: dict[str, Any]


class Journal:
    """The writing end. Nothing here raises once the journal is open: a full disk costs lines, not the run."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._pid = os.getpid()
        self._segment = 0
        self._size = 0
        self._torn = False
        self._file = self._open()
        self.lines = 0

    @classmethod
    def create(cls, name: str, head: dict[str, Any]) -> Journal:
        """A new journal.

        Raises:
            OSError: the spool folder cannot be used.
        """
        folder = spool.folder()
        # Under its real name it is never seen unlocked or without its head.
        hidden = folder / f".{name}.{os.getpid()}"
        hidden.mkdir(mode=0o700)
        lock = os.open(hidden, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (hidden / "run.json").write_text(json.dumps(head), encoding="utf-8")
        path = folder / name
        hidden.rename(path)
        return cls(path, lock)

    def line(self, level: str, text: str, *, is_error: bool = False) -> None:
        """Add a line."""
        self.add([(level, text, is_error)])

    def add(self, lines: list[tuple[str, str, bool]]) -> None:
        """Add lines, in one write."""
        at = round(time.time(), 3)
        records = []
        for level, text, is_error in lines:
            record: list[Any] = [self.lines, at, level, text]
            if is_error:
                record.append(1)
            records.append(json.dumps(record, ensure_ascii=False))
            self.lines += 1
        self._write("\n".join(records))

    def note(self, kind: str, **data: Any) -> None:
        """Add another record."""
        self._write(json.dumps({"kind": kind, **data}, ensure_ascii=False))

    def _write(self, record: str) -> None:
        # In a child of a fork its lines would carry the numbers of the parent's.
        if self._lock < 0 or os.getpid() != self._pid:
            return
        payload = (record + "\n").encode(errors="replace")
        if self._torn:
            payload = b"\n" + payload
        try:
            if self._size + len(payload) > SEGMENT_BYTES and self._size:
                self._next_segment()
            written = os.write(self._file, payload)
            self._size += written
            self._torn = written < len(payload)
        except OSError:
            self._torn = True

    def _open(self) -> int:
        path = self.path / f"{self._segment:08d}"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _next_segment(self) -> None:
        os.close(self._file)
        self._segment += 1
        self._size = 0
        self._file = self._open()
        self._keep_under_cap()

    def _keep_under_cap(self) -> None:
        """Let go of the middle when what waits is too much: head and tail stay, the gap shows in the log."""
        waiting = segments(self.path)
        keep = max(3, conf.get("SPOOL_CAP_BYTES") // SEGMENT_BYTES)
        for path in waiting[1 : max(1, len(waiting) - keep + 1)]:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock: whoever comes may store what is left."""
        if os.getpid() == self._pid and self._lock >= 0:
            os.close(self._file)
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Everything is stored: the journal is not needed any more."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.close()


def segments(path: Path) -> list[Path]:
    """The segments of a journal, oldest first."""
    return sorted(entry for entry in path.iterdir() if entry.name.isdigit())


def head(path: Path) -> dict[str, Any]:
    """Whose journal it is.

    Raises:
        OSError, ValueError: it is not readable.
    """
    return dict(json.loads((path / "run.json").read_text(encoding="utf-8")))


def adopt(path: Path) -> int | None:
    """The lock of a journal whose writer is gone, or None while it still has one. Close it when done."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its former owner may have removed it between our open and our lock.
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def lag(after: float = 0) -> float:
    """The longest delay of this host's journals in seconds; see ``delay``."""
    return max((delay(path, after) for path in spool.journals()), default=0.0)


def delay(path: Path, after: float = 0) -> float:
    """For how many seconds lines have waited in a journal that cannot be stored, or whose writer is gone.

    0 where its writer is at work, and where it is less than ``after``.
    """
    try:
        marked = path / DELAYED
        if marked.exists():
            waited = time.time() - marked.stat().st_mtime
            return waited if waited > after else 0.0
        # A folder is touched only when a segment is added to it.
        waited = time.time() - max(each.stat().st_mtime for each in (path, *segments(path)[-1:]))
    except OSError:
        return 0.0
    if waited <= after:
        return 0.0
    lock = adopt(path)
    if lock is None:
        return 0.0
    os.close(lock)
    return waited


class Cursor:
    """The reading end: goes through a journal's records, also while they are being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._segment: Path | None = None
        self._offset = 0

    def read(self, lines: int, size: int) -> list[Line | Note]:
        """The next records: at most so many lines and about so many bytes; empty when there are none yet."""
        records: list[Line | Note] = []
        while len(records) < lines and size > 0:
            chunk = self._chunk(size)
            if not chunk:
                following = self._following()
                if following is None:
                    break
                # The writer may have added to this segment just before it began the next one.
                chunk = self._chunk(size)
                if not chunk:
                    self._segment, self._offset = following, 0
                    continue
            for raw in chunk.splitlines(keepends=True):
                if len(records) >= lines:
                    break
                self._offset += len(raw)
                size -= len(raw)
                record = _parsed(raw)
                if record is not None:
                    records.append(record)
        return records

    def _chunk(self, size: int) -> bytes:
        """Whole records from where we are, or nothing."""
        if self._segment is None:
            return b""
        try:
            with self._segment.open("rb") as file:
                file.seek(self._offset)
                data = file.read(size)
                # One record may be longer than what was asked for.
                while data and b"\n" not in data:
                    more = file.read(size)
                    if not more:
                        break
                    data += more
        except FileNotFoundError:
            return b""
        return data[: data.rfind(b"\n") + 1]

    def _following(self) -> Path | None:
        """The segment after the one we are in, if there is one."""
        present = segments(self.path)
        return next((path for path in present if self._segment is None or path.name > self._segment.name), None)

    def behind(self) -> Iterator[Path]:
        """The segments that were read to their end."""
        for path in segments(self.path):
            if self._segment is not None and path.name < self._segment.name:
                yield path


def _parsed(raw: bytes) -> Line | Note | None:
    """The record of one line, or None for the torn rest of one (a full disk)."""
    try:
        record = json.loads(raw)
    except ValueError:
        return None
    if isinstance(record, list) and len(record) >= 4:
        index, at, level, text = record[:4]
        return Line(index, at, level, text, is_error=len(record) > 4)
    if isinstance(record, dict) and "kind" in record:
        return Note(record.pop("kind"), record)
    return None
