"""What is kept beside the data: the ledger, its history, and the leases."""

from __future__ import annotations

import json
from typing import Any

from django.db import models

from .reporting import Door, Holder
from .words import row_key

NAME_LENGTH = 200


class AppliedMigration(models.Model):
    """The ledger: a row means applied. Only ``ledger.py`` writes it."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    applied_at = models.DateTimeField()
    by = models.CharField(max_length=150, blank=True)
    door = models.CharField(max_length=10, choices=[(d.value, d.value) for d in Door])
    duration = models.FloatField(null=True, help_text="Seconds.")
    result = models.TextField(blank=True)
    affected_rows = models.BigIntegerField(null=True)
    checksum = models.CharField(max_length=64, blank=True)
    times_applied = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("name",)
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class AppliedSource(models.Model):
    """The source of a command as it was applied, so that a later change can be shown. Only ``ledger.py`` writes it."""

    checksum = models.CharField(max_length=64, unique=True)
    text = models.TextField()
    seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.checksum


class Event(models.TextChoices):
    """What can happen to a record."""

    APPLIED = "applied", "applied"
    REAPPLIED = "re-applied", "re-applied"
    REVERSED = "reversed", "reversed"
    MARKED = "marked", "marked"
    UNMARKED = "unmarked", "unmarked"
    ACCEPTED = "accepted", "accepted"


class AppendOnlyError(TypeError):
    """The history of the ledger is only ever added to."""


class AppendOnlyQuerySet(models.QuerySet["LedgerEvent"]):
    """Refuses what would rewrite history."""

    def update(self, **kwargs: Any) -> int:
        raise AppendOnlyError(AppendOnlyError.__doc__)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError(AppendOnlyError.__doc__)


class LedgerEvent(models.Model):
    """The history of the ledger: who did what to which record, when, through which door, and why."""

    name = models.CharField(max_length=NAME_LENGTH, db_index=True)
    event = models.CharField(max_length=10, choices=Event.choices)
    at = models.DateTimeField()
    by = models.CharField(max_length=150, blank=True)
    door = models.CharField(max_length=10, choices=[(d.value, d.value) for d in Door])
    reason = models.TextField(blank=True)
    run_key = models.CharField(max_length=32, blank=True, help_text="Which run it was, so that none counts twice.")

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnlyError(AppendOnlyError.__doc__)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError(AppendOnlyError.__doc__)


class Lease(models.Model):
    """Who may run a migration now. An empty ``owner`` means nobody; ``token`` rises with each taking."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    owner = models.CharField(max_length=32, blank=True)
    token = models.PositiveBigIntegerField(default=0)
    acquired_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    host = models.CharField(max_length=255, blank=True)
    machine = models.CharField(max_length=100, blank=True)
    pid = models.PositiveBigIntegerField(default=0)
    pid_started = models.CharField(max_length=32, blank=True)
    session = models.CharField(
        max_length=64, blank=True, help_text="The database session whose end would undo the run."
    )
    unfinished = models.BooleanField(
        default=False, help_text="A run that keeps what it did so far has begun and not come to its end."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} #{self.token}"

    @property
    def holder(self) -> Holder:
        """Who holds it, for messages."""
        return Holder(self.host, self.pid, self.acquired_at)


class Checkpoint(models.Model):
    """How far a batched migration has come, written in the transaction of each of its batches.

    Only ``checkpoints.py`` writes it. What a person asks for while it runs (``wanted_…``) is in
    columns of its own, which the run reads and never writes.
    """

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    cursor = models.TextField(blank=True, help_text="JSON; empty before the first batch.")
    exhausted = models.BooleanField(default=False, help_text="The source has no more batches.")
    rows = models.BigIntegerField(default=0)
    batches = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    batch_size = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    wanted_batch_size = models.PositiveIntegerField(null=True)
    wanted_pause = models.FloatField(null=True, help_text="Seconds.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} after {self.rows:,} rows"


class QuarantinedRow(models.Model):
    """A row whose batch failed on it and that was set aside, so that the others could go on."""

    name = models.CharField(max_length=NAME_LENGTH)
    key = models.TextField(help_text="JSON.")
    # Processes with older code leave it out.
    model = models.CharField(
        max_length=NAME_LENGTH, blank=True, default="", db_default="", help_text="Whose primary key it is: app.model."
    )
    error = models.TextField()
    traceback = models.TextField(blank=True)
    at = models.DateTimeField()
    accepted_by = models.CharField(max_length=150, blank=True)
    accepted_reason = models.TextField(blank=True)
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        default_permissions = ()
        indexes = [models.Index(fields=["name", "id"], name="data_migr_quarantine_idx")]

    def __str__(self) -> str:
        return f"{self.name} {self.key}"

    @property
    def words(self) -> str:
        """Which row it is: its table and key, or its place in a file."""
        return f"{self.model} {row_key(json.loads(self.key))}".strip()
