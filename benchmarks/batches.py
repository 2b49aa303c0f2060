"""How fast rows are gone through: batched migrations against loops written by hand.

``TEST_DB=postgresql python -m benchmarks.batches [--rows 200000] [--rounds 5] [--long]``

The ways take turns on the same table in a database of its own, so that a busy machine slows all of them alike; what
counts are the ratios, of the median of each way. ``--long`` adds one run over ten times the rows: what its last
batches cost against its first ones, and how much memory it takes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

import django
from django.db import connection, transaction

TABLE = "benchmark_customer"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args(arguments)
    django.setup()
    from .bulk import fill, scratch_database, table

    with scratch_database(), table():
        fill(options.rows)
        print(f"{connection.vendor}, {options.rows:,} rows, {options.rounds} rounds")
        compare("set-based, batches of 10,000", product_set_based, by_hand_set_based, options)
        compare("loaded, batches of 500, nothing done", product_empty, plain_iterator, options)
        if options.long:
            fill(options.rows * 9)
            long_run(options.rows * 10)


def compare(title: str, ours: Callable[[], None], other: Callable[[], None], options: argparse.Namespace) -> None:
    """Let two ways take turns and print what they took and their ratio."""
    times: dict[Callable[[], None], list[float]] = {ours: [], other: []}
    for warm_up in (ours, other):
        warm_up()
    for number in range(options.rounds):
        for way in (ours, other) if number % 2 else (other, ours):
            tidy()
            began = time.perf_counter()
            way()
            times[way].append(time.perf_counter() - began)
    mine, theirs = statistics.median(times[ours]), statistics.median(times[other])
    print(f"  {title}:")
    print(f"    batched migration  {mine:7.3f} s  {options.rows / mine:12,.0f} rows/s")
    print(f"    by hand            {theirs:7.3f} s  {options.rows / theirs:12,.0f} rows/s")
    print(f"    ratio of speeds    {theirs / mine:7.2f}  (rounds: {ratios(times[other], times[ours])})")


def ratios(above: list[float], below: list[float]) -> str:
    """The ratio of each round, for a reader who wants to see the noise."""
    return ", ".join(f"{a / b:.2f}" for a, b in zip(above, below, strict=True))


def tidy() -> None:
    """Let no way pay for what the other left behind."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"VACUUM {TABLE}")
            cursor.execute("CHECKPOINT")
        elif connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def run(batch_size: int, perform: Callable[[Any, Any], None], after_batch: Callable[[], None] | None = None) -> None:
    """One run of a batched migration as a shell would make it, without its output."""
    from data_migrations import executor
    from data_migrations.management.commands.base import BatchedCommand
    from data_migrations.work import RunRequest

    from .models import Customer

    class Command(BatchedCommand):
        migration_name = "benchmark_2026_01_01"

        def get_queryset(self) -> Any:
            return Customer.objects.all()

        def perform_batch(self, batch: Any) -> None:
            perform(self, batch)
            if after_batch is not None:
                after_batch()

    command = Command()
    command.batch_size = batch_size
    command.accept({})
    executor.execute(command, RunRequest(force=True), [])


def product_set_based() -> None:
    """One UPDATE for each batch."""
    from django.db.models import F

    run(10_000, lambda command, batch: batch.queryset.update(amount=F("amount") + 1))


def product_empty() -> None:
    """Load the rows and do nothing."""

    def perform(command: Any, batch: Any) -> None:
        for _ in batch:
            pass

    run(500, perform)


def by_hand_set_based() -> None:
    """What a careful person writes: keyset, one UPDATE, the checkpoint in the same transaction."""
    last = 0
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS by_hand (id INTEGER PRIMARY KEY, last BIGINT)")
        cursor.execute("DELETE FROM by_hand")
        cursor.execute("INSERT INTO by_hand (id, last) VALUES (1, 0)")
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"SELECT MAX(id) FROM (SELECT id FROM {TABLE} WHERE id > %s ORDER BY id LIMIT 10000) AS page",  # noqa: S608
                [last],
            )
            end = cursor.fetchone()[0]
            if end is None:
                return
            cursor.execute(
                f"UPDATE {TABLE} SET amount = amount + 1 WHERE id > %s AND id <= %s",  # noqa: S608
                [last, end],
            )
            cursor.execute("UPDATE by_hand SET last = %s WHERE id = 1", [end])
            last = end


def plain_iterator() -> None:
    """Django's own way through a table."""
    from .models import Customer

    for _ in Customer.objects.order_by("pk").iterator(chunk_size=500):
        pass


def long_run(rows: int) -> None:
    """Whether the last batches cost what the first ones did, and whether memory stays flat."""
    from django.db.models import F

    ends: list[float] = []
    memory: list[int] = []

    def note() -> None:
        ends.append(time.perf_counter())
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    tidy()
    run(10_000, lambda command, batch: batch.queryset.update(amount=F("amount") + 1), note)
    took = [after - before for before, after in pairwise(ends)]
    fifth = max(len(took) // 5, 1)
    first, last = statistics.median(took[:fifth]), statistics.median(took[-fifth:])
    print(f"  {rows:,} rows in batches of 10,000:")
    print(f"    a batch of the first fifth {first * 1000:.1f} ms, of the last fifth {last * 1000:.1f} ms")
    print(f"    last against first {last / first:.2f}")
    print(
        f"    peak memory after the first batch {memory[0] / 1024:.0f} MiB, after the last {memory[-1] / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
