"""How soon the size of a batch settles: on a real table, from 1,000 rows, and again when a row costs ten times as much.

``TEST_DB=postgresql python -m benchmarks.sizing [--target 0.5] [--batches 15]``

Each row is loaded, worked on in Python and saved. What counts is in which batch the time first comes within 20 % of
the target, and how many of those after it stay there; a busy machine makes them stray.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

import django
from django.db import connection

WITHIN = 0.2
FIRST_SIZE = 1000
# Turns of work on a row, before and after its cost changes.
CHEAP, DEAR = 60, 600


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=float, default=0.5, help="Seconds that a batch should take.")
    parser.add_argument("--batches", type=int, default=15, help="Batches of each kind.")
    parser.add_argument("--rows", type=int, default=500_000)
    options = parser.parse_args(arguments)
    django.setup()
    from .bulk import fill, scratch_database, table

    with scratch_database(), table():
        fill(options.rows)
        print(f"{connection.vendor}, target {options.target:g} s, first batch {FIRST_SIZE:,} rows")
        cheap, dear = phases(options.target, options.batches)
        tell("rows that cost little", cheap, options.target)
        tell("rows that cost ten times as much", dear, options.target)


def phases(target: float, batches: int) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Rows and seconds of each batch: first with cheap rows, then with dear ones."""
    from data_migrations import executor
    from data_migrations.exceptions import StoppedEarly
    from data_migrations.management.commands.base import BatchedCommand
    from data_migrations.work import RunRequest

    from .models import Customer

    marks: list[tuple[int, float]] = []

    class Command(BatchedCommand):
        migration_name = "benchmark_sizing_2026_01_01"
        batch_size = FIRST_SIZE
        target_batch_seconds = target

        def get_queryset(self) -> Any:
            return Customer.objects.all()

        def perform_batch(self, batch: Any) -> None:
            turns = CHEAP if len(marks) < batches else DEAR
            for customer in batch:
                digest = customer.email.encode()
                for _ in range(turns):
                    digest = hashlib.sha256(digest).digest()
                customer.notes = digest.hex()
            batch.save(["notes"])
            marks.append((len(batch), time.perf_counter()))

    command = Command()
    command.accept({})
    command.options["limit_batches"] = 2 * batches
    began = time.perf_counter()
    try:
        executor.execute(command, RunRequest(force=True), [])
    except StoppedEarly:
        pass
    ends = [began, *(at for _, at in marks)]
    took = [(rows, ends[number + 1] - ends[number]) for number, (rows, _) in enumerate(marks)]
    return took[:batches], took[batches:]


def tell(title: str, batches: list[tuple[int, float]], target: float) -> None:
    """Print when the batches came near the target, and how many stayed."""
    near = [abs(seconds - target) <= WITHIN * target for _, seconds in batches]
    settled = near.index(True) + 1 if True in near else None
    print(f"  {title}: {', '.join(f'{rows:,} in {seconds:.2f} s' for rows, seconds in batches)}")
    if settled is None:
        print("    never within 20 % of the target")
    else:
        print(
            f"    within 20 % from batch {settled} on; {sum(near[settled:])} of the {len(near) - settled} after it, too"
        )


if __name__ == "__main__":
    main()
