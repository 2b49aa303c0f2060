"""Where the console's tables live."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model

DEFAULT_APPS = ("console", "django_q")


class ConsoleRouter:
    """Send the console's own apps to the database ``CONSOLE["DATABASE"]``, and keep everything else out of it.

    SQLite has one writer per file. With its tables in a second file the console can record a run's log while the
    run holds the first file. Without ``CONSOLE["DATABASE"]`` the router has no opinion.
    """

    @staticmethod
    def _alias() -> str | None:
        return getattr(settings, "CONSOLE", {}).get("DATABASE")

    @staticmethod
    def _apps() -> tuple[str, ...]:
        return tuple(getattr(settings, "CONSOLE", {}).get("DATABASE_APPS", DEFAULT_APPS))

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """The console's alias for its apps, None (no opinion) for all others."""
        return self._alias() if model._meta.app_label in self._apps() else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        """The same database as for reading."""
        return self.db_for_read(model, **hints)

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        """True within the console's apps, False across the border, None where neither is ours."""
        alias = self._alias()
        if alias is None:
            return None
        inside = {obj._meta.app_label in self._apps() for obj in (first, second)}
        if inside == {True}:
            return True
        return None if inside == {False} else False

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """The console's apps are migrated in their own database, and nothing else is."""
        alias = self._alias()
        if alias is None:
            return None
        if app_label in self._apps():
            return db == alias
        return False if db == alias else None
