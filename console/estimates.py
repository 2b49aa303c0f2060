"""How much a run would have to do, and how long that takes: for the confirm page, and never in its way."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.db.utils import Error

from data_migrations import arguments, checkpoints, clock, quarantine
from data_migrations.batches import QuerysetSource
from data_migrations.models import Checkpoint
from data_migrations.registry import RegisteredMigration

from .endings import NOTHING_DONE
from .errors import LEFT_ROWS_ASIDE
from .models import Kind, Run, RunQuerySet
from .rehearsals import Parameters
from .states import Status

logger = logging.getLogger("console")

MOST_RUNS = 20
"""So many of the newest runs are looked through for one that says how long it takes."""
MOST_TIMES = 10
"""A run of fewer rows than this part of them says nothing: start and end weigh too much in it."""
SECONDS = 0.5
"""How long counting may take."""


@dataclass(frozen=True)
class Estimate:
    """What is known beforehand; None where nothing is.

    Args:
        rows: how many rows it goes through.
        is_exact: they were counted; else the database's planner guesses.
        seconds: how long it takes.
        run: the run that says so: a dry run, or one that came to its end.
        done: where it goes on after an earlier run, how many rows that did; ``rows`` are those that are left.
        done_at: when the last of these were done.
        is_of_all: ``seconds`` are those of the whole although it goes on: what is left of them nobody knows.
        is_scaled: ``run`` had another number of rows, so that its time was taken for so many as there are now.
        is_of_others: ``run`` had other parameters.
        batch_size, pause: what somebody asked for while an earlier run went on, where this one goes on after it.
    """

    rows: int | None = None
    is_exact: bool = False
    seconds: float | None = None
    run: Run | None = None
    done: int | None = None
    done_at: datetime | None = None
    is_of_all: bool = False
    is_scaled: bool = False
    is_of_others: bool = False
    batch_size: int | None = None
    pause: float | None = None


def of(
    migration: RegisteredMigration, kind: str, database: str, values: Mapping[str, Any], wanted: Parameters | None
) -> Estimate:
    """The estimate for a run; an empty one rather than an error.

    Args:
        values: its arguments, to count the rows with.
        wanted: the same to compare with those of other runs; None where they cannot be.
    """
    place = _place(migration, kind, database)
    if place is None:
        rows, is_exact = _rows(migration, database, values) if kind == Kind.RUN else (None, False)
    else:
        rows = _left(place, migration.name, database)
        is_exact = rows is not None
        if rows == 0:
            return Estimate(0, True, done=place.rows, done_at=clock.aware(place.updated_at))
    run = _told_by(migration, kind, database, goes_on=place is not None, rows=rows, wanted=wanted)
    seconds = None
    if run is not None:
        elapsed = run.elapsed.total_seconds() if run.elapsed else None
        seconds = run.estimated_seconds if run.kind == Kind.DRY_RUN and kind != Kind.DRY_RUN else elapsed
    known = (_rows_of(run) if run is not None else None) or 0
    is_scaled = seconds is not None and rows is not None and known > 0 and rows != known
    return Estimate(
        rows,
        is_exact,
        seconds * rows / known if seconds is not None and rows is not None and is_scaled else seconds,
        run,
        is_scaled=is_scaled,
        is_of_others=run is not None and wanted is not None and not wanted.are_of(run),
        batch_size=place.wanted_batch_size if place else None,
        pause=place.wanted_pause if place else None,
        done=place.rows if place else None,
        done_at=clock.aware(place.updated_at) if place else None,
        is_of_all=place is not None and seconds is not None and (rows is None or not known),
    )


def _place(migration: RegisteredMigration, kind: str, database: str) -> Checkpoint | None:
    """Where a run would go on; None where it begins at the very start."""
    if kind != Kind.RUN or not migration.in_batches:
        return None
    try:
        place = checkpoints.find(migration.name, database)
    except Error:
        return None
    return place if place is not None and place.batches else None


def _left(place: Checkpoint, name: str, database: str) -> int | None:
    """How many rows a run would try from there on, those in quarantine among them; None where nobody knows."""
    if place.exhausted:
        return len(quarantine.rows(name, database))
    return None if place.total is None else max(place.total - place.rows, 0)


def _rows_of(run: Run) -> int | None:
    """How many rows the time of a run is that of; None where that is not known."""
    if run.kind == Kind.DRY_RUN:
        return run.tried[1] if run.tried is not None else None
    # All that it went through; of those it may have counted only some as done.
    return run.own_rows if run.progress_total is None or run.rows_before else run.progress_total


def _told_by(
    migration: RegisteredMigration,
    kind: str,
    database: str,
    *,
    goes_on: bool,
    rows: int | None,
    wanted: Parameters | None,
) -> Run | None:
    """The last run that says how long such a one takes: of its kind, or a dry run that worked that out.

    One with the same parameters before others. One that has set rows aside did all the others. A dry run that was
    itself of what an earlier run had left says that of another one that goes on.
    """
    through = Q(status=Status.SUCCEEDED) | Q(status=Status.FAILED, error_class=LEFT_ROWS_ASIDE)
    done = Run.objects.of(migration.name).filter(through, database=database)
    done = done.defer("sealed_arguments", "changes", "course", "samples", "traceback")
    # Those that did the whole work in one go: the time of another one counts nights and repairs.
    same = done.filter(kind=kind, attempt=1).exclude(note__in=NOTHING_DONE).exclude(rows_before__gt=0)
    found = _best(same, migration, rows, wanted)
    if found is not None or kind != Kind.RUN:
        return found
    dry = done.filter(kind=Kind.DRY_RUN, estimated_seconds__isnull=False)
    return _best(dry if goes_on else dry.exclude(rows_before__gt=0), migration, rows, wanted)


def _best(runs: RunQuerySet, migration: RegisteredMigration, rows: int | None, wanted: Parameters | None) -> Run | None:
    """The newest with those parameters, else the newest at all, of those that had rows enough to tell of so many."""
    telling = [run for run in runs[:MOST_RUNS] if not migration.in_batches or _is_telling(_rows_of(run), rows)]
    return next((run for run in telling if wanted and wanted.are_of(run)), telling[0] if telling else None)


def _is_telling(known: int | None, rows: int | None) -> bool:
    return known is None or (known > 0 and known * MOST_TIMES >= (rows or 0))


def _rows(migration: RegisteredMigration, database: str, values: Mapping[str, Any]) -> tuple[int | None, bool]:
    if not migration.in_batches or migration.command_class is None:
        return None, False
    try:
        command = migration.command_class()
        command.using = database
        command.accept(arguments.to_options(command, values))
        with _at_most(database, SECONDS):
            source = command.make_source()  # type: ignore[attr-defined]
        return count(source.keyset.queryset, database) if isinstance(source, QuerysetSource) else (None, False)
    except Exception:
        # The author's own code, asked at another place than it was written for.
        logger.debug("The rows of %s could not be estimated.", migration.name, exc_info=True)
        return None, False


def count(queryset: QuerySet[Any], using: str, seconds: float = SECONDS) -> tuple[int | None, bool]:
    """How many rows, counted within that time, else as the planner guesses; and whether they were counted.

    Raises:
        Error: the planner could not be asked either.
    """
    rows = queryset.using(using).order_by()
    try:
        with _at_most(using, seconds):
            return rows.count(), True
    except Error:
        logger.debug("Counting was given up.", exc_info=True)
    with _at_most(using, seconds):
        return _guessed(rows, using), False


def _guessed(rows: QuerySet[Any], using: str) -> int | None:
    """What the planner makes of its statistics; SQLite keeps none that would do."""
    connection = connections[using]
    sql, params = rows.query.get_compiler(using).as_sql()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            [(plan,)] = cursor.fetchall()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            return int(plan[0]["Plan"]["Plan Rows"])
        if connection.vendor == "mysql":
            cursor.execute(f"EXPLAIN {sql}", params)
            column = [each[0] for each in cursor.description].index("rows")
            return math.prod(int(line[column] or 1) for line in cursor.fetchall())
    return None


@contextmanager
def _at_most(using: str, seconds: float) -> Iterator[None]:
    """End a statement of the block after so long; its transaction, if there is one around it, goes on."""
    connection = connections[using]
    connection.ensure_connection()
    match connection.vendor:
        case "sqlite":
            # In no transaction of its own: that would wait for a migration that holds the file.
            raw: Any = connection.connection
            ends = time.monotonic() + seconds
            # Asked every so many steps of its machine; True interrupts.
            raw.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
            try:
                yield
            finally:
                raw.set_progress_handler(None, 0)
        case "postgresql":
            with transaction.atomic(using=using), connection.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                [before] = cursor.fetchone()
                cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
                yield
                # Where an error ended the block, the savepoint's end takes it back.
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
        case "mysql":
            is_mariadb = getattr(connection, "mysql_is_mariadb", True)
            name = "max_statement_time" if is_mariadb else "max_execution_time"
            with transaction.atomic(using=using), connection.cursor() as cursor:
                cursor.execute(f"SELECT @@SESSION.{name}")
                [before] = cursor.fetchone()
                cursor.execute(f"SET @@SESSION.{name} = {seconds if is_mariadb else int(seconds * 1000)}")
                try:
                    yield
                finally:
                    cursor.execute(f"SET @@SESSION.{name} = %s", [before])
        case _:
            yield
