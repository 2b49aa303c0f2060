"""How fast rows are gone through: batched migrations against loops written by hand.

``TEST_DB=postgresql python -m benchmarks.batches [--rows 200000] [--rounds 4] [--long]``

The ways go through the same table of a database of its own, each on a connection of its own. Those that only read take
turns batch by batch, so that a busy machine slows both alike. Those that write take turns run by run, with what the one
left behind tidied up before the other begins: within a run the second at a page would pay for what the first did to it.
In every other round the other one is first. What counts are the ratios, of all that each way took from its start to its
end: of the time that passed, and of the processor time of this process and, where it can be seen, of the server's. For
the set-based batches also the ratio of the batches alone, without what comes before the first and after the last one.
``--long`` does the set-based batches again over ten times the rows, and shows what the last batches cost against the
first ones, and the memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

import django
from django.db import connection, connections, transaction

TABLE = "benchmark_customer"
SECOND = "second"
LONG_ROUNDS = 4


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args(arguments)
    django.setup()
    from .bulk import fill, scratch_database, table

    with scratch_database(), table(), second_connection():
        fill(options.rows)
        print(f"{connection.vendor}, {options.rows:,} rows, {options.rounds} rounds")
        warm_up()
        report_set_based(options.rows, [set_based(n) for n in range(options.rounds)])
        report("loaded, batches of 500, nothing done", options.rows, [loaded(n) for n in range(options.rounds)])
        if options.long:
            fill(options.rows * 9)
            print(f"{connection.vendor}, {options.rows * 10:,} rows, {LONG_ROUNDS} rounds")
            warm_up()
            rounds = [set_based(n) for n in range(LONG_ROUNDS)]
            report_set_based(options.rows * 10, rounds)
            for one in rounds:
                report_evenness(one)


def warm_up() -> None:
    """A round that counts for nobody.

    Some things are imported and compiled only once. And on PostgreSQL the first one through a new table finds no room
    for new versions in its pages, and has to make more of them.
    """
    set_based(0)


@dataclass(frozen=True)
class Took:
    """Seconds that passed, and seconds of processor time."""

    passed: float
    worked: float

    def __sub__(self, other: Took) -> Took:
        return Took(self.passed - other.passed, self.worked - other.worked)


class Clock:
    """Tells both, for this process and the server processes that its connections talk to."""

    def __init__(self) -> None:
        self._servers: list[str] = []
        if connection.vendor == "postgresql":
            for alias in ("default", SECOND):
                with connections[alias].cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    path = f"/proc/{cursor.fetchone()[0]}/schedstat"
                if os.access(path, os.R_OK):
                    self._servers.append(path)

    def now(self) -> Took:
        """Both, since some moment."""
        worked = time.process_time()
        for path in self._servers:
            with open(path) as file:
                worked += int(file.read().split()[0]) / 1e9
        return Took(time.perf_counter(), worked)


@dataclass
class Round:
    """What each step took, and the peak of the process's memory after each batch, in KiB.

    Each begins with the start of the run and ends with its end; what comes in between are batches.
    """

    ours: list[Took] = field(default_factory=list)
    theirs: list[Took] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def ratio(self, kind: str) -> float:
        """Our speed in parts of theirs."""
        return total(self.theirs, kind) / total(self.ours, kind)

    @property
    def batches(self) -> Round:
        """The same without start and end."""
        return Round(self.ours[1:-1], self.theirs[1:-1], self.memory)


def total(steps: list[Took], kind: str) -> float:
    """Seconds of all steps."""
    return float(sum(getattr(step, kind) for step in steps))


@contextmanager
def second_connection() -> Iterator[None]:
    """Another connection to the same database, for what is compared with us."""
    connections.settings[SECOND] = {**connection.settings_dict, "NAME": connection.settings_dict["NAME"]}
    try:
        yield
    finally:
        connections[SECOND].close()


def set_based(number: int) -> Round:
    """One UPDATE for each batch."""
    from django.db.models import F

    took = Round()
    clock = Clock()

    def ours() -> None:
        nonlocal began
        run(10_000, lambda command, batch: batch.update(amount=F("amount") + 1), between)
        took.ours.append(clock.now() - began)

    def between() -> None:
        nonlocal began
        took.ours.append(clock.now() - began)
        took.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        began = clock.now()

    def theirs() -> None:
        nonlocal began
        for _ in by_hand_set_based():
            took.theirs.append(clock.now() - began)
            began = clock.now()
        took.theirs.append(clock.now() - began)

    for way in (theirs, ours) if number % 2 else (ours, theirs):
        tidy()
        began = clock.now()
        way()
    return took


def loaded(number: int) -> Round:
    """Load the rows and do nothing."""

    def perform(command: Any, batch: Any) -> None:
        for _ in batch:
            pass

    return alternate(number, 500, perform, plain_iterator())


def alternate(number: int, batch_size: int, perform: Callable[[Any, Any], None], other: Iterator[None]) -> Round:
    """Let a batched migration and another way take turns, batch by batch."""
    tidy()
    took = Round()
    clock = Clock()

    def step() -> bool:
        began = clock.now()
        is_over = next(other, other) is other
        took.theirs.append(clock.now() - began)
        return not is_over

    def between() -> None:
        nonlocal began
        took.ours.append(clock.now() - began)
        took.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        step()
        began = clock.now()

    if number % 2:
        step()
    began = clock.now()
    run(batch_size, perform, between)
    took.ours.append(clock.now() - began)
    while step():
        pass
    return took


def report_set_based(rows: int, rounds: list[Round]) -> None:
    """Print both ways in which set-based batches are compared."""
    report("set-based, batches of 10,000, whole runs", rows, rounds)
    report("set-based, the batches of 10,000 alone", rows, [one.batches for one in rounds])


def report(title: str, rows: int, rounds: list[Round]) -> None:
    """Print what both ways took and the ratio of their speeds."""
    print(f"  {title}:")
    for kind, name in (("passed", "time passed"), ("worked", "processor time")):
        ours = statistics.median(total(one.ours, kind) for one in rounds)
        theirs = statistics.median(total(one.theirs, kind) for one in rounds)
        ratios = [one.ratio(kind) for one in rounds]
        ratio = sum(total(one.theirs, kind) for one in rounds) / sum(total(one.ours, kind) for one in rounds)
        print(f"    {name}: batched migration {ours:.3f} s, {rows / ours:,.0f} rows/s")
        print(f"    {name}: by hand           {theirs:.3f} s, {rows / theirs:,.0f} rows/s")
        print(
            f"    {name}: ratio of speeds {ratio:.2f} (rounds: {', '.join(f'{r:.2f}' for r in ratios)})",
            flush=True,
        )


def report_evenness(one: Round) -> None:
    """Print what the last batches cost against the first ones, for both ways, and the memory."""
    fifth = (len(one.ours) - 2) // 5
    for name, took in (("batched migration", one.ours[1:-1]), ("by hand", one.theirs[1:-1])):
        for kind in ("passed", "worked"):
            seconds = [getattr(step, kind) for step in took]
            first, last = statistics.median(seconds[:fifth]), statistics.median(seconds[-fifth:])
            print(
                f"    {name}: a batch of the first fifth {first * 1000:.1f} ms, of the last {last * 1000:.1f} ms, "
                f"ratio {last / first:.2f} ({kind})"
            )
    print(
        f"    peak memory after the first batch {one.memory[1] / 1024:.0f} MiB, "
        f"after the last {one.memory[-1] / 1024:.0f} MiB",
        flush=True,
    )


def tidy() -> None:
    """Let no round pay for what the one before left behind."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"VACUUM {TABLE}")
            cursor.execute("CHECKPOINT")
        elif connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def run(batch_size: int, perform: Callable[[Any, Any], None], between: Callable[[], None]) -> None:
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

        def throttle(self) -> None:
            # Asked before each batch, when no transaction is open.
            between()

    command = Command()
    command.batch_size = batch_size
    command.accept({})
    executor.execute(command, RunRequest(force=True), [])


def by_hand_set_based() -> Iterator[None]:
    """What a careful person writes: keyset, one UPDATE, the checkpoint in the same transaction."""
    last = 0
    with connections[SECOND].cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS by_hand (id INTEGER PRIMARY KEY, last BIGINT)")
        cursor.execute("DELETE FROM by_hand")
        cursor.execute("INSERT INTO by_hand (id, last) VALUES (1, 0)")
    yield
    while True:
        with transaction.atomic(using=SECOND), connections[SECOND].cursor() as cursor:
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
        yield


def plain_iterator() -> Iterator[None]:
    """Django's own way through a table, 500 rows at a time."""
    from .models import Customer

    rows = Customer.objects.using(SECOND).order_by("pk").iterator(chunk_size=500)
    while True:
        seen = None
        for seen in islice(rows, 500):  # noqa: B007
            pass
        if seen is None:
            return
        yield


if __name__ == "__main__":
    main()
