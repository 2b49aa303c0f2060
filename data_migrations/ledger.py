"""The ledger: which data migrations are applied. A row means applied; nothing else writes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connections, transaction

from . import checkpoints, databases, registry
from .exceptions import AlreadyRunning, LedgerMissing
from .leases import ensure_row, is_live
from .models import AppliedMigration, AppliedSource, Checkpoint, Event, Lease, LedgerEvent, QuarantinedRow
from .reporting import Door, SetAside

_TABLES = (AppliedMigration, LedgerEvent, Lease, Checkpoint, QuarantinedRow)


def require_tables(using: str) -> None:
    """Make sure that the tables are there, by looking, since a failing query would spoil an open transaction.

    Raises:
        LedgerMissing: one is not.
    """
    missing = missing_tables(using)
    if missing:
        option = "" if using == "default" else f" --database {using}"
        raise LedgerMissing(
            f"The table {missing[0]} does not exist in the database {using!r}. Nothing was run. Create it with "
            f'"manage.py migrate data_migrations{option}"; a Django migration that uses RunDataMigration needs '
            '("data_migrations", "0001_initial") among its dependencies.'
        )


def missing_tables(using: str) -> list[str]:
    """The ledger's tables that this database does not have."""
    tables = set(connections[using].introspection.table_names())
    return [model._meta.db_table for model in _TABLES if model._meta.db_table not in tables]


def get(name: str, using: str) -> AppliedMigration | None:
    """The record of a migration, or None while it is not applied."""
    return AppliedMigration.objects.using(using).filter(name=name).first()


def is_applied(name: str, using: str, *, locked: bool = False) -> bool:
    """Whether the migration has a record.

    Args:
        locked: read what is committed now, also where the transaction's own snapshot is older.
    """
    if locked:
        return AppliedMigration.objects.using(using).select_for_update().filter(name=name).first() is not None
    return AppliedMigration.objects.using(using).filter(name=name).exists()


def applied(using: str) -> dict[str, AppliedMigration]:
    """All records, by name."""
    return {record.name: record for record in AppliedMigration.objects.using(using)}


def not_applied(names: Iterable[str], using: str) -> list[str]:
    """Those of the migrations that have no record."""
    names = list(names)
    if not names:
        return []
    found = set(AppliedMigration.objects.using(using).filter(name__in=names).values_list("name", flat=True))
    return [name for name in names if name not in found]


def has_run(name: str, using: str, run_key: str) -> bool:
    """Whether this very run has applied the migration: a forced one that is delivered twice must not do so twice."""
    return LedgerEvent.objects.using(using).filter(name=name, run_key=run_key).exists()


def run_keys(names: Iterable[str], using: str) -> dict[str, str]:
    """The keys of the runs that applied those migrations last; without those that no run applied."""
    applied = LedgerEvent.objects.using(using).filter(name__in=list(names), event__in=(Event.APPLIED, Event.REAPPLIED))
    last = dict(applied.order_by("id").values_list("name", "run_key"))
    return {name: key for name, key in last.items() if key}


def events(name: str, using: str) -> list[LedgerEvent]:
    """The history of one record, oldest first."""
    return list(LedgerEvent.objects.using(using).filter(name=name))


def record(
    name: str,
    *,
    using: str,
    by: str,
    door: Door,
    reason: str = "",
    duration: float | None = None,
    result: str = "",
    affected_rows: int | None = None,
    checksum: str = "",
    run_key: str = "",
) -> AppliedMigration:
    """Write that a migration is applied, again if it was already; call it inside the transaction of the work.

    ``duration`` is in seconds.
    """
    now = databases.now(using)
    values = {
        "applied_at": now,
        "by": by,
        "door": door,
        "duration": duration,
        "result": result,
        "affected_rows": affected_rows,
        "checksum": checksum,
    }
    # All or nothing goes for what is around it as well, which needs no savepoint.
    with transaction.atomic(using=using, savepoint=False):
        row = AppliedMigration.objects.using(using).select_for_update().filter(name=name).first()
        if row is None:
            row = AppliedMigration.objects.using(using).create(name=name, **values)
            event = Event.MARKED if door == Door.MARKED else Event.APPLIED
        else:
            for field, value in values.items():
                setattr(row, field, value)
            row.times_applied += 1
            row.save(using=using)
            event = Event.REAPPLIED
        _note(name, event, using, by, door, reason, run_key, at=now)
        _keep_source(checksum, using)
    return row


def source_as_applied(checksum: str, using: str) -> str:
    """The source that had this checksum when it was applied here; empty where it was not kept."""
    if not checksum or not _has_sources(using):
        return ""
    return AppliedSource.objects.using(using).filter(checksum=checksum).values_list("text", flat=True).first() or ""


def _keep_source(checksum: str, using: str) -> None:
    """Keep the source beside the record, so that a later change can be shown; what ran is not guessed at."""
    source = registry.source_of(checksum)
    if not source or not _has_sources(using):
        return
    sources = AppliedSource.objects.using(using)
    if not sources.filter(checksum=checksum).exists():
        row = AppliedSource(checksum=checksum, text=source, seen_at=databases.now(using))
        sources.bulk_create([row], ignore_conflicts=True)


def _has_sources(using: str) -> bool:
    """A Django migration may run a data migration when only the first of our tables are there."""
    return AppliedSource._meta.db_table in connections[using].introspection.table_names()


def remove(
    name: str, *, using: str, by: str, door: Door, reason: str = "", event: Event = Event.REVERSED, run_key: str = ""
) -> bool:
    """Take a record out; call it inside the transaction that undoes the work. False when there was none."""
    with transaction.atomic(using=using):
        deleted, _ = AppliedMigration.objects.using(using).filter(name=name).delete()
        if deleted:
            _note(name, event, using, by, door, reason, run_key)
    return bool(deleted)


def mark(
    names: Iterable[str],
    *,
    using: str,
    by: str,
    reason: str = "",
    door: Door = Door.MARKED,
    checksums: dict[str, str] | None = None,
) -> list[str]:
    """Write records without running anything, all or none. Gives the names that had no record yet.

    Raises:
        AlreadyRunning: one of them is being run now.
    """
    marked = []
    with transaction.atomic(using=using):
        for name in dict.fromkeys(names):
            row = _require_idle(name, using)
            if not is_applied(name, using):
                _settle(row, using)
                record(name, using=using, by=by, door=door, reason=reason, checksum=(checksums or {}).get(name, ""))
                marked.append(name)
    return marked


def unmark(names: Iterable[str], *, using: str, by: str, reason: str = "", door: Door = Door.MARKED) -> list[str]:
    """Take records out without undoing anything, all or none. Gives the names that had a record.

    Raises:
        AlreadyRunning: one of them is being run now.
    """
    with transaction.atomic(using=using):
        unmarked = []
        for name in dict.fromkeys(names):
            row = _require_idle(name, using)
            if remove(name, using=using, by=by, door=door, reason=reason, event=Event.UNMARKED):
                _settle(row, using)
                unmarked.append(name)
    return unmarked


def settle(name: str, using: str) -> None:
    """Drop what an unfinished run left to go on with.

    Raises:
        AlreadyRunning: it is being run now.
    """
    with transaction.atomic(using=using):
        _settle(_require_idle(name, using), using)


def note_accepted(name: str, rows: SetAside, *, using: str, by: str, reason: str, door: Door = Door.MARKED) -> None:
    """Write into the history that somebody takes rows that were set aside as they are, in the current transaction."""
    _note(name, Event.ACCEPTED, using, by, door, f"{rows}: {reason}")


def _require_idle(name: str, using: str) -> Lease:
    """Lock the lease row to the end of the transaction, so that no run starts under our hands."""
    ensure_row(name, using)
    row = databases.lock(Lease, using, name=name)
    if row is None or is_live(row, databases.now(using)):
        holder = row.holder if row is not None else "another transaction"
        raise AlreadyRunning(
            f"{name} is being run by {holder}, so its record was left as it is. Wait until that run has ended."
        )
    return row


def _settle(row: Lease, using: str) -> None:
    """An interrupted run is settled by a person's word: what it left to go on with is dropped."""
    row.owner, row.session, row.expires_at, row.unfinished = "", "", None, False
    row.save(using=using)
    checkpoints.forget(row.name, using)


def _note(
    name: str, event: Event, using: str, by: str, door: Door, reason: str, run_key: str = "", at: datetime | None = None
) -> None:
    at = at or databases.now(using)
    LedgerEvent.objects.using(using).create(
        name=name, event=event, at=at, by=by, door=door, reason=reason, run_key=run_key
    )
