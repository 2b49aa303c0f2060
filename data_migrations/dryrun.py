"""Doing the work for real and undoing all of it: what a dry run is, whatever the author's code does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from . import mail, threads
from .exceptions import EXIT_REFUSED, DataMigrationError
from .reporting import TableChange
from .stopping import ends_transactions
from .undoing import Undoing, make_read_only


class DryRunRefused(DataMigrationError):
    """The dry run refused a statement that it could not have undone. Nothing was changed."""

    exit_status = EXIT_REFUSED


class DryRunNotUndone(DataMigrationError):
    """The dry run was broken out of. Look at the data before anything else."""


class DryRun:
    """A dry run and, after its block, what it would have changed.

    Attributes:
        changes: rows inserted, updated and deleted, a ``TableChange`` for each table; one of another database than the
            run's is named "table (database alias)".
        emails_held: how many e-mails were held back.
        refusals: what was refused, in sentences; a dry run with one fails, also when its body caught the error.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self.changes: list[TableChange] = []
        self.emails_held = 0
        self.refusals: list[str] = []
        self._undoings: list[Undoing] = []

    def refuse(self, reason: str) -> DryRunRefused:
        """Note that something was refused, and give the error to raise."""
        self.refusals.append(reason)
        return DryRunRefused(reason)

    def knows(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether this dry run can undo what is done on this connection."""
        return any(undoing.connection is connection for undoing in self._undoings)


_current: ContextVar[DryRun | None] = ContextVar("data_migrations_dry_run", default=None)


@contextmanager
def undone(using: str, *, atomic: bool = True) -> Iterator[DryRun]:
    """Undo whatever the block does to databases and hold its e-mails back, also when it raises.

    On ``using`` a transaction is open all the time, a savepoint where there is one already. On every other alias that
    the block uses one is opened by the first statement, on SQLite by the first that writes. All are rolled back, so
    ``on_commit`` callbacks do not run. What would end a transaction is refused before it runs: raw ``COMMIT`` and its
    like, on MariaDB also DDL, TRUNCATE and ``CALL``, which commit by themselves, and writes to tables of engines
    without transactions. Connections that the dry run does not know, above all those of threads that the block starts,
    may only read. A refused statement makes the dry run fail even where the block catches the error.

    Not undone: what leaves the databases (files, caches, HTTP, messages, subprocesses), sequences and auto-increment
    counters, and locks of the session. A commit through the driver's own connection cannot be stopped on PostgreSQL and
    MariaDB; it is found out at the end and told by ``DryRunNotUndone``.

    Args:
        using: the database alias of the run.
        atomic: whether the real run is one transaction. If not, ``atomic(durable=True)`` is let through.

    Raises:
        DryRunRefused: something that could not have been undone was refused.
        DryRunNotUndone: a transaction had been ended behind our back, so changes may have been kept.
    """
    connection_created.connect(_guard_new_connection, dispatch_uid="data_migrations.dryrun")
    run = DryRun(using)
    is_outermost = _current.get() is None
    for alias in connections:
        run._undoings.append(Undoing(connections[alias], run.refuse, is_outermost, atomic if alias == using else False))
    token = _current.set(run)
    error: BaseException | None = None
    try:
        with threads.inherited(_current, mail.held_here), mail.held_mail() as held:
            try:
                for undoing in run._undoings:
                    undoing.begin(now=undoing.connection.alias == using)
                yield run
            except BaseException as raised:
                error = raised
                raise
            finally:
                run.emails_held = held.count
                _undo(run, error)
    finally:
        _current.reset(token)


@ends_transactions
def _undo(run: DryRun, error: BaseException | None) -> None:
    """Roll everything back, then say what went wrong."""
    escaped, failures = [], []
    for undoing in reversed(run._undoings):
        # Each is undone, whatever becomes of the others.
        try:
            if not undoing.end(error):
                escaped.append(undoing.connection.alias)
        except Exception as failure:
            failures.append(failure)
        run.changes += undoing.changes(is_main=undoing.connection.alias == run.using)
    run.changes.sort(key=lambda change: ("(database" in change.table, change.table))
    if escaped:
        raise DryRunNotUndone(
            f"The dry run could not undo everything: its transaction on the database {' and '.join(escaped)} was ended "
            "by something that it could not see, such as commit() on the driver's own connection. What was changed "
            "before that was kept. Look at the data, and take that commit out."
        ) from error
    if failures:
        raise failures[0]
    # An interruption stays one; an error of the body's own may come of the refusal that it caught.
    if run.refusals and not isinstance(error, DryRunRefused) and (error is None or isinstance(error, Exception)):
        raise DryRunRefused(run.refusals[0]) from error


def _guard_new_connection(sender: Any, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let a connection that is opened within a dry run, and that is not one of its own, only read."""
    run = _current.get()
    if run is not None and not run.knows(connection):
        make_read_only(connection, run.refuse)
