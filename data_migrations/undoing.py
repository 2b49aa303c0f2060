"""One database connection during a dry run: its transaction, what it refuses, and how it is rolled back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic
from django.db.utils import Error, OperationalError

from . import statements
from .changes import ChangeCounter
from .reporting import TableChange
from .statements import Statement

Refuse = Callable[[str], Exception]

# Words that end or begin a transaction; going back to a savepoint does not.
_CONTROL = frozenset({"COMMIT", "END", "ABORT", "ROLLBACK", "BEGIN", "START", "XA"})
# All that does not commit by itself on MariaDB and MySQL. What is not here is refused.
_SAFE_ON_MYSQL = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "TABLE", "DO", "SHOW", "EXPLAIN", "DESCRIBE"}
    | {"DESC", "SET", "USE", "HANDLER", "LOAD", "SAVEPOINT", "RELEASE", "ROLLBACK", "KILL"}
)
_SAFE_DDL_ON_MYSQL = ("CREATE TEMPORARY TABLE", "CREATE OR REPLACE TEMPORARY TABLE", "DROP TEMPORARY TABLE")
_ENGINES_WITHOUT_TRANSACTIONS = """
    SELECT t.table_name FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine
     WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND e.transactions <> 'YES'
"""
_READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET default_transaction_read_only = on",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}
# No such savepoint, and no transaction at all.
_NO_SUCH_SAVEPOINT = ("3B001", "25P01")
_NO_SUCH_SAVEPOINT_ON_MYSQL = 1305


class Undoing:
    """Keeps what happens on one connection in a transaction that ``end`` rolls back.

    Args:
        connection: of this thread.
        refuse: notes a refusal and gives the error to raise.
        is_outermost: whether no other dry run is going on around this one.
        atomic: whether the real run has a transaction on this database too, so that durable blocks fail in both.
    """

    def __init__(self, connection: BaseDatabaseWrapper, refuse: Refuse, is_outermost: bool, atomic: bool) -> None:
        self.connection = connection
        self._refuse = refuse
        self._is_outermost = is_outermost
        self._blocks: list[Atomic] = []
        self._savepoint: str | None = None
        self._commits_on_exit = True
        self._is_busy = False
        self._may_be_durable = not atomic
        self._counter = ChangeCounter(connection.alias, exact=True)
        self._is_counting = False
        self._plain_tables: tuple[str, ...] = ()

    def begin(self, *, now: bool) -> None:
        """Watch the connection; open the transaction now, or when it is first used."""
        # Outermost, so that it sees each statement before anybody else acts on it.
        self.connection.execute_wrappers.insert(0, self._around)
        if now or self.connection.in_atomic_block:
            self._open()
        else:
            self._replace("get_autocommit", "on_commit")
            original = self.connection.connect

            def connect() -> None:
                busy, self._is_busy = self._is_busy, True
                try:
                    original()
                finally:
                    self._is_busy = busy

            # While it connects, Django asks and sets things of its own: no statement of the body's.
            self.connection.connect = connect  # type: ignore[method-assign]

    def end(self, error: BaseException | None) -> bool:
        """Roll back and let go. False when the transaction had been ended before, so that changes may be kept."""
        connection = self.connection
        self._give_back("get_autocommit", "on_commit")
        self.connection.__dict__.pop("connect", None)
        self._is_busy = True
        if connections[connection.alias] is not connection:
            # The body threw this connection away and got another, which could only read.
            connections[connection.alias].close()
            connections[connection.alias] = connection
        stood = True
        try:
            if self._blocks:
                if self._is_counting:
                    self._stop_counting(error)
                stood = self._still_stands()
                self._roll_back()
        finally:
            if self._around in connection.execute_wrappers:
                connection.execute_wrappers.remove(self._around)
        return stood

    def changes(self, *, is_main: bool) -> list[TableChange]:
        """What was changed on this connection; on another than the run's main one the tables say so."""
        found = self._counter.changes()
        if is_main:
            return found
        alias = self.connection.alias
        return [TableChange(f"{one.table} (database {alias})", one.inserted, one.updated, one.deleted) for one in found]

    def _around(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """The wrapper around each statement."""
        if self._is_busy:
            return execute(sql, params, many, context)
        found = statements.read(sql, self.connection.vendor, self.connection.connection)
        for statement in found:
            reason = self._objection(statement, sql)
            if reason:
                raise self._refuse(
                    f"The dry run refused this statement before it ran: {_shortened(sql)}. {reason} Nothing was "
                    "changed, and all of the dry run was undone. Leave the statement out when dry_run is true."
                )
        if not self._blocks and (self.connection.vendor != "sqlite" or any(one.writes for one in found)):
            self._open()
            # Now the counter is among the wrappers, and this statement is to be counted as well.
            return self._counter._count(execute, sql, params, many, context)
        return execute(sql, params, many, context)

    def _objection(self, statement: Statement, sql: Any) -> str:
        """Why a statement could not be undone; empty when it can."""
        verb, head = statement.verb, statement.head
        if (verb in _CONTROL and not statement.is_rollback_to) or head.startswith("PREPARE TRANSACTION"):
            return "It would begin or end a transaction, and a dry run is one that is undone as a whole."
        if self.connection.vendor != "mysql":
            return ""
        if head.startswith("SET") and "AUTOCOMMIT" in head:
            return "It would begin or end a transaction, and a dry run is one that is undone as a whole."
        if verb and verb not in _SAFE_ON_MYSQL and not head.startswith(_SAFE_DDL_ON_MYSQL):
            return f"{self.connection.display_name} commits by itself with it, which no rollback undoes."
        if statement.writes and any(table in str(sql) for table in self._plain_tables):
            return "It touches a table whose storage engine has no transactions, so that no rollback undoes it."
        return ""

    def _open(self) -> None:
        """Open the transaction, or a savepoint, and a savepoint in it that tells at the end whether it still stands."""
        self._give_back("get_autocommit", "on_commit")
        connection = self.connection
        self._is_busy = True
        try:
            for _ in range(2):
                block = transaction.atomic(using=connection.alias)
                block._from_testcase = self._may_be_durable  # type: ignore[attr-defined]
                block.__enter__()
                self._blocks.append(block)
            self._commits_on_exit = connection.commit_on_exit
            self._savepoint = connection.savepoint_ids[-1]
            if connection.vendor == "mysql" and not connection.needs_rollback:
                with connection.cursor() as cursor:
                    cursor.execute(_ENGINES_WITHOUT_TRANSACTIONS)
                    self._plain_tables = tuple(name for (name,) in cursor.fetchall())
            self._set_authorizer(_deny_transactions)
            self._counter.__enter__()
            self._is_counting = True
        finally:
            self._is_busy = False

    def _stop_counting(self, error: BaseException | None) -> None:
        try:
            self._counter.__exit__(type(error) if error else None, error, None)
        except Error:
            # The session is gone or its transaction takes no more statements: the plain counts stay.
            pass

    def _still_stands(self) -> bool:
        """Whether our transaction is still the one that is open: else its savepoint is not known any more."""
        connection = self.connection
        self._set_authorizer(None)
        if self._savepoint is None or connection.closed_in_transaction or connection.connection is None:
            # A connection that was closed took its transaction with it.
            return True
        connection.needs_rollback = False
        try:
            with connection.cursor() as cursor:
                cursor.execute(connection.ops.savepoint_rollback_sql(self._savepoint))
        except Error as error:
            return not _is_unknown_savepoint(connection.vendor, error)
        return True

    def _roll_back(self) -> None:
        connection = self.connection
        # An atomic block of the body that made us open found a transaction, and noted that nobody began it.
        connection.commit_on_exit = self._commits_on_exit
        while self._blocks:
            block = self._blocks.pop()
            if block not in connection.atomic_blocks:
                continue
            # A block that the body entered and never left is left first.
            while connection.atomic_blocks[-1] is not block:
                connection.set_rollback(True)
                connection.atomic_blocks[-1].__exit__(None, None, None)
            connection.set_rollback(True)
            block.__exit__(None, None, None)

    def _set_authorizer(self, authorizer: Callable[..., int] | None) -> None:
        """SQLite asks an authorizer before each statement, so that no way round the wrapper commits."""
        driver = self.connection.connection
        if self._is_outermost and isinstance(driver, sqlite3.Connection) and not self.connection.closed_in_transaction:
            driver.set_authorizer(authorizer)

    def _replace(self, *methods: str) -> None:
        """Open the transaction at the first sign of use: the body's own atomic block, or a callback on commit."""
        for name in methods:
            original = getattr(self.connection, name)

            def first(*args: Any, _original: Callable[..., Any] = original, **kwargs: Any) -> Any:
                if not self._blocks and not self._is_busy:
                    self._open()
                return _original(*args, **kwargs)

            first.original = original  # type: ignore[attr-defined]
            setattr(self.connection, name, first)

    def _give_back(self, *methods: str) -> None:
        for name in methods:
            replaced = self.connection.__dict__.pop(name, None)
            # A dry run around this one has put its own there.
            if replaced is not None and "original" in vars(replaced) and "original" in vars(replaced.original):
                setattr(self.connection, name, replaced.original)


def make_read_only(connection: BaseDatabaseWrapper, refuse: Refuse) -> None:
    """Refuse whatever is written through a connection that the dry run cannot undo, for as long as it is open.

    The database itself is told, too; not in PostgreSQL's connection pool, which would hand the session to others.
    """

    def only_read(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if any(one.writes for one in statements.read(sql, connection.vendor, connection.connection)):
            raise refuse(
                f"The dry run refused this statement before it ran: {_shortened(sql)}. It writes through a database "
                "connection of its own, in a thread that the data migration started or one that it opened itself, and "
                "a dry run cannot undo that. Nothing was changed. Do not write from there when dry_run is true."
            )
        return execute(sql, params, many, context)

    if not getattr(connection, "pool", None) and connection.vendor in _READ_ONLY:
        with connection.cursor() as cursor:
            cursor.execute(_READ_ONLY[connection.vendor])
    connection.execute_wrappers.insert(0, only_read)


def _deny_transactions(action: int, *details: Any) -> int:
    # 22 is SQLITE_TRANSACTION: BEGIN, COMMIT and ROLLBACK, but no savepoint.
    return sqlite3.SQLITE_DENY if action == 22 else sqlite3.SQLITE_OK


def _is_unknown_savepoint(vendor: str, error: Error) -> bool:
    if vendor == "postgresql":
        cause = error.__cause__
        return (getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)) in _NO_SUCH_SAVEPOINT
    if vendor == "mysql":
        return error.args[:1] == (_NO_SUCH_SAVEPOINT_ON_MYSQL,)
    return isinstance(error, OperationalError)


def _shortened(sql: Any) -> str:
    text = " ".join(str(sql).split())
    return text if len(text) <= 200 else f"{text[:199]}…"
