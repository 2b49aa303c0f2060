"""Runs: what was asked for, where each is, and the attempts that processes made at it."""

from __future__ import annotations

from datetime import timedelta

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from console.states import ACTIVE, BY_FORCE, FINISHED, Status
from data_migrations.models import NAME_LENGTH
from data_migrations.reporting import Door, SetAside

from .keys import new_key


class Kind(models.TextChoices):
    """What was asked for."""

    RUN = "run", "run"
    DRY_RUN = "dry_run", "dry run"
    REVERSE = "reverse", "reverse"
    MARK = "mark", "mark as applied"
    UNMARK = "unmark", "unmark"


class Control(models.TextChoices):
    """What a person asked of a run that is going on."""

    NONE = "", "nothing"
    PAUSE = "pause", "pause"
    CANCEL = "cancel", "cancel"
    FORCE = "force", "force stop"


class Decision(models.TextChoices):
    """What a second person said."""

    NONE = "", "none"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"


class RunQuerySet(models.QuerySet["Run"]):
    """Questions asked of runs."""

    def active(self) -> RunQuerySet:
        """Those that wait for a worker or have one."""
        return self.filter(status__in=ACTIVE)

    def of(self, migration: str) -> RunQuerySet:
        """Those of one data migration, newest first."""
        return self.filter(migration=migration).order_by("-id")


class Run(models.Model):
    """One execution asked for, or one mark or unmark. Its status is changed by ``states.py`` only."""

    key = models.CharField(max_length=32, unique=True, default=new_key, editable=False)
    migration = models.CharField(max_length=NAME_LENGTH, db_index=True)
    command_name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.RUN)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.ENQUEUED, db_index=True)
    door = models.CharField(max_length=10, choices=[(d.value, d.value) for d in Door], default=Door.WORKER.value)
    database = models.CharField(max_length=64, default="default")
    force = models.BooleanField(default=False)
    arguments = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    sealed_arguments = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    requested_by = models.CharField(max_length=150, blank=True)
    requested_by_pk = models.CharField(max_length=64, blank=True)
    requested_at = models.DateTimeField(default=timezone.now, db_index=True)
    once_key = models.CharField(max_length=64, unique=True, null=True, blank=True)

    # Not before this moment: the time that was asked for, or when its daily window opens again.
    start_at = models.DateTimeField(null=True, blank=True, db_index=True)
    # It was asked for with its daily window put aside.
    ignore_window = models.BooleanField(default=False, db_default=False)
    # What a second person has to agree to, exactly: a hash of its parameters and of the code's checksum.
    fingerprint = models.CharField(max_length=64, blank=True)
    approval_expires_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=10, choices=Decision.choices, blank=True, default="")
    decided_by = models.CharField(max_length=150, blank=True)
    decided_by_pk = models.CharField(max_length=64, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(blank=True)

    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    # When it last began to wait for a worker, and when the bell was last rung for it.
    enqueued_at = models.DateTimeField(default=timezone.now)
    rung_at = models.DateTimeField(null=True, blank=True)
    host = models.CharField(max_length=255, blank=True)
    pid = models.PositiveBigIntegerField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    release = models.CharField(max_length=200, blank=True)
    checksum = models.CharField(max_length=64, blank=True)
    atomic = models.BooleanField(default=True)
    begun = models.BooleanField(default=False)
    # When its last attempt began, and how long those that have ended took together (worked.py).
    attempt_at = models.DateTimeField(null=True, blank=True)
    worked_seconds = models.FloatField(null=True, blank=True)
    # What it did so far is kept with its checkpoint, so that it goes on there.
    in_batches = models.BooleanField(default=False)

    control = models.CharField(max_length=10, choices=Control.choices, blank=True, default="")
    control_by = models.CharField(max_length=150, blank=True)
    control_at = models.DateTimeField(null=True, blank=True)

    progress_done = models.BigIntegerField(null=True, blank=True)
    progress_total = models.BigIntegerField(null=True, blank=True)
    progress_at = models.DateTimeField(null=True, blank=True)
    # Rows a second, over the last half minute.
    rate = models.FloatField(null=True, blank=True)
    # How far it was when: the points of a ``course.Course``. Processes with older code leave it out.
    course = models.JSONField(null=True, blank=True)
    # Why its next batch has to wait just now.
    waiting_for = models.TextField(blank=True)

    result = models.TextField(blank=True)
    # With the rows that earlier runs did, after which it went on; and how many those were.
    affected_rows = models.BigIntegerField(null=True, blank=True)
    rows_before = models.BigIntegerField(null=True, blank=True)
    changes = models.JSONField(default=list, blank=True, encoder=DjangoJSONEncoder)
    emails_held = models.PositiveIntegerField(default=0)
    # Of a dry run: rows before and after; how many seconds all that was left would take, and how many of them are
    # pauses between the batches; and the rows that would be set aside, as the fields of a SetAside.
    samples = models.JSONField(default=list, blank=True, encoder=DjangoJSONEncoder)
    estimated_seconds = models.FloatField(null=True, blank=True)
    estimated_pauses = models.FloatField(null=True, blank=True)
    set_aside = models.JSONField(null=True, blank=True)
    error_class = models.CharField(max_length=200, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    error_line = models.BigIntegerField(null=True, blank=True)
    note = models.TextField(blank=True)

    # The number of the next line; numbers start at 1 and have no gaps.
    log_next = models.BigIntegerField(default=1)
    # Bytes printed in all, bytes kept now, and the last line of the half that is kept for good.
    log_bytes = models.BigIntegerField(default=0)
    log_kept = models.BigIntegerField(default=0)
    log_head = models.BigIntegerField(null=True, blank=True)
    # When its log was taken away because of its age or size.
    log_pruned_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        get_latest_by = "id"
        verbose_name = "run"
        default_permissions = ("view",)
        permissions = (
            ("run_migration", "Can run data migrations"),
            ("dry_run_migration", "Can dry-run data migrations"),
            ("cancel_run", "Can pause, resume and cancel runs"),
            ("force_stop_run", "Can force-stop runs"),
            ("accept_quarantine", "Can accept quarantined rows"),
            ("approve_run", "Can approve runs"),
            ("mark_migration", "Can mark data migrations as applied"),
            ("unmark_migration", "Can unmark data migrations"),
            ("view_log", "Can view the logs of runs"),
            ("view_arguments", "Can view the arguments of runs"),
            ("view_health", "Can view the health of the console"),
        )
        indexes = (
            models.Index(fields=["migration", "-id"], name="console_run_of_migration"),
            models.Index(fields=["status", "heartbeat_at"], name="console_run_stuck"),
            # The last run of each data migration, and the history by each of its filters.
            models.Index(fields=["database", "migration", "-id"], name="console_run_last"),
            models.Index(fields=["status", "requested_at"], name="console_run_by_status"),
            models.Index(fields=["kind", "requested_at"], name="console_run_by_kind"),
            models.Index(fields=["door", "requested_at"], name="console_run_by_door"),
            models.Index(fields=["requested_by", "requested_at"], name="console_run_by_person"),
            models.Index(fields=["host", "requested_at"], name="console_run_by_host"),
            models.Index(fields=["status", "finished_at"], name="console_run_ended"),
        )

    def __str__(self) -> str:
        return f"run {self.pk} of {self.migration}"

    @property
    def is_active(self) -> bool:
        """Whether it waits for a worker or has one."""
        return self.status in ACTIVE

    @property
    def look(self) -> str:
        """The status to show: what a second person rejected was not simply cancelled, nor what was forced to stop."""
        if self.decision == Decision.REJECTED:
            return "rejected"
        is_forced = self.status == Status.CANCELLED and self.note.startswith(BY_FORCE)
        return "stopped_by_force" if is_forced else str(self.status)

    @property
    def note_says_who(self) -> bool:
        """Whether its note names the person who asked something of it last."""
        return bool(self.control_by) and f"by {self.control_by}" in self.note

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.status in FINISHED

    @property
    def elapsed(self) -> timedelta | None:
        """How long it has been worked on: its attempts, without the time between them; None before it started."""
        if self.started_at is None:
            return None
        worked = None if self.worked_seconds is None else timedelta(seconds=self.worked_seconds)
        if self.status == Status.RUNNING:
            return (worked or timedelta()) + (timezone.now() - (self.attempt_at or self.started_at))
        return (self.finished_at or timezone.now()) - self.started_at if worked is None else worked

    @property
    def own_rows(self) -> int | None:
        """How many rows it did by itself; None where nothing was counted."""
        if self.kind != Kind.RUN:
            return self.affected_rows
        # Of one that stopped on its way, its finished batches.
        stopped = self.in_batches and self.status in (Status.FAILED, Status.CANCELLED)
        rows = self.progress_done if self.affected_rows is None and stopped else self.affected_rows
        return None if rows is None else max(0, rows - (self.rows_before or 0))

    @property
    def aside(self) -> SetAside:
        """The rows that a dry run would have set aside."""
        return SetAside(**(self.set_aside or {}))

    @property
    def result_is_rows(self) -> bool:
        """Whether its result says no more than how many rows were done, as it does of batches."""
        return self.result == str(self.affected_rows)

    @property
    def tried(self) -> tuple[int, int] | None:
        """Of a dry run in batches: how many rows it tried, and how many there were to try; None where nobody knows."""
        if self.kind != Kind.DRY_RUN or self.progress_done is None or self.progress_total is None:
            return None
        before = self.rows_before or 0
        return self.progress_done - before, self.progress_total - before

    @property
    def lines(self) -> int:
        """How many log lines were stored so far, including those that the cap took away."""
        return self.log_next - 1


class Attempt(models.Model):
    """One delivery of a run to a process; ``number`` is its fencing token."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    host = models.CharField(max_length=255, blank=True)
    pid = models.PositiveBigIntegerField(null=True, blank=True)
    # With host and pid: which process exactly, so that a number used again is noticed.
    machine = models.CharField(max_length=100, blank=True)
    pid_started = models.CharField(max_length=32, blank=True)
    worker = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True)
    # Of a batched run whose process was lost: how many rows were done in all by then.
    rows = models.BigIntegerField(null=True, blank=True)
    # How many records of its journal are in the database.
    stored = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("number",)
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["run", "number"], name="console_attempt_once"),)

    def __str__(self) -> str:
        return f"attempt {self.number} of run {self.run_id}"
