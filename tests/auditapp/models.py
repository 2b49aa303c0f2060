"""One model for each audit library. They have no migrations: the tests make their tables without."""

from __future__ import annotations

import pghistory
import pgtrigger
from auditlog.registry import auditlog
from django.db import models
from field_audit import audit_fields
from field_audit.models import AuditingManager
from simple_history.models import HistoricalRecords


class Tag(models.Model):
    """Something to have many of."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Named(models.Model):
    """What all audited models have."""

    name = models.CharField(max_length=50)
    tags = models.ManyToManyField(Tag)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class Logged(Named):
    """Audited by django-auditlog."""


auditlog.register(Logged, m2m_fields={"tags"})


@audit_fields("name", "tags", audit_special_queryset_writes=True)
class FieldAudited(Named):
    """Audited by django-field-audit, its bulk methods too."""

    objects = AuditingManager()


class Remembered(Named):
    """Audited by django-simple-history."""

    history = HistoricalRecords(m2m_fields=["tags"])


class Watched(Named):
    """Audited by django-easy-audit."""


@pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
class Tracked(models.Model):
    """Audited by django-pghistory, and protected by a trigger of django-pgtrigger."""

    name = models.CharField(max_length=50)

    class Meta:
        triggers = [
            pgtrigger.Protect(
                name="no_forbidden_names", operation=pgtrigger.Update, condition=pgtrigger.Q(new__name="forbidden")
            )
        ]

    def __str__(self) -> str:
        return self.name
