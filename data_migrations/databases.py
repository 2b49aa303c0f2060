"""The few things that the databases do each in their own way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.utils import Error, InterfaceError, OperationalError

from . import clock
from .exceptions import DatabaseUnavailable, InvalidArgument, Misconfigured

logger = logging.getLogger("data_migrations")

# Deadlock and serialization failure (PostgreSQL), then lock wait timeout and deadlock (MariaDB, MySQL).
_TRANSIENT_STATES = {"40001", "40P01", "55P03"}
_TRANSIENT_CODES = {1205, 1213}

# In a statement without parameters a percent sign is one; in one with parameters it is written twice.
_CLOCKS = {
    "postgresql": "SELECT STATEMENT_TIMESTAMP() AT TIME ZONE 'UTC'",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "sqlite": "SELECT STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')",
}
CLOCK_EXPRESSIONS = {
    "postgresql": "STATEMENT_TIMESTAMP()",
    "mysql": "UTC_TIMESTAMP(6)",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')",
}
"""The database's clock within a statement that has parameters, by vendor."""


def require(using: str) -> BaseDatabaseWrapper:
    """The connection of an alias, proven to answer and to be usable for a run.

    Raises:
        InvalidArgument: no such alias.
        DatabaseUnavailable: it does not answer.
        Misconfigured: it runs with ``AUTOCOMMIT: False``.
    """
    if using not in connections:
        known = ", ".join(sorted(connections))
        raise InvalidArgument(f"There is no database alias {using!r} in DATABASES; there is {known}. Nothing was run.")
    connection = connections[using]
    if not connection.settings_dict.get("AUTOCOMMIT", True):
        raise Misconfigured(
            f"The database {using!r} is set up with AUTOCOMMIT: False, so the moment of a commit cannot be known. "
            "Nothing was run. Remove that setting."
        )
    try:
        connection.ensure_connection()
        if not connection.in_atomic_block and not connection.is_usable():
            connection.close()
            connection.ensure_connection()
    except (Error, ImproperlyConfigured) as error:
        raise DatabaseUnavailable(
            f"The database {using!r} does not answer: {str(error).strip()}. Nothing was run and nothing was lost. "
            "Start it, or check its entry in DATABASES, then run again."
        ) from error
    return connection


def now(using: str) -> datetime:
    """The time by the database's own clock, as models store it, so that hosts whose clocks differ agree."""
    connection = connections[using]
    sql = _CLOCKS.get(connection.vendor)
    if sql is None:
        raise Misconfigured(f"{connection.vendor} is not among the databases that data_migrations supports.")
    with connection.cursor() as cursor:
        cursor.execute(sql)
        value = cursor.fetchone()[0]
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return clock.stored(value if value.tzinfo else value.replace(tzinfo=UTC))


def lock(model: type[Model], using: str, **lookup: Any) -> Any | None:
    """Lock one row in the current transaction without waiting long, and return it; None when somebody else has it.

    SQLite has no row locks; a write that changes nothing takes its one write lock instead.
    """
    connection = connections[using]
    rows = model._default_manager.using(using).filter(**lookup)
    if connection.vendor == "sqlite":
        field = next(iter(lookup))
        # A transaction that began as IMMEDIATE has the lock already.
        if (getattr(connection, "transaction_mode", None) or "").upper() not in ("IMMEDIATE", "EXCLUSIVE"):
            rows.update(**{field: lookup[field]})
        return rows.first()
    if connection.features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True).first()
    return rows.select_for_update().first()


@contextmanager
def short_lock_waits(using: str) -> Iterator[None]:
    """Within the block a statement that needs a lock gives up soon instead of waiting for its holder."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            cursor.execute("PRAGMA busy_timeout = 50")
        elif connection.vendor == "postgresql":
            cursor.execute("SELECT current_setting('lock_timeout')")
            before = cursor.fetchone()[0]
            cursor.execute("SET lock_timeout = '500ms'")
        else:
            cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
            before = cursor.fetchone()[0]
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    try:
        yield
    finally:
        # After a failed statement PostgreSQL's transaction takes no more; its rollback undoes the SET as well.
        if connection.connection is not None and not (connection.in_atomic_block and connection.needs_rollback):
            with connection.cursor() as cursor:
                if connection.vendor == "sqlite":
                    cursor.execute(f"PRAGMA busy_timeout = {int(before)}")
                elif connection.vendor == "postgresql":
                    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])
                else:
                    cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [before])


def is_lock_missed(error: BaseException) -> bool:
    """Whether PostgreSQL gave up waiting for a lock, after which the transaction goes on from its savepoint."""
    return getattr(error.__cause__, "sqlstate", None) == "55P03"


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may well succeed on another try: a deadlock, a lock that was not to be had."""
    if not isinstance(error, OperationalError):
        return False
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in _TRANSIENT_STATES:
        return True
    if error.args and error.args[0] in _TRANSIENT_CODES:
        return True
    return "database is locked" in str(error) or "database table is locked" in str(error)


_LOST_STATES = {"57P01", "57P02", "57P03"}
_LOST_CODES = {0, 1053, 2002, 2003, 2006, 2013, 2055}


def is_connection_lost(error: BaseException) -> bool:
    """Whether the error is that of a connection that broke, or that could not be made."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    cause: Any = error.__cause__
    if hasattr(cause, "sqlstate"):
        # Without a state it never came to a conversation with the server.
        state = cause.sqlstate
        return state is None or state in _LOST_STATES or state.startswith("08")
    return bool(error.args) and error.args[0] in _LOST_CODES


def is_retriable(error: BaseException) -> bool:
    """Whether the same work may succeed on another try, on a new connection if need be."""
    return is_transient(error) or is_connection_lost(error)


def reconnect(using: str) -> bool:
    """Make sure of a connection that works. False when there is none to be had, or a transaction is open on it."""
    connection = connections[using]
    if connection.in_atomic_block:
        return False
    try:
        if connection.connection is None or not connection.is_usable():
            connection.close()
        connection.ensure_connection()
    except Error:
        return False
    return True


def session(using: str) -> str:
    """A name for this database session that no other will ever have; empty where there is none to be had."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid || '/' || extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        row = cursor.fetchone()
    return row[0] if row else ""


def is_session_gone(using: str, name: str) -> bool:
    """True only when it is certain that the session of that name has ended, and its transaction with it."""
    connection = connections[using]
    if connection.vendor != "postgresql" or not name:
        return False
    pid, _, since = name.partition("/")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = %s", [int(pid)]
        )
        row = cursor.fetchone()
    # The start is hidden from roles that may not see it: then nothing is certain.
    return row is None or (row[0] is not None and row[0] != since)


def interrupter(using: str) -> Callable[[], None]:
    """A function that ends what this thread's connection is executing, to be called from another thread."""
    wrapper = connections[using]

    def interrupt() -> None:
        raw = wrapper.connection
        if raw is None:
            return
        try:
            if wrapper.vendor == "sqlite":
                raw.interrupt()
            elif wrapper.vendor == "postgresql":
                raw.cancel()
            else:
                with connections[using].cursor() as cursor:
                    cursor.execute(f"KILL QUERY {int(raw.thread_id())}")
        except Exception:
            # It has ended by itself, or is past talking to: whoever forces does so again.
            logger.debug("A statement on %s could not be interrupted.", using, exc_info=True)

    return interrupt


def waits_for_us(using: str, name: str) -> bool:
    """Whether the session of that name waits for a lock of this one, so that waiting for it would never end."""
    if connections[using].vendor != "postgresql" or not name:
        return False
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid() = ANY(pg_blocking_pids(%s))", [int(name.partition("/")[0])])
        return bool(cursor.fetchone()[0])


def end_session(using: str, name: str) -> bool:
    """End the session of that name, so that its transaction blocks nobody. True when it was ended."""
    connection = connections[using]
    if connection.vendor != "postgresql" or not name:
        return False
    pid, _, since = name.partition("/")
    try:
        with transaction.atomic(using=using), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid = %s AND extract(epoch FROM backend_start)::text = %s",
                [int(pid), since],
            )
            return bool(cursor.fetchone())
    except Error:
        # Another role's session: its locks stay until it wakes, and its commit is fenced all the same.
        return False
