"""The data migrations of one database as the pages show them: their state, their last run, their active run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router
from django.db.models import Max, QuerySet, Subquery

from data_migrations import clock, ledger, registry, status
from data_migrations.exceptions import DataMigrationError
from data_migrations.models import AppliedMigration
from data_migrations.registry import RegisteredMigration
from data_migrations.reporting import Door

from . import absence, errors, standing
from .absence import Absence
from .endings import NOTHING_DONE
from .models import Kind, Run
from .states import ACTIVE, PLANNED, Status

# The order of the filters, and of the states that deserve a look before the others.
STATES = (
    "pending",
    "running",
    "interrupted",
    "paused",
    "quarantined",
    "through",
    "changed",
    "broken",
    "unregistered",
    "applied",
)
# What a run of one may be waiting for, beside its state.
PLANS = tuple(str(status) for status in PLANNED)
# That its last run failed, whatever its state.
FAILED = "last_failed"


@dataclass(frozen=True)
class Row:
    """One data migration in one database."""

    name: str
    state: str
    registered: RegisteredMigration | None
    record: AppliedMigration | None
    changed: bool = False
    note: str = ""
    holder: Any = None
    last_run: Run | None = None
    active_run: Run | None = None
    planned_run: Run | None = None
    """The one that waits for approval, or for its time."""
    failed_run: Run | None = None
    """The last one, where it failed and nothing was done since."""
    cancelled_run: Run | None = None
    """The last one, where it had begun and was cancelled, and nothing was done since."""
    held_run: Run | None = None
    """The one that was paused or interrupted, and can be taken up again."""
    missing: tuple[str, ...] = ()
    """What it depends on and is not applied."""
    absence: Absence | None = None
    """Why this process may not know it; None where it does, or where it never was a command."""
    set_aside: int = 0
    """Rows in quarantine that nobody accepted, of a run that has not come to its end."""
    is_through: bool = False
    """Whether all batches of such a run are done."""
    applying_run: Run | None = None
    """The run that left the record, where the last one found nothing to do."""
    usual: str = ""
    """How the last run's duration compares with what is usual, in words."""

    @property
    def app(self) -> str:
        """The label of its app; empty for what is not in the code."""
        return self.registered.app_label if self.registered else ""

    @property
    def description(self) -> str:
        """The command's help text."""
        return self.registered.description if self.registered else ""

    @property
    def look(self) -> str:
        """The state to show: one that changed since it was applied says so, and one that a person stopped, too."""
        if self.state == "interrupted" and self.held_run and self.held_run.status == Status.PAUSED:
            return "paused"
        if self.state == "interrupted" and self.is_through:
            return "through"
        return "changed" if self.state == "applied" and self.changed else self.state

    @property
    def is_settled(self) -> bool:
        """Whether its record, or that it has none, says all there is to say of its state."""
        return self.state in ("applied", "pending", "unregistered")

    @property
    def failure(self) -> str:
        """What went wrong in the failed run, in one sentence."""
        return errors.told(self.failed_run).heading if self.failed_run else ""

    @property
    def took(self) -> timedelta | float | None:
        """How long the last run worked, or where that found nothing to do the one that did it; None where unknown."""
        run = self.applying_run if _did_nothing(self.last_run) else self.last_run
        if run is not None and run.elapsed is not None:
            return run.elapsed
        return self.record.duration if self.record is not None else None

    @property
    def plan(self) -> str:
        """Whether a run of it waits for approval ("waiting") or for its time ("scheduled"); empty when none does."""
        return str(self.planned_run.status) if self.planned_run else ""

    @property
    def marks(self) -> tuple[str, ...]:
        """All that the filters know of it: its state, what it waits for, whether its last run failed."""
        return tuple(mark for mark in (self.look, self.plan, FAILED if self.failed_run else "") if mark)

    @property
    def applied(self) -> bool:
        """Whether there is a record."""
        return self.record is not None


@dataclass(frozen=True)
class Catalogue:
    """All rows of a database, or the reason why there are none."""

    database: str
    rows: list[Row] = field(default_factory=list)
    error: str = ""

    def get(self, name: str) -> Row | None:
        """The row of that name."""
        return next((row for row in self.rows if row.name == name), None)

    def apps(self) -> list[str]:
        """The apps that have data migrations."""
        return sorted({row.app for row in self.rows if row.app})

    def matching(self, *, text: str = "", app: str = "") -> list[Row]:
        """The rows that have every word of the text in name, command, app or description, and that app."""
        words = text.casefold().split()
        return [
            row for row in self.rows if (not app or row.app == app) and all(word in _haystack(row) for word in words)
        ]


def _haystack(row: Row) -> str:
    command = row.registered.command_name if row.registered else ""
    return " ".join((row.name, command, row.app, row.description)).casefold()


def databases() -> list[str]:
    """The aliases that hold data, and so a ledger; the default one first."""
    allowed = [alias for alias in connections if router.allow_migrate_model(alias, AppliedMigration)]
    return sorted(allowed, key=lambda alias: (alias != "default", alias))


def read(database: str, *, with_runs: bool = True, names: Collection[str] | None = None) -> Catalogue:
    """What is known about the data migrations of a database; without a ledger, what the code says.

    Which run was the last of each is not asked here: ``with_last_runs`` does for the rows of a page.

    Args:
        with_runs: False where the console's own tables cannot be read.
        names: only these; all where it is None.
    """
    try:
        statuses = status.statuses(database, names)
    except DataMigrationError as error:
        known = [each for each in registry.all_migrations() if names is None or each.name in names]
        return Catalogue(database, [_unknown(migration) for migration in known], str(error))
    active = active_runs(database) if with_runs else {}
    planned = planned_runs(database) if with_runs else {}
    ended = standing.ended(database, names) if with_runs else {}
    held = standing.held(database, names) if with_runs else {}
    applied = {each.name for each in statuses if each.record is not None}
    if names is not None:
        applied |= _applied_dependencies(statuses, database)
    seen = _only_seen_in_runs(statuses, database, names, {**planned, **active}) if with_runs else {}
    statuses += [status.MigrationStatus(name, status.State.UNREGISTERED, None, None, None, False) for name in seen]
    rows = [
        _row(
            each,
            applied,
            active=active.get(each.name),
            planned=planned.get(each.name),
            ended=ended.get(each.name),
            held=held.get(each.name),
        )
        for each in sorted(statuses, key=lambda each: each.name)
    ]
    return Catalogue(database, _with_absences(rows, seen))


def _only_seen_in_runs(
    statuses: list[status.MigrationStatus], database: str, names: Collection[str] | None, ahead: dict[str, Run]
) -> dict[str, datetime]:
    """What neither this code nor the ledger has, but a run that waits or goes on; of given names, any run. With times.

    A worker or a shell may have newer code than this process.
    """
    known = {each.name for each in statuses}
    seen = {name: run.requested_at for name, run in ahead.items() if name not in known}
    if names is None:
        return seen
    missing = set(names) - known
    if not missing:
        return {}
    runs = Run.objects.filter(database=database, migration__in=missing).order_by()
    return dict(runs.values_list("migration").annotate(Max("requested_at")))


def _with_absences(rows: list[Row], seen: dict[str, datetime]) -> list[Row]:
    """The rows, with why this process may not know those that are not in its code."""
    times: dict[str, datetime | None] = {
        # A record that a person made by hand says nothing of any code.
        row.name: seen.get(row.name) if row.record is None else _last_use(row.record)
        for row in rows
        if row.registered is None and (row.record is None or row.record.door != Door.CODE)
    }
    found = absence.explain(times)
    return [replace(row, absence=found.get(row.name)) for row in rows] if found else rows


def _last_use(record: AppliedMigration) -> datetime | None:
    return None if record.door == Door.MARKED else record.applied_at


def find(name: str, database: str) -> Row | None:
    """One data migration; None where neither the code, the ledger nor a run knows it."""
    return read(database, names=(name,)).get(name)


def with_last_runs(rows: Iterable[Row], database: str) -> list[Row]:
    """The same rows, each with its newest run: one query, which costs the same however many runs there are."""
    found = list(rows)
    last = _last_runs(database, [row.name for row in found])
    done = _applying_runs(database, [row.name for row in found if _was_run(row) and _did_nothing(last.get(row.name))])
    return [replace(row, last_run=last.get(row.name), applying_run=done.get(row.name)) for row in found]


def _was_run(row: Row) -> bool:
    return row.record is not None and row.record.door != Door.MARKED


def _did_nothing(run: Run | None) -> bool:
    return run is not None and run.note in NOTHING_DONE


def _applying_runs(database: str, names: Collection[str]) -> dict[str, Run]:
    """The run that left each record, if the console saw it; by the ledger, however many came after it."""
    keys = ledger.run_keys(names, database) if names else {}
    return {run.migration: run for run in _light(Run.objects.filter(key__in=keys.values()))} if keys else {}


def _applied_dependencies(statuses: list[status.MigrationStatus], database: str) -> set[str]:
    names = {name for each in statuses if each.registered for name in each.registered.depends_on}
    if not names:
        return set()
    return set(AppliedMigration.objects.using(database).filter(name__in=names).values_list("name", flat=True))


def _unknown(migration: RegisteredMigration) -> Row:
    return Row(migration.name, "broken" if migration.error else "unknown", migration, None)


def _row(
    each: status.MigrationStatus,
    applied: set[str],
    *,
    active: Run | None,
    planned: Run | None,
    ended: Run | None,
    held: Run | None,
) -> Row:
    state = str(each.state)
    if active is not None and active.status == Status.RUNNING and active.kind in (Kind.RUN, Kind.REVERSE):
        # The console hears of a run before its lease can be seen, and while SQLite's file is held.
        state = "running"
    is_said = each.is_through and ended is not None and errors.left_rows_aside(ended)
    if state == "running" or is_said or _was_done_since(ended, each.record):
        ended = None
    if active is not None or state == "running" or _was_done_since(held, each.record):
        held = None
    return Row(
        name=each.name,
        state=state,
        registered=each.registered,
        record=each.record,
        changed=each.changed,
        note=str(getattr(each, "note", "") or ""),
        set_aside=each.set_aside,
        is_through=each.is_through,
        holder=each.holder,
        active_run=active,
        planned_run=planned,
        failed_run=ended if ended and ended.status == Status.FAILED else None,
        cancelled_run=ended if ended and ended.status == Status.CANCELLED else None,
        held_run=held,
        missing=tuple(name for name in each.registered.depends_on if name not in applied) if each.registered else (),
    )


def _was_done_since(run: Run | None, record: AppliedMigration | None) -> bool:
    """Whether the ledger has it from after that run, by a process that does not write into the console's tables."""
    if run is None or record is None:
        return False
    return clock.aware(record.applied_at) >= clock.aware(run.finished_at or run.requested_at)


def _last_runs(database: str, names: Collection[str]) -> dict[str, Run]:
    """Each of them is one step into the index; a GROUP BY would go through all runs that there ever were."""
    if not names:
        return {}
    runs = Run.objects.filter(database=database)
    newest = [Subquery(runs.filter(migration=name).order_by("-id").values("id")[:1]) for name in names]
    # The number that no run has keeps MySQL from taking a single subquery for a list, which may have no limit.
    return {run.migration: run for run in _light(Run.objects.filter(pk__in=[*newest, 0]))}


def _light(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.defer("traceback", "sealed_arguments", "arguments", "changes", "samples")


def active_runs(database: str) -> dict[str, Run]:
    """The run that waits or goes on, by migration; one that goes on before one that waits."""
    runs = Run.objects.filter(database=database, status__in=ACTIVE).order_by("-status", "id")
    found: dict[str, Run] = {}
    for run in _light(runs):
        known = found.get(run.migration)
        if known is None or (known.status != Status.RUNNING and run.status == Status.RUNNING):
            found[run.migration] = run
    return found


def planned_runs(database: str) -> dict[str, Run]:
    """The run that waits for approval or for its time, by migration; one that waits for a person first."""
    runs = Run.objects.filter(database=database, status__in=PLANNED).order_by("status", "-id")
    return {run.migration: run for run in runs.defer("traceback", "sealed_arguments", "arguments", "changes")}
