"""How far a batched migration has come: read when it starts, written with each batch."""

from __future__ import annotations

import json
from copy import copy
from typing import Any

from django.db import connections

from . import databases
from .leases import HeldLease
from .models import Checkpoint, QuarantinedRow

# What is written as it is; the cursor is written as JSON.
_COLUMNS = ("exhausted", "rows", "batches", "total", "batch_size")


class Position:
    """The checkpoint of one migration, as its run goes along."""

    def __init__(self, row: Checkpoint, using: str) -> None:
        self.name = row.name
        self.using = using
        self.cursor: Any = json.loads(row.cursor) if row.cursor else None
        self.exhausted = row.exhausted
        self.rows = row.rows
        # Items that were handed out: an author may count otherwise, and rows that are set aside do not count. Of what
        # earlier runs did, the rows that count; those they set aside are handed out once more.
        self.gone = row.rows
        self.batches = row.batches
        self.total = row.total
        self.batch_size = row.batch_size
        self.resumed = row.batches > 0
        # What a person asked for by the time it was read: the batch size, and the pause in seconds.
        self.wishes = (row.wanted_batch_size, row.wanted_pause)
        self._update = _update(using)

    def moved(self, cursor: Any, rows: int, batch_size: int, gone: int) -> Position:
        """Where the run is after one more batch; this one stays as it is, in case that batch is undone.

        Args:
            rows: how many of its rows count as done.
            gone: how many it had.
        """
        position = copy(self)
        position.cursor = cursor
        position.rows = self.rows + rows
        position.gone = self.gone + gone
        position.batches = self.batches + 1
        position.batch_size = batch_size
        return position

    def ended(self) -> Position:
        """Where the run is once there was no batch left; this one stays as it is."""
        position = copy(self)
        position.exhausted = True
        if position.total is None:
            position.total = position.gone
        return position

    def store(self, lease: HeldLease) -> None:
        """Write it and make sure of the lease, in the current transaction.

        Raises:
            LeaseLost: somebody else has gone on from here, or begun anew.
        """
        values = [getattr(self, column) for column in _COLUMNS]
        lease.confirm_with(self._update, [json.dumps(self.cursor), *values, self.name])


def _update(using: str) -> str:
    """The statement of each batch, made once for all: the ORM's compiler would take longer than the database does."""
    connection = connections[using]
    quote = connection.ops.quote_name
    assignments = ", ".join(f"{quote(column)} = %s" for column in ("cursor", *_COLUMNS))
    return (
        f"UPDATE {quote(Checkpoint._meta.db_table)} SET {assignments}, "  # noqa: S608
        f"{quote('updated_at')} = {databases.CLOCK_EXPRESSIONS[connection.vendor]} WHERE {quote('name')} = %s"
    )


def find(name: str, using: str) -> Checkpoint | None:
    """The stored checkpoint of a migration, or None where none of its batches was committed."""
    return Checkpoint.objects.using(using).filter(name=name).first()


def begin(name: str, using: str, *, kept: bool) -> Position:
    """Where the run starts: at the stored checkpoint, or at the very beginning.

    Args:
        kept: whether there is to be one; a dry run and a run inside somebody's transaction go along without.
    """
    row = find(name, using)
    if row is None:
        row = Checkpoint(name=name)
        if kept:
            row.started_at = row.updated_at = databases.now(using)
            row.save(using=using)
    return Position(row, using)


def drop(name: str, using: str) -> None:
    """Forget the checkpoint, in the current transaction if there is one; the next run starts at the beginning."""
    quote = connections[using].ops.quote_name
    with connections[using].cursor() as cursor:
        # Nothing hangs on it, so there is nothing for the ORM to collect.
        cursor.execute(f"DELETE FROM {quote(Checkpoint._meta.db_table)} WHERE {quote('name')} = %s", [name])  # noqa: S608


def forget(name: str, using: str) -> None:
    """Forget all that the next run would go on from: the checkpoint, and rows set aside that nobody accepted."""
    drop(name, using)
    QuarantinedRow.objects.using(using).filter(name=name, accepted_at=None).delete()


def wishes(name: str, using: str) -> tuple[int | None, float | None]:
    """The batch size and the pause in seconds that a person asked for while it runs."""
    row = Checkpoint.objects.using(using).filter(name=name).values_list("wanted_batch_size", "wanted_pause").first()
    return row or (None, None)


def wish(name: str, using: str, **wanted: int | float | None) -> bool:
    """Ask a running migration for another ``batch_size`` or ``pause``. False when it is not under way."""
    columns = {f"wanted_{key}": value for key, value in wanted.items()}
    return bool(Checkpoint.objects.using(using).filter(name=name).update(**columns))
