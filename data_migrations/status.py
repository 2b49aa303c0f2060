"""How every data migration stands: the code, the ledger and the leases seen together."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count

from . import databases, ledger, registry
from .disk import DiskLoader
from .leases import is_live
from .models import AppliedMigration, Checkpoint, Lease, QuarantinedRow
from .registry import RegisteredMigration
from .reporting import Door, Holder
from .utils.migrations import RunDataMigration


class State(enum.StrEnum):
    """How a data migration stands in one database."""

    APPLIED = "applied"
    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    QUARANTINED = "quarantined"
    UNREGISTERED = "unregistered"
    BROKEN = "broken"

    @property
    def sentence(self) -> str:
        """The state in words."""
        return {
            "quarantined": "done but for rows that were set aside",
            "unregistered": "recorded, but not in the code",
            "broken": "its module cannot be imported",
        }.get(self.value, self.value)


@dataclass(frozen=True)
class MigrationStatus:
    """One data migration, as one database has it."""

    name: str
    state: State
    registered: RegisteredMigration | None
    record: AppliedMigration | None
    holder: Holder | None
    changed: bool
    """Whether its source is another one than when it was applied."""
    note: str = ""
    """A sentence about what does not fit together, or empty."""
    set_aside: int = 0
    """Rows in quarantine that nobody accepted, of a run that has not come to its end."""
    is_through: bool = False
    """Whether all batches of such a run are done."""


def statuses(using: str, names: Collection[str] | None = None) -> list[MigrationStatus]:
    """Every registered and every recorded data migration, or those of the given names, by name.

    Raises:
        InvalidArgument, DatabaseUnavailable, LedgerMissing.
    """
    databases.require(using)
    ledger.require_tables(using)
    asked: dict[str, Any] = {} if names is None else {"name__in": names}
    records = {record.name: record for record in AppliedMigration.objects.using(using).filter(**asked)}
    leases = {lease.name: lease for lease in Lease.objects.using(using).filter(**asked)}
    code = {each.name: each for each in registry.all_migrations() if names is None or each.name in names}
    faked = _run_by_applied_migrations(using)
    checkpoints = Checkpoint.objects.using(using).filter(batches__gt=0, **asked)
    begun = dict(checkpoints.values_list("name", "exhausted"))
    aside = _set_aside(using, begun)
    now = databases.now(using)
    found = []
    for name in sorted(code.keys() | records.keys()):
        registered, record, lease = code.get(name), records.get(name), leases.get(name)
        running = lease is not None and is_live(lease, now)
        if running:
            state = State.RUNNING
        elif registered is not None and registered.command_class is None:
            state = State.BROKEN
        elif begun.get(name) and aside.get(name):
            state = State.QUARANTINED
        elif name in begun or (lease is not None and (lease.owner or lease.unfinished)):
            state = State.INTERRUPTED
        elif record is None:
            state = State.PENDING
        elif registered is None and record.door != Door.CODE:
            state = State.UNREGISTERED
        else:
            state = State.APPLIED
        note = ""
        if registered is not None and record is None and registered.command_name in faked:
            note = (
                f"The Django migration {faked[registered.command_name]} that runs it is applied, but this is not "
                "recorded: was it faked?"
            )
        found.append(
            MigrationStatus(
                name=name,
                state=state,
                registered=registered,
                record=record,
                holder=lease.holder if running and lease is not None else None,
                changed=bool(record and registered and record.checksum and record.checksum != registered.checksum),
                note=note,
                set_aside=aside.get(name, 0),
                is_through=begun.get(name, False),
            )
        )
    return found


def _set_aside(using: str, begun: Collection[str]) -> dict[str, int]:
    """How many rows of each are in quarantine and not accepted; nothing is asked where nothing is begun."""
    if not begun:
        return {}
    rows = QuarantinedRow.objects.using(using).filter(name__in=begun, accepted_at=None)
    return dict(rows.order_by().values_list("name").annotate(Count("pk")))


def _run_by_applied_migrations(using: str) -> dict[str, str]:
    """Command names that a Django migration runs which is applied in this database, with that migration's name."""
    loader = DiskLoader(None, load=False, ignore_no_migrations=True)
    loader.load_disk()
    applied = MigrationRecorder(connections[using]).applied_migrations()
    return {
        operation.command_name: f"{key[0]}.{key[1]}"
        for key, migration in loader.disk_migrations.items()
        if key in applied
        for operation in migration.operations
        if isinstance(operation, RunDataMigration)
    }
