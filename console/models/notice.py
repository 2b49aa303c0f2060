"""What people are to be told."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from .run import Run


class Notice(models.Model):
    """Something that people are to be told of, by one channel; tried again until it was sent or given up.

    The run may be pruned before: what is to be said is kept here.
    """

    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="notices")
    event = models.CharField(max_length=20)
    channel = models.CharField(max_length=20)
    # The same event of the same run is told once for each channel.
    once_key = models.CharField(max_length=100, unique=True)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    # When it is to be sent next; null once it was sent or given up.
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ()

    def __str__(self) -> str:
        return self.subject
