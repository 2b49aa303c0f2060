"""Dry runs that were done before: what a run that is about to be confirmed would change, as far as somebody tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Subquery
from django.db.models.functions import Coalesce

from data_migrations import arguments
from data_migrations.exceptions import InvalidArgument
from data_migrations.registry import RegisteredMigration

from .endings import NOTHING_DONE
from .models import Kind, Run
from .states import Status

# So many of the newest are looked through for the one with the same parameters.
MOST_RUNS = 20


class Parameters:
    """What a command is run with, its defaults among it, to be compared with what is kept of a run.

    Values that are hidden are the same wherever they are given: they are not kept.

    Args:
        shown: what is given, as it is kept with a run.
    """

    def __init__(self, command: BaseCommand, shown: Mapping[str, Any]) -> None:
        self._defaults = arguments.defaults(command, {})
        self._all = self._with_defaults(shown)

    @classmethod
    def asked(cls, migration: RegisteredMigration, values: Mapping[str, Any]) -> Parameters | None:
        """Those that a run is asked for with; None where the command would not take them."""
        if migration.command_class is None:
            return None
        command = migration.command_class()
        try:
            shown = arguments.masked(command, arguments.to_options(command, values))
        except InvalidArgument:
            return None
        return cls(command, {dest: value for dest, value in shown.items() if dest in values})

    @classmethod
    def kept(cls, migration: RegisteredMigration, run: Run) -> Parameters | None:
        """Those that are kept of a run; None where the command cannot be loaded here."""
        return None if migration.command_class is None else cls(migration.command_class(), run.arguments)

    def are_of(self, run: Run) -> bool:
        """Whether a run had the same; a shell keeps what was not given, too."""
        return self._with_defaults(run.arguments) == self._all

    def _with_defaults(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        known = {**self._defaults, **shown}
        return {dest: value for dest, value in known.items() if value not in (None, "", [])}


def last(migration: RegisteredMigration, database: str, wanted: Parameters | None) -> Run | None:
    """The newest dry run of the same code in the same database with those parameters; None where there is none.

    Nor where a run came after it that did, or undid, what it tried.
    """
    if wanted is None:
        return None
    runs = Run.objects.of(migration.name).filter(database=database, status=Status.SUCCEEDED)
    over = runs.filter(kind__in=(Kind.RUN, Kind.REVERSE)).exclude(note__in=NOTHING_DONE).values("pk")[:1]
    done = runs.filter(kind=Kind.DRY_RUN, checksum=migration.checksum, pk__gt=Coalesce(Subquery(over), 0))
    done = done.defer("traceback", "sealed_arguments", "samples")
    return next((run for run in done[:MOST_RUNS] if wanted.are_of(run)), None)
