"""What a run tells while it goes: the reporters, and what they are told.

The core prints nothing by itself. A terminal, the console's recorder and a test each
bring a reporter; one that fails is dropped, and never takes the run down with it.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .words import counted, row_key

logger = logging.getLogger("data_migrations")


class Door(enum.StrEnum):
    """Through which door a run, or a record, came."""

    SHELL = "shell"
    MIGRATE = "migrate"
    WORKER = "worker"
    CODE = "code"
    MARKED = "marked"


class OutcomeKind(enum.StrEnum):
    """How a run that did not fail ended."""

    APPLIED = "applied"
    ALREADY_APPLIED = "already_applied"
    DRY_RUN = "dry_run"
    REVERSED = "reversed"
    NOT_APPLIED = "not_applied"


class GroupEnd(enum.StrEnum):
    """How a group of log lines ended: by itself, with an exception, or because the run was to stop."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class TableChange:
    """How many rows of one table were inserted, updated and deleted."""

    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """Rows touched in all."""
        return self.inserted + self.updated + self.deleted


FEW_KEYS = 5
"""So many keys of rows that are set aside are named in a sentence."""


@dataclass(frozen=True)
class SetAside:
    """Rows that are set aside, or in a dry run would be: how many, and the first of their keys, in words."""

    count: int = 0
    keys: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{counted(self.count, 'row')} ({', '.join(self.keys)}{', …' if self.count > len(self.keys) else ''})"

    def and_one(self, key: Any) -> SetAside:
        """The same with one more row."""
        keys = self.keys if len(self.keys) >= FEW_KEYS else (*self.keys, row_key(key))
        return SetAside(self.count + 1, keys)


@dataclass(frozen=True)
class RunInfo:
    """What is asked for, as reporters see it; sensitive arguments are masked.

    ``secrets`` are their values: not to be stored, but to be masked in what the run prints.
    """

    key: str
    name: str
    command_name: str
    using: str
    door: Door
    by: str
    reason: str
    dry_run: bool
    force: bool
    reverse: bool
    arguments: dict[str, Any]
    atomic: bool
    checksum: str
    started_at: datetime
    in_batches: bool = False
    secrets: tuple[Any, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``duration`` is in seconds, ``affected_rows`` None where nothing was counted.

    ``provisional``: a transaction around the run is still open, and only its commit makes it true.
    ``samples``, of a dry run in batches: rows as dicts of ``key``, ``before`` and ``after`` (field -> value of what
    changes, ``after`` None for a deleted row), JSON-serialisable. ``estimated_seconds``: what all that is left would
    take, the ``estimated_pauses`` between its batches among them. ``set_aside``: rows that would be. ``rows_before``:
    how many of the affected rows earlier runs did, after which this one went on.
    """

    kind: OutcomeKind
    result: str = ""
    affected_rows: int | None = None
    duration: float = 0.0
    changes: Sequence[TableChange] = field(default_factory=tuple)
    emails_held: int = 0
    provisional: bool = False
    samples: Sequence[dict[str, Any]] = ()
    estimated_seconds: float | None = None
    estimated_pauses: float = 0.0
    set_aside: SetAside = SetAside()
    rows_before: int = 0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: host, pid and since when; empty where the database does not say."""

    host: str = ""
    pid: int = 0
    since: datetime | None = None

    def __str__(self) -> str:
        if not self.host:
            return "another transaction"
        since = f", since {self.since:%Y-%m-%d %H:%M:%S %Z}" if self.since else ""
        return f"{self.host} (pid {self.pid}{since})"


class Reporter:
    """Base of all reporters: hears everything, does nothing."""

    def started(self, run: RunInfo) -> None:
        """The run was asked for; nothing has happened yet."""

    def waiting(self, holder: Holder) -> None:
        """Somebody else runs this migration; this run waits for them."""

    def throttled(self, reason: str) -> None:
        """The next batch waits, and this is why; told again at each look, and empty once it goes on."""

    def working(self) -> None:
        """The work itself begins now: the lease is held and the transaction is open."""

    def going_on(self, rows: int) -> None:
        """The batches begin, after so many rows that earlier runs did; 0 where it begins at the very start."""

    def pace_changed(self) -> None:
        """Somebody changed the batch size or the pause: how fast it went says nothing any more."""

    def message(self, level: str, text: str) -> None:
        """A sentence of ours; level is "info", "success", "warning" or "error"."""

    def output(self, stream: str, text: str) -> None:
        """Captured text, not split into lines; "stdout", "stderr", "warnings" or "logging:LEVEL"."""

    def group_began(self, title: str) -> None:
        """What comes now, up to its ``group_ended``, belongs together; groups may be nested."""

    def group_ended(self, title: str, end: GroupEnd, seconds: float) -> None:
        """The innermost group that is open has come to its end, after so many seconds."""

    def progress(self, done: int, total: int | None) -> None:
        """So much is done, of so much if that is known."""

    def finished(self, outcome: Outcome) -> None:
        """The run ended well; a provisional outcome is true only once ``committed`` is told as well."""

    def committed(self) -> None:
        """The transaction around a provisional outcome was committed; never told when it was rolled back."""

    def failed(self, error: BaseException, traceback_text: str) -> None:
        """The run failed, was refused or was stopped early."""


Factory = Callable[[RunInfo], Reporter | None]
_factories: list[Factory] = []


def register(factory: Factory) -> None:
    """Ask for a reporter of one's own at every run that no worker steers (shell, migrate, code)."""
    if factory not in _factories:
        _factories.append(factory)


def group_words(title: str, end: GroupEnd, seconds: float) -> str:
    """The line that ends a group."""
    words = {GroupEnd.DONE: "", GroupEnd.FAILED: "failed after ", GroupEnd.STOPPED: "stopped after "}
    return f"{title}: {words[end]}{seconds:.1f} s"


def registered(run: RunInfo) -> list[Reporter]:
    """The reporters that registered factories give for a run; a factory that fails is logged and passed over."""
    reporters = []
    for factory in _factories:
        try:
            reporter = factory(run)
        except Exception:
            logger.exception("A reporter for %s could not be made; the run goes on without it.", run.name)
            continue
        if reporter is not None:
            reporters.append(reporter)
    return reporters


class Broadcast(Reporter):
    """Tells several reporters; one that raises is logged and not told again."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = list(reporters)

    def _tell(self, method: str, *args: Any) -> None:
        for reporter in tuple(self.reporters):
            try:
                getattr(reporter, method)(*args)
            except Exception:
                self.reporters.remove(reporter)
                logger.exception("%s failed and hears no more of this run.", type(reporter).__name__)

    def started(self, run: RunInfo) -> None:
        self._tell("started", run)

    def waiting(self, holder: Holder) -> None:
        self._tell("waiting", holder)

    def throttled(self, reason: str) -> None:
        self._tell("throttled", reason)

    def working(self) -> None:
        self._tell("working")

    def going_on(self, rows: int) -> None:
        self._tell("going_on", rows)

    def pace_changed(self) -> None:
        self._tell("pace_changed")

    def message(self, level: str, text: str) -> None:
        self._tell("message", level, text)

    def output(self, stream: str, text: str) -> None:
        self._tell("output", stream, text)

    def group_began(self, title: str) -> None:
        self._tell("group_began", title)

    def group_ended(self, title: str, end: GroupEnd, seconds: float) -> None:
        self._tell("group_ended", title, end, seconds)

    def progress(self, done: int, total: int | None) -> None:
        self._tell("progress", done, total)

    def finished(self, outcome: Outcome) -> None:
        self._tell("finished", outcome)

    def committed(self) -> None:
        self._tell("committed")

    def failed(self, error: BaseException, traceback_text: str) -> None:
        self._tell("failed", error, traceback_text)
