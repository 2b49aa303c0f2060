"""Dry runs that were done before: what a run that is about to be confirmed would change, as far as somebody tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_migrations import arguments
from data_migrations.exceptions import InvalidArgument
from data_migrations.registry import RegisteredMigration

from .models import Kind, Run
from .states import Status

# So many of the newest are looked through for the one with the same parameters.
MOST_RUNS = 20


def last(migration: RegisteredMigration, database: str, values: Mapping[str, Any]) -> Run | None:
    """The newest dry run of the same code in the same database with the same parameters; None where there is none.

    Values that are hidden are the same wherever they are given: they are not kept.
    """
    if migration.command_class is None:
        return None
    command = migration.command_class()
    try:
        shown = arguments.masked(command, arguments.to_options(command, values))
    except InvalidArgument:
        return None
    wanted = {dest: value for dest, value in shown.items() if dest in values}
    done = Run.objects.of(migration.name).filter(
        database=database, kind=Kind.DRY_RUN, status=Status.SUCCEEDED, checksum=migration.checksum
    )
    done = done.defer("traceback", "sealed_arguments", "samples")
    return next((run for run in done[:MOST_RUNS] if run.arguments == wanted), None)
