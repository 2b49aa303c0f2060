"""What has to be there before a data migration may run."""

from __future__ import annotations

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from . import ledger
from .exceptions import DependencyNotApplied
from .work import Work


def require_dependencies(work: Work, using: str) -> None:
    """Refuse while a data migration or a Django migration that comes first is not applied.

    Raises:
        DependencyNotApplied: the message names them.
    """
    missing = ledger.not_applied(work.depends_on, using)
    if missing:
        raise DependencyNotApplied(
            f"{work.migration_name} depends on {', '.join(missing)}, not applied in {using!r} yet. "
            "Nothing was run. Run that first, then this again."
        )
    if work.requires_schema:
        known = MigrationRecorder(connections[using]).applied_migrations()
        absent = [".".join(key) for key in map(tuple, work.requires_schema) if key not in known]
        if absent:
            raise DependencyNotApplied(
                f"{work.migration_name} needs the schema of {', '.join(absent)}, not applied in {using!r} yet. "
                'Nothing was run. Run "manage.py migrate" first, then this again.'
            )
