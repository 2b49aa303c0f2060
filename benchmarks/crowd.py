"""A console with a long past, made by the database itself: many data migrations, runs and log lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connections, models

APP = "benchmark_crowd"
LINES = 500
# One run has a million lines, one ten times as many; the rest is spread over runs of one chunk each.
LONG, LONGEST = 2_000, 20_000
COMMAND = '''"""Made for a measurement."""

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Backfill number {number} of the shop"
    migration_name = "{name}"

    def perform_migration(self, dry_run=False):
        return 0
'''


def name(number: int) -> str:
    """The name of a generated data migration."""
    return f"crowd_{number:06d}_v1_2026_01_01"


def write_app(folder: Path, count: int) -> None:
    """An app with so many data migrations, as files that Python imports."""
    commands = folder / APP / "management" / "commands"
    commands.mkdir(parents=True, exist_ok=True)
    for package in (folder / APP, commands.parent, commands):
        (package / "__init__.py").touch()
    for number in range(1, count + 1):
        (commands / f"crowd_{number:06d}.py").write_text(COMMAND.format(number=number, name=name(number)))


def fill(using: str, ledger: str, *, migrations: int, runs: int, chunks: int) -> None:
    """Rows for the ledger (as many records, the last twentieth of them not in the code), runs and chunks."""
    from console.models import Run
    from data_migrations.models import AppliedMigration

    now = datetime.now(UTC)
    with series(ledger, migrations - migrations // 20) as numbers:
        shift = migrations // 20
        insert(AppliedMigration, ledger, numbers, id="n", name=_name(ledger, f"n + {shift}"), by="'ana'",
               door="'worker'", duration="1.5", applied_at=_value(now), result="'12 rows'")  # fmt: skip
    start = now - timedelta(days=5 * 365)
    with series(using, runs) as numbers:
        insert(
            Run, using, numbers,
            id="n", key=_padded(using, "n", 32), migration=_name(using, f"1 + (n * 7919) % {migrations}"),
            # The newest twenty are under way or wait; before them one in twenty failed.
            status=(
                f"CASE WHEN n > {runs - 10} THEN 'running' WHEN n > {runs - 20} THEN 'enqueued' "
                "WHEN n % 20 = 0 THEN 'failed' WHEN n % 97 = 0 THEN 'cancelled' ELSE 'succeeded' END"
            ),
            kind="CASE WHEN n % 1000 = 0 THEN 'mark' WHEN n % 5 = 0 THEN 'dry_run' ELSE 'run' END",
            door="CASE WHEN n % 1000 = 0 THEN 'marked' WHEN n % 11 = 0 THEN 'shell' ELSE 'worker' END",
            requested_by=_concatenated(using, "'person-'", "n % 500"), host=_concatenated(using, "'pod-'", "n % 3000"),
            requested_at=_time(using, start, f"n * {5 * 365 * 86400 // runs}"),
            started_at=_time(using, start, f"n * {5 * 365 * 86400 // runs} + 2"),
            finished_at=_time(using, start, f"n * {5 * 365 * 86400 // runs} + 62"),
            reason=_concatenated(using, "'Ticket OPS-'", "n"),
            error_message="CASE WHEN n % 20 = 0 THEN 'duplicate key value violates unique constraint' ELSE '' END",
            result="'1204 rows changed'", attempt="1",
            log_next=f"CASE WHEN n = 1 THEN {LONGEST * LINES + 1} WHEN n = 2 THEN {LONG * LINES + 1} ELSE 1 END",
        )  # fmt: skip
    _chunks(using, chunks)


def analyze() -> None:
    """Let the databases count, as they do by themselves in a real one after a while."""
    for connection in connections.all():
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _chunks(using: str, chunks: int) -> None:
    from console.models import LogChunk, Run

    short = max(0, chunks - LONG - LONGEST)
    text = "\n".join(["moved the row to its place"] * LINES)
    values = {
        "count": str(LINES),
        "bytes": str(len(text)),
        "at": _value(datetime.now(UTC)),
        "meta": _value(json.dumps([[0, "o"]] * LINES)),
    }
    # The first line has the number of the chunk, so that there is something rare to look for.
    numbered = _concatenated(using, "'chunk '", "n", _value("\n" + text.partition("\n")[2]))
    for run, count, shift in ((1, LONGEST, 0), (2, LONG, LONGEST)):
        with series(using, count) as numbers:
            first = f"(n - 1) * {LINES} + 1"
            insert(LogChunk, using, numbers, id=f"n + {shift}", run=str(run), first=first, text=numbered, **values)
    with series(using, short) as numbers:
        shift = LONG + LONGEST
        insert(LogChunk, using, numbers, id=f"n + {shift}", run="n + 2", first="1", text=numbered, **values)
    Run.objects.using(using).filter(pk__gt=2, pk__lte=short + 2).update(log_next=LINES + 1)


@contextmanager
def series(using: str, count: int) -> Iterator[str]:
    """The numbers from 1 to ``count`` as a table ``numbers (n)``, for a FROM."""
    if connections[using].vendor == "postgresql":
        yield f"generate_series(CAST(1 AS bigint), {count}) AS numbers (n)"
    else:
        rows = f"SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}"  # noqa: S608
        yield f"(WITH RECURSIVE numbers AS ({rows}) SELECT n FROM numbers) AS numbers"  # noqa: S608


def insert(model: type[models.Model], using: str, numbers: str, **expressions: str) -> None:
    """One row for each number; what no expression says takes the field's default."""
    connection = connections[using]
    quote = connection.ops.quote_name
    columns, values = [], []
    for field in model._meta.concrete_fields:
        columns.append(quote(field.column))
        given = expressions.pop(field.name, None)
        values.append(given if given is not None else _default(field, using))
    assert not expressions, expressions
    table = quote(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {numbers}")  # noqa: S608


def _default(field: Any, using: str) -> str:
    value = field.get_db_prep_save(field.get_default(), connections[using])
    # psycopg's wrapper of JSON.
    value = json.dumps(value.obj) if hasattr(value, "obj") else value
    return _value(value)


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, datetime):
        value = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return "'" + str(value).replace("'", "''") + "'"


def _concatenated(using: str, *parts: str) -> str:
    return " || ".join(f"({part})" if part.startswith("'") else f"CAST(({part}) AS text)" for part in parts)


def _padded(using: str, expression: str, width: int) -> str:
    if connections[using].vendor == "postgresql":
        return f"lpad(CAST(({expression}) AS text), {width}, '0')"
    return f"printf('%0{width}d', {expression})"


def _name(using: str, number: str) -> str:
    return _concatenated(using, "'crowd_'") + " || " + _padded(using, number, 6) + " || '_v1_2026_01_01'"


def _time(using: str, start: datetime, seconds: str) -> str:
    if connections[using].vendor == "postgresql":
        return f"CAST({_value(start)} AS timestamp) AT TIME ZONE 'UTC' + ({seconds}) * interval '1 second'"
    return f"strftime('%Y-%m-%d %H:%M:%S', {int(start.timestamp())} + {seconds}, 'unixepoch')"
