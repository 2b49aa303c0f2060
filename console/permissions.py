"""Who may do what: one hook per verb, asked by pages for their buttons and again by every POST."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from data_migrations import registry
from data_migrations.exceptions import UnknownMigration
from data_migrations.registry import RegisteredMigration

from .models import Kind


def narrowed(migration: RegisteredMigration | None) -> str:
    """The further permission, "app.codename", that the command itself asks for; empty where it asks for none."""
    return str(getattr(migration.command_class, "permission", "") or "") if migration else ""


def find(name: str) -> RegisteredMigration | None:
    """The registered migration of that name, or None."""
    try:
        return registry.get(name)
    except UnknownMigration:
        return None


class PermissionHooks:
    """The hooks of the console's admin classes; override one to decide otherwise.

    Each takes the request and, where it is about one data migration, that migration.
    """

    def _may(self, request: HttpRequest, codename: str, migration: RegisteredMigration | None = None) -> bool:
        user: Any = request.user
        if not user.has_perm(f"console.{codename}"):
            return False
        further = narrowed(migration)
        return not further or user.has_perm(further)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """May see migrations and runs."""
        return self._may(request, "view_run")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """May see the console at all."""
        return self._may(request, "view_run")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds a run by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits a run by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes a run by hand."""
        return False

    def has_run_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May run, and reverse."""
        return self._may(request, "run_migration", migration)

    def has_dry_run_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May try without keeping anything."""
        return self._may(request, "dry_run_migration", migration)

    def has_cancel_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May ask a run to stop."""
        return self._may(request, "cancel_run", migration)

    def has_force_stop_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May end a run whatever it does."""
        return self._may(request, "force_stop_run", migration)

    def has_approve_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May let runs of others go, or reject them."""
        return self._may(request, "approve_run", migration)

    def has_accept_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May accept rows that were set aside."""
        return self._may(request, "accept_quarantine", migration)

    def has_mark_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May record as applied what was not run."""
        return self._may(request, "mark_migration", migration)

    def has_unmark_permission(self, request: HttpRequest, migration: RegisteredMigration | None = None) -> bool:
        """May take a record out."""
        return self._may(request, "unmark_migration", migration)

    def has_view_log_permission(self, request: HttpRequest) -> bool:
        """May read what runs printed."""
        return self._may(request, "view_log")

    def has_view_arguments_permission(self, request: HttpRequest) -> bool:
        """May see with which arguments runs were asked for."""
        return self._may(request, "view_arguments")

    def has_view_health_permission(self, request: HttpRequest) -> bool:
        """May see the health of the console."""
        return self._may(request, "view_health")

    def has_kind_permission(
        self, request: HttpRequest, kind: str, migration: RegisteredMigration | None = None
    ) -> bool:
        """May ask for a run of that kind."""
        hooks = {
            Kind.RUN: self.has_run_permission,
            Kind.REVERSE: self.has_run_permission,
            Kind.DRY_RUN: self.has_dry_run_permission,
            Kind.MARK: self.has_mark_permission,
            Kind.UNMARK: self.has_unmark_permission,
        }
        return hooks[Kind(kind)](request, migration)


def require(allowed: bool, what: str) -> None:
    """Go on only if allowed.

    Raises:
        PermissionDenied: it is not; the message says what was asked for.
    """
    if not allowed:
        raise PermissionDenied(f"You may not {what}. Nothing was changed.")
