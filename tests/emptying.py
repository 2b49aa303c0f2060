"""Empty the test databases after a test that committed, many times faster than Django's ``flush``.

``flush`` truncates every table, which on PostgreSQL makes a new file of each, and then makes all content types and
permissions anew. Here rows are deleted, and those two tables are left as they are unless a test has changed them.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

# What ``migrate`` fills, in the order in which rows may be put in.
KEPT = ("django_content_type", "auth_permission")
# Dead rows of a table so large would slow down whoever reads it next.
LARGE_BYTES = 1024 * 1024

_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
_rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}


def remember() -> None:
    """Keep what the fresh test databases hold."""
    for using in connections:
        present = set(connections[using].introspection.table_names())
        for table in KEPT:
            if table in present:
                _rows[using, table] = _read(connections[using], table)


def teardown(test: TransactionTestCase) -> None:
    """In the place of ``TransactionTestCase._fixture_teardown``."""
    if test.available_apps is not None or test.serialized_rollback:
        _flush(test)
        return
    for using in test._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        empty(using)


def empty(using: str) -> None:
    """Delete every row of every model, and have content types and permissions as they were at first."""
    connection = connections[using]
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    with transaction.atomic(using):
        changed = [
            table for (alias, table), rows in _rows.items() if alias == using and _read(connection, table) != rows
        ]
        _delete(connection, sorted(tables - {table for alias, table in _rows if alias == using} | set(changed)))
        for table in changed:
            _write(connection, table, _rows[using, table])
    if changed:
        ContentType.objects.clear_cache()


def wait_until_alone(seconds: float = 20) -> None:
    """Wait for PostgreSQL's sessions of processes that a test killed: no database is dropped while one is in it.

    One that stays, as of a connection that somebody forgot to close, makes the dropping fail.
    """
    deadline = time.monotonic() + seconds
    for using in connections:
        connection = connections[using]
        while connection.vendor == "postgresql" and time.monotonic() < deadline:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if cursor.fetchone() is None:
                    break
            time.sleep(0.1)


def _read(connection: BaseDatabaseWrapper, table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY id")  # noqa: S608
        return [tuple(row) for row in cursor.fetchall()]


def _write(connection: BaseDatabaseWrapper, table: str, rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join(["%s"] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {connection.ops.quote_name(table)} VALUES ({marks})", rows)  # noqa: S608


def _delete(connection: BaseDatabaseWrapper, tables: list[str]) -> None:
    names = [connection.ops.quote_name(table) for table in tables]
    statements = [f"DELETE FROM {name}" for name in names]  # noqa: S608
    if connection.vendor == "postgresql":
        each = "\n".join(
            f"IF pg_relation_size('{name}') > {LARGE_BYTES} THEN TRUNCATE {name} CASCADE; ELSE {statement}; END IF;"
            for name, statement in zip(names, statements, strict=True)
        )
        # As TRUNCATE does, it waits for whoever is still at work there. As a replica it fires no trigger: some forbid
        # to delete, and the order of the tables would matter to others.
        statements = [
            f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE",
            "SET LOCAL session_replication_role = replica",
            f"DO $$ BEGIN {each} END $$",
        ]
    if connection.vendor == "mysql":
        statements = ["SET FOREIGN_KEY_CHECKS = 0", *statements, "SET FOREIGN_KEY_CHECKS = 1"]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
