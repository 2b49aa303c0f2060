"""Files that come with a run."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from .keys import new_key
from .run import Run


class Upload(models.Model):
    """A file that a person uploaded for a run; it goes when the run comes to its end."""

    key = models.CharField(max_length=32, unique=True, default=new_key, editable=False)
    name = models.CharField(max_length=100)
    bytes = models.PositiveBigIntegerField()
    uploaded_by = models.CharField(max_length=150, blank=True)
    uploaded_at = models.DateTimeField(default=timezone.now)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, null=True, blank=True, related_name="uploads")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class UploadPart(models.Model):
    """A piece of an uploaded file, small enough for one statement of any database."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ("number",)
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["upload", "number"], name="console_upload_part_once"),)

    def __str__(self) -> str:
        return f"part {self.number} of {self.upload_id}"
