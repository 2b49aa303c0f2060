"""Pages of the admin that have no table: their facts come from the core, from Django and from all of the console."""

from __future__ import annotations

from django.db import models

from data_migrations.models import NAME_LENGTH


class Migration(models.Model):
    """A registered data migration, as a row of the admin: it has no table, its facts come from the core.

    Viewing it takes the permission to view runs, so that there is one permission to give.
    """

    name = models.CharField(primary_key=True, max_length=NAME_LENGTH)

    class Meta:
        managed = False
        default_permissions = ()
        verbose_name = "data migration"

    def __str__(self) -> str:
        return self.name


class SchemaMigration(models.Model):
    """One of Django's own schema migrations, as a row of the admin: its facts come from Django."""

    name = models.CharField(primary_key=True, max_length=NAME_LENGTH)

    class Meta:
        managed = False
        default_permissions = ()
        verbose_name = "schema migration"

    def __str__(self) -> str:
        return self.name


class Health(models.Model):
    """The health of the console, as a page of the admin."""

    name = models.CharField(primary_key=True, max_length=NAME_LENGTH)

    class Meta:
        managed = False
        default_permissions = ()
        verbose_name = "health"
        verbose_name_plural = "health"

    def __str__(self) -> str:
        return self.name
