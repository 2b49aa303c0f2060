"""Counting the rows that a run inserts, updates and deletes, table by table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from types import TracebackType
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from . import statements
from .reporting import TableChange
from .statements import Statement

OWN_TABLES = "data_migrations_"

INSERTED, UPDATED, DELETED = range(3)
_COLUMN = {
    "INSERT": INSERTED,
    "REPLACE": INSERTED,
    "COPY": INSERTED,
    "UPDATE": UPDATED,
    "MERGE": UPDATED,
    "DELETE": DELETED,
}

_RECORDS = re.compile(rb"Records: (\d+)")
_STATISTICS = """
    SELECT CASE WHEN schemaname = current_schema() THEN relname ELSE schemaname || '.' || relname END,
           n_tup_ins, n_tup_upd, n_tup_del
      FROM pg_stat_xact_user_tables
     WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname NOT LIKE 'pg_temp%'
"""

Counts = dict[str, tuple[int, int, int]]


class ChangeCounter:
    """Counts what is changed on one database connection, in this thread, while the block runs.

    The verb and the table of each statement are read from its text and its rows are those that the driver reports,
    which is cheap enough for a real run. Our own tables are left out. Not seen that way are rows changed by triggers
    and by the database's own cascades, and PostgreSQL's ``COPY`` through the driver; the rows that an upsert updates
    count as inserted, except where MariaDB tells them apart. What is undone by going back to a savepoint is not
    counted; an outermost transaction that the block itself opens and rolls back is.

    Args:
        using: the database alias.
        exact: for a block that is one transaction, as a dry run is. PostgreSQL's own statistics of that transaction
            are taken, which see triggers, cascades and COPY; rows are counted before a TRUNCATE.
    """

    def __init__(self, using: str, *, exact: bool = False) -> None:
        self.using = using
        self.exact = exact
        self._connection: BaseDatabaseWrapper = connections[using]
        self._counts: Counts = {}
        self._truncated: dict[str, int | None] = {}
        self._statistics_before: Counts = {}
        self._statistics: Counts | None = None
        self._savepoints: list[tuple[str, Counts]] = []
        self._went_back = False
        self._pending: Callable[[], None] | None = None

    def __enter__(self) -> ChangeCounter:
        if self.exact:
            self._statistics_before = self._read_statistics()
        # Outermost: it sees the statement as it was written, and the cursor as all other wrappers leave it.
        self._connection.execute_wrappers.insert(0, self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle()
        if self._count in self._connection.execute_wrappers:
            self._connection.execute_wrappers.remove(self._count)
        if self.exact and error is None:
            self._take_statistics()

    def changes(self) -> list[TableChange]:
        """What was changed so far: an entry for each table with a change, by name."""
        self._settle()
        counts = self._counts
        if self._statistics is not None:
            # Statistics keep what a savepoint undid; then they only add the tables that no statement named.
            counts = {**self._statistics, **counts} if self._went_back else self._statistics
        changes = [TableChange(table, *rows) for table, rows in counts.items() if any(rows)]
        for table, emptied in self._truncated.items():
            if emptied is None:
                changes.append(TableChange(f"{table} (emptied by TRUNCATE, rows not counted)"))
            elif emptied:
                changes.append(TableChange(f"{table} (emptied by TRUNCATE)", deleted=emptied))
        return sorted(changes, key=lambda change: change.table)

    @property
    def total(self) -> int:
        """Rows inserted, updated and deleted so far, in all tables."""
        return sum(change.total for change in self.changes())

    def _count(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """The wrapper around each statement on the connection."""
        if self._pending is not None:
            self._settle()
        found = statements.read(sql, self._connection.vendor, self._connection.connection)
        writing = next((one for one in found if one.table and one.writes), None)
        if writing is None:
            result = execute(sql, params, many, context)
            for statement in found:
                self._follow(statement)
            return result
        if writing.table.rpartition(".")[2].startswith(OWN_TABLES):
            return execute(sql, params, many, context)
        rows = self._rows_in(writing.table) if self.exact and writing.verb == "TRUNCATE" else None
        before = self._total_changes()
        result = execute(sql, params, many, context)
        if writing.verb == "TRUNCATE":
            self._truncated[writing.table] = rows
        elif writing.returning and self._connection.vendor == "sqlite":
            self._pending = self._later(writing, context["cursor"].cursor, before)
        else:
            self._note(writing, params, many, context["cursor"], before)
        return result

    def _note(self, statement: Statement, params: Any, many: bool, cursor: Any, before: int) -> None:
        """Count the rows that the driver reports for a statement that has run."""
        rows = cursor.rowcount
        if rows < 0:
            # Python's sqlite3 gives no number for a statement that begins with WITH.
            rows = self._total_changes() - before
        if self._connection.vendor == "mysql" and statement.verb in ("INSERT", "REPLACE"):
            # An upsert counts twice each row that was there before.
            twice = max(0, rows - records) if (records := _records(params, many, cursor)) else 0
            self._add(statement.table, UPDATED, twice)
            rows -= 2 * twice
        self._add(statement.table, _COLUMN[statement.verb], rows)

    def _later(self, statement: Statement, cursor: Any, before: int) -> Callable[[], None]:
        """SQLite knows the rows of a RETURNING only when they have been fetched: looked at by the next statement."""

        def settle() -> None:
            rows = cursor.rowcount
            self._add(statement.table, _COLUMN[statement.verb], rows if rows > 0 else self._total_changes() - before)

        return settle

    def _settle(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending()

    def _total_changes(self) -> int:
        try:
            return getattr(self._connection.connection, "total_changes", 0)
        except sqlite3.ProgrammingError:
            # The block closed the connection.
            return 0

    def _add(self, table: str, column: int, rows: int) -> None:
        if rows > 0:
            counts = list(self._counts.get(table, (0, 0, 0)))
            counts[column] += rows
            self._counts[table] = (counts[0], counts[1], counts[2])

    def _follow(self, statement: Statement) -> None:
        """Forget what a savepoint undid."""
        if statement.verb == "SAVEPOINT":
            self._savepoints.append((statement.savepoint, dict(self._counts)))
        elif statement.verb == "RELEASE" or statement.is_rollback_to:
            index = next(
                (i for i, (name, _) in reversed([*enumerate(self._savepoints)]) if name == statement.savepoint), None
            )
            if index is None:
                return
            if statement.verb == "RELEASE":
                del self._savepoints[index:]
            else:
                self._went_back = True
                self._counts = dict(self._savepoints[index][1])
                del self._savepoints[index + 1 :]

    def _rows_in(self, table: str) -> int:
        name = ".".join(self._connection.ops.quote_name(part) for part in table.split("."))
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {name}")  # noqa: S608
            return int(cursor.fetchone()[0])

    def _read_statistics(self) -> Counts:
        if self._connection.vendor != "postgresql":
            return {}
        with self._connection.cursor() as cursor:
            cursor.execute(_STATISTICS)
            return {table: (inserted, updated, deleted) for table, inserted, updated, deleted in cursor.fetchall()}

    def _take_statistics(self) -> None:
        """Read what PostgreSQL counted since the block began; without ``track_counts`` it counts nothing."""
        connection = self._connection
        if connection.vendor != "postgresql" or connection.closed_in_transaction or connection.needs_rollback:
            return
        statistics: Counts = {}
        for table, after in self._read_statistics().items():
            before = self._statistics_before.get(table, (0, 0, 0))
            if table in self._truncated:
                # A TRUNCATE takes back what the server had counted before it.
                statistics[table] = self._counts.get(table, (0, 0, 0))
            elif not table.rpartition(".")[2].startswith(OWN_TABLES):
                statistics[table] = (after[0] - before[0], after[1] - before[1], after[2] - before[2])
        if statistics or not self._counts:
            self._statistics = statistics


def _records(params: Any, many: bool, cursor: Any) -> int | None:
    """How many rows MariaDB was asked to write; None where the driver does not say."""
    if many:
        return len(params) if hasattr(params, "__len__") else None
    # Django's cursor, the backend's, the driver's.
    result = getattr(getattr(getattr(cursor, "cursor", None), "cursor", None), "_result", None)
    message = getattr(result, "message", None)
    if not isinstance(message, bytes):
        return None
    records = _RECORDS.search(message)
    return int(records.group(1)) if records else 1
