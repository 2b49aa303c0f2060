"""The lines that runs print."""

from __future__ import annotations

from django.db import models

from .run import Run


class LogChunk(models.Model):
    """Consecutive lines of a run's log, written once.

    ``text`` is the lines joined by newlines; ``meta`` has for each line the milliseconds since
    ``at`` and the letter of its level (``logs.LEVELS``).
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    first = models.BigIntegerField()
    count = models.PositiveIntegerField()
    bytes = models.PositiveIntegerField()
    at = models.DateTimeField()
    text = models.TextField()
    meta = models.TextField()

    class Meta:
        ordering = ("first",)
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["run", "first"], name="console_chunk_once"),)

    def __str__(self) -> str:
        return f"lines {self.first} to {self.first + self.count - 1} of run {self.run_id}"
