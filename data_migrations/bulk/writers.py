"""The statement that carries a batch's values, for each database the fastest one that is also correct.

Rows travel as one JSON array of arrays: one parameter, whatever the number of rows and columns. Measured against
arrays with ``unnest``, ``VALUES``, ``UNION ALL``, a temporary table and an upsert it was the fastest on PostgreSQL and
on MariaDB; on SQLite ``executemany`` is. An upsert would bring back rows that were deleted meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model, QuerySet

from ..exceptions import InvalidArgument
from .columns import has_own_placeholder, read
from .texts import Part, as_texts

ROWS = 10_000
"""The most rows that one statement carries."""
BYTES = 32 * 2**20
"""The most bytes of values that one statement carries, unless a single row has more."""
# No server is set up to take less.
_SURELY_TAKEN = 2**19
_ALIAS = "data_migrations_rows"


@dataclass(frozen=True)
class Table:
    """A model's own table: the fields of its primary key, and the fields to write."""

    model: type[Model]
    keys: list[Field[Any, Any]]
    fields: list[Field[Any, Any]]


@dataclass(frozen=True)
class Batch:
    """What is to be written to one table.

    Args:
        parts: the columns as the statement carries them, those of the primary key last.
        alone: rows that no bulk statement can carry, by position: their keys and their values, for the ORM.
    """

    table: Table
    parts: list[Part]
    alone: dict[int, tuple[dict[str, Any], dict[str, Any]]]

    def records(self) -> list[tuple[Any, ...]]:
        """The rows that one statement carries."""
        records = list(zip(*(part.values for part in self.parts), strict=True))
        if not self.alone:
            return records
        return [record for position, record in enumerate(records) if position not in self.alone]


def prepare(table: Table, rows: list[Any], connection: BaseDatabaseWrapper) -> Batch:
    """Take from the rows what one table needs; nothing is written yet."""
    keys = [read(field, rows, connection) for field in table.keys]
    if any(None in column.values for column in keys):
        raise InvalidArgument("A row has no primary key, so it cannot be found again. Nothing was written.")
    columns = [read(field, rows, connection) for field in table.fields]
    as_they_are = _writer(connection) is _execute_many
    odd: set[int] = set()
    parts = []
    for column in (*columns, *keys):
        part = Part(column.field, column.values) if as_they_are else as_texts(column, connection)
        parts.append(part)
        odd |= column.odd | part.unwritable
        if has_own_placeholder(column.field):
            odd.update(range(len(rows)))
    alone = {
        position: (
            {column.field.attname: column.assigned[position] for column in keys},
            {column.field.name: column.assigned[position] for column in columns},
        )
        for position in sorted(odd)
    }
    return Batch(table, parts, alone)


def write(batch: Batch, connection: BaseDatabaseWrapper) -> int:
    """Update the rows of one table; gives how many of them existed."""
    # Not the model's manager, which may leave rows out.
    everything: QuerySet[Any] = QuerySet(batch.table.model, using=connection.alias)
    done = sum(everything.filter(**key).update(**values) for key, values in batch.alone.values())
    records = batch.records()
    return done + (_writer(connection)(batch, records, connection) if records else 0)


_Quote = Callable[[Any], str]
_Writer = Callable[[Batch, list[tuple[Any, ...]], BaseDatabaseWrapper], int]


def _writer(connection: BaseDatabaseWrapper) -> _Writer:
    if connection.vendor == "postgresql":
        return _from_json
    if connection.vendor == "mysql":
        # JSON_TABLE came with these.
        least = (10, 6) if connection.mysql_is_mariadb else (8, 0, 4)  # type: ignore[attr-defined]
        if connection.mysql_version >= least:  # type: ignore[attr-defined]
            return _from_json_table
    return _execute_many


def _execute_many(batch: Batch, records: list[Any], connection: BaseDatabaseWrapper) -> int:
    table = batch.table
    quote: _Quote = connection.ops.quote_name
    sql = (
        f"UPDATE {quote(table.model._meta.db_table)} "  # noqa: S608
        f"SET {', '.join(f'{quote(field.column)} = %s' for field in table.fields)} "
        f"WHERE {' AND '.join(f'{quote(field.column)} = %s' for field in table.keys)}"
    )
    with connection.cursor() as cursor:
        cursor.executemany(sql, records)
        return int(cursor.rowcount)


def _from_json(batch: Batch, records: list[Any], connection: BaseDatabaseWrapper) -> int:
    table, parts = batch.table, batch.parts
    quote: _Quote = connection.ops.quote_name
    name = quote(table.model._meta.db_table)
    with connection.cursor() as cursor:
        # The columns' types as they are, not as the model says: the model may be a historical one, or unmanaged.
        # Without their modifiers, because a cast to varchar(5) cuts silently, and the assignment does not.
        cursor.execute(
            "SELECT attname, format_type(atttypid, -1) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [name],
        )
        types = dict(cursor.fetchall())

        def value(position: int) -> str:
            return f"({_ALIAS}.value ->> {position})::{types.get(str(parts[position].field.column), 'text')}"

        sql = (
            f"UPDATE {name} SET {_assignments(table, quote, value)} "  # noqa: S608
            f"FROM json_array_elements(%s::json) AS {_ALIAS}(value) WHERE {_same_keys(table, name, quote, value)}"
        )
        return _execute_in_parts(cursor, sql, records, lambda: BYTES)


def _from_json_table(batch: Batch, records: list[Any], connection: BaseDatabaseWrapper) -> int:
    table, parts = batch.table, batch.parts
    quote: _Quote = connection.ops.quote_name
    name = quote(table.model._meta.db_table)
    fields = len(table.fields)

    def value(position: int) -> str:
        column = f"{_ALIAS}.c{position}"
        return f"UNHEX({column})" if parts[position].hexadecimal else column

    with connection.cursor() as cursor:
        columns = [f"c{n} LONGTEXT CHARACTER SET utf8mb4 PATH '$[{n}]'" for n in range(fields)]
        columns += _key_columns(table, parts[fields:], connection, cursor)
        # A join from the right: the rows that came are looked up in the table, never the other way round, whatever the
        # optimizer believes of the table's size.
        sql = (
            f"UPDATE {name} RIGHT JOIN JSON_TABLE(%s, '$[*]' "  # noqa: S608
            f"COLUMNS({', '.join(columns)})) {_ALIAS} "
            f"ON {_same_keys(table, name, quote, value)} "
            f"SET {_assignments(table, lambda column: f'{name}.{quote(column)}', value)}"
        )
        return _execute_in_parts(cursor, sql, records, lambda: _room(cursor))


def _key_columns(table: Table, parts: list[Part], connection: BaseDatabaseWrapper, cursor: Any) -> list[str]:
    """The declarations of the primary key's columns, typed so that the table's index is used."""
    collations: dict[str, str] = {}
    if any(part.is_text for part in parts):
        cursor.execute(
            "SELECT column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name = %s AND collation_name IS NOT NULL",
            [table.model._meta.db_table],
        )
        collations = dict(cursor.fetchall())
    columns = []
    for position, part in enumerate(parts, start=len(table.fields)):
        if part.is_text:
            collation = collations.get(str(part.field.column))
            kind = f"VARCHAR({max(1, *map(len, map(str, part.values)))}) CHARACTER SET "
            kind += f"{collation.partition('_')[0]} COLLATE {collation}" if collation else "utf8mb4"
        else:
            db_type = part.field.rel_db_type(connection) or ""
            kind = "BIGINT UNSIGNED" if "unsigned" in db_type.lower() else "BIGINT"
        columns.append(f"c{position} {kind} PATH '$[{position}]'")
    return columns


def _room(cursor: Any) -> int:
    """How many bytes a statement's values may have: the server takes no longer packets than it says."""
    cursor.execute("SELECT @@max_allowed_packet")
    # Quotes and backslashes are doubled on the way.
    return min(BYTES, max(_SURELY_TAKEN, cursor.fetchone()[0] // 2 - 2**16))


def _execute_in_parts(cursor: Any, sql: str, records: list[Any], room: Callable[[], int]) -> int:
    done = 0
    for text in _packets(records, room):
        cursor.execute(sql, [text])
        done += cursor.rowcount
    return done


def _packets(records: list[Any], room: Callable[[], int]) -> Iterator[str]:
    """The records as JSON texts of at most so many rows and bytes each."""
    for start in range(0, len(records), ROWS):
        yield from _halves(records[start : start + ROWS], room)


def _halves(records: list[Any], room: Callable[[], int]) -> Iterator[str]:
    text = json.dumps(records, ensure_ascii=False, separators=(",", ":"), check_circular=False)
    if len(records) == 1 or len(text) * 4 <= _SURELY_TAKEN or len(text.encode(errors="replace")) <= room():
        yield text
        return
    del text
    middle = len(records) // 2
    yield from _halves(records[:middle], room)
    yield from _halves(records[middle:], room)


def _assignments(table: Table, quote: _Quote, value: Callable[[int], str]) -> str:
    return ", ".join(f"{quote(field.column)} = {value(n)}" for n, field in enumerate(table.fields))


def _same_keys(table: Table, name: str, quote: _Quote, value: Callable[[int], str]) -> str:
    keys = enumerate(table.keys, start=len(table.fields))
    return " AND ".join(f"{name}.{quote(field.column)} = {value(n)}" for n, field in keys)
