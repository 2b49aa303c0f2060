"""How fast loaded rows are written back: ``bulk.save`` against ``bulk_update`` and against hand-written SQL.

``TEST_DB=postgresql python -m benchmarks.bulk [--rows 50000] [--batch 1000] [--rounds 1]``

The ways take turns, batch by batch, on the same table in a database of its own, so that a busy machine slows all of
them alike; what counts are the ratios. Each batch is one transaction with its commit. Only the writing is measured:
the rows are loaded, and their fields changed, before the clock runs. ``bulk_update`` always gets batches of 1,000.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

import django
from django.db import connection, transaction

BULK_UPDATE_ROWS = 1000
SETS = {
    "one text": ["email"],
    "four fields": ["email", "amount", "price", "changed"],
}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    django.setup()
    with scratch_database(), table():
        fill(options.rows)
        print(f"{connection.vendor}, {options.rows:,} rows, batches of {options.batch:,}, {options.rounds} rounds")
        for title, fields in SETS.items():
            report(title, measure(fields, options))


@contextmanager
def scratch_database() -> Iterator[None]:
    """A database that is gone afterwards."""
    creation = connection.creation
    name = connection.settings_dict["NAME"]
    creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        creation.destroy_test_db(name, verbosity=0)


@contextmanager
def table() -> Iterator[None]:
    """The table that is written to."""
    from .models import Customer

    with connection.schema_editor() as editor:
        editor.create_model(Customer)
    yield


def fill(rows: int) -> None:
    """Put rows there, as wide as a customer is."""
    from .models import Customer

    # In parts, so that the process stays as small as what it measures.
    for start in range(0, rows, 5000):
        Customer._default_manager.bulk_create(
            Customer(email=f"User{n}@Example.com", name=f"Name {n}", notes="x" * 60)
            for n in range(start, min(start + 5000, rows))
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE benchmark_customer" if connection.vendor == "mysql" else "ANALYZE")


def measure(fields: list[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """Rows per second for each way, one number for each batch."""
    from django.utils import timezone

    from data_migrations import bulk

    from .models import Customer

    def saved(rows: list[Any]) -> None:
        assert bulk.save(rows, fields, using="default") == len(rows)

    def bulk_updated(rows: list[Any]) -> None:
        Customer._default_manager.bulk_update(rows, fields, batch_size=BULK_UPDATE_ROWS)

    by_hand = HAND_WRITTEN[connection.vendor]
    ways: dict[str, Callable[[list[Any]], None]] = {
        "save": saved,
        "hand-written": lambda rows: by_hand(rows, fields),
        "bulk_update": bulk_updated,
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    turn = 0
    for _ in range(options.rounds):
        last = 0
        while rows := list(Customer._default_manager.filter(pk__gt=last).order_by("pk")[: options.batch]):
            last = rows[-1].pk
            turn += 1
            # Another one begins each time: what comes first finds the pages cold.
            names = list(ways)[turn % 3 :] + list(ways)[: turn % 3]
            for name in names:
                word = uuid.uuid4().hex[:8]
                for row in rows:
                    row.email, row.amount = f"{row.pk}.{word}@example.com", row.amount + 1
                    row.price, row.changed = row.price + 1, timezone.now()
                settle()
                started = time.perf_counter()
                with transaction.atomic():
                    ways[name](rows)
                speeds[name].append(len(rows) / (time.perf_counter() - started))
    return speeds


def settle() -> None:
    """Let no way pay for what the one before left in SQLite's log of writes."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def report(title: str, speeds: dict[str, list[float]]) -> None:
    """Print medians, and the ratios of batches that ran next to each other."""
    print(f"\n  {title}")
    for name, values in speeds.items():
        print(f"    {name:<14}{statistics.median(values):>10,.0f} rows/s")
    for name in ("bulk_update", "hand-written"):
        ratios = [a / b for a, b in zip(speeds["save"], speeds[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"    save is {middle:.2f} × {name} (quartiles {low:.2f} to {high:.2f})")


def _unnest(rows: list[Any], fields: list[str]) -> None:
    types = {"email": "varchar", "amount": "integer", "price": "numeric", "changed": "timestamptz"}
    sets = ", ".join(f"{field} = v.{field}" for field in fields)
    arrays = ", ".join(["%s::bigint[]", *(f"%s::{types[field]}[]" for field in fields)])
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE benchmark_customer t SET {sets} FROM unnest({arrays}) AS v(id, {', '.join(fields)}) "  # noqa: S608
            "WHERE t.id = v.id",
            [[row.pk for row in rows], *([getattr(row, field) for row in rows] for field in fields)],
        )


def _execute_many(rows: list[Any], fields: list[str]) -> None:
    sets = ", ".join(f"{field} = %s" for field in fields)
    if len(fields) == 1:
        records: list[Any] = [(row.email, row.pk) for row in rows]
    else:
        # As Django stores them in SQLite.
        records = [
            (row.email, row.amount, str(row.price), str(row.changed.replace(tzinfo=None)), row.pk) for row in rows
        ]
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE benchmark_customer SET {sets} WHERE id = %s", records)  # noqa: S608


def _values(rows: list[Any], fields: list[str]) -> None:
    sets = ", ".join(f"t.{field} = v.{field}" for field in fields)
    row_of = "(" + ", ".join(["%s"] * (len(fields) + 1)) + ")"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE benchmark_customer t JOIN (WITH w(id, {', '.join(fields)}) AS "  # noqa: S608
            f"(VALUES {', '.join([row_of] * len(rows))}) SELECT * FROM w) v ON v.id = t.id SET {sets}",
            [
                value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value
                for row in rows
                for value in (row.pk, *(getattr(row, field) for field in fields))
            ],
        )


HAND_WRITTEN: dict[str, Callable[[list[Any], list[str]], None]] = {
    "postgresql": _unnest,
    "sqlite": _execute_many,
    "mysql": _values,
}

if __name__ == "__main__":
    main()
