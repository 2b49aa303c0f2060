"""Workers, and what shows that they are there."""

from __future__ import annotations

from django.db import models

from .run import Run


class Worker(models.Model):
    """A worker process and its last sign of life."""

    host = models.CharField(max_length=255)
    pid = models.PositiveBigIntegerField()
    machine = models.CharField(max_length=100, blank=True)
    pid_started = models.CharField(max_length=32, blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    draining = models.BooleanField(default=False)
    # When it said goodbye: it was asked to stop, and has. Null of one that goes on or was killed.
    left_at = models.DateTimeField(null=True, blank=True)
    release = models.CharField(max_length=200, blank=True)
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # What only the worker's own host can tell: how many seconds its clock is ahead of the database's, and for how
    # many seconds log lines have waited there to be stored.
    clock_skew = models.FloatField(null=True, blank=True)
    log_lag = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ("host", "pid")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["host", "machine", "pid", "pid_started"], name="console_worker_once"),
        )

    def __str__(self) -> str:
        return f"worker {self.pid} on {self.host}"


class Canary(models.Model):
    """A message that does nothing but come through the queue: proof that its workers take tasks. One row a cluster."""

    cluster = models.CharField(max_length=100, unique=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    # Seconds that the last one was under way.
    took = models.FloatField(null=True, blank=True)
    answered_by = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"canary of {self.cluster}"
