"""Failures that stand: data migrations whose last run failed, so that nobody takes them for merely pending."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef

from .models import Kind, Run
from .states import FINISHED, Status

# So many of the newest failed runs are looked at, however many there are.
MOST_RUNS = 1_000
# What changes data or record; a dry run after a failure mends nothing, and one that fails breaks nothing.
_WORK = (Kind.RUN, Kind.REVERSE)
_COUNTED = (*_WORK, Kind.MARK, Kind.UNMARK)


def last(database: str, names: Collection[str] | None = None) -> dict[str, Run]:
    """The failed run of each data migration that has none after it that came to its end: one query.

    Args:
        database: the alias.
        names: only these; all where it is None.
    """
    same = Run.objects.filter(database=OuterRef("database"), migration=OuterRef("migration"), pk__gt=OuterRef("pk"))
    later = same.filter(kind__in=_COUNTED, status__in=FINISHED)
    failed = Run.objects.filter(status=Status.FAILED, database=database, kind__in=_WORK)
    if names is not None:
        failed = failed.filter(migration__in=names)
    newest = failed.order_by("-requested_at").annotate(was_followed=Exists(later))
    newest = newest.only("pk", "migration", "status", "kind", "requested_at", "finished_at", "error_message", "note")
    return {run.migration: run for run in newest[:MOST_RUNS] if not run.was_followed}
