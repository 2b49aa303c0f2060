"""Runs that stand as they ended: failed, or stopped to go on later, and nothing came after that says otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Exists, OuterRef

from .models import Kind, Run
from .states import FINISHED, RESUMABLE, Status

# So many of the newest such runs are looked at, however many there are.
MOST_RUNS = 1_000
# What changes data or record; a dry run after a failure mends nothing, and one that fails breaks nothing.
_WORK = (Kind.RUN, Kind.REVERSE)
_COUNTED = (*_WORK, Kind.MARK, Kind.UNMARK)


def failed(database: str, names: Collection[str] | None = None) -> dict[str, Run]:
    """The failed run of each data migration that has none after it that came to its end: one query.

    Args:
        database: the alias.
        names: only these; all where it is None.
    """
    return _newest((Status.FAILED,), FINISHED, database, names)


def held(database: str, names: Collection[str] | None = None) -> dict[str, Run]:
    """The paused or interrupted run of each data migration that can still be taken up again: one query.

    Until another one has succeeded: one that was cancelled, or failed, leaves it where it was. Arguments as
    ``failed`` has them.
    """
    return _newest(RESUMABLE, (Status.SUCCEEDED,), database, names)


def _newest(
    statuses: Iterable[Status], ended: Iterable[Status], database: str, names: Collection[str] | None
) -> dict[str, Run]:
    """The newest run of each data migration that has one of the statuses, and after it none that ended so."""
    same = Run.objects.filter(database=OuterRef("database"), migration=OuterRef("migration"), pk__gt=OuterRef("pk"))
    later = same.filter(kind__in=_COUNTED, status__in=ended)
    runs = Run.objects.filter(status__in=statuses, database=database, kind__in=_WORK)
    if names is not None:
        runs = runs.filter(migration__in=names)
    newest = runs.order_by("-requested_at").annotate(was_followed=Exists(later))
    newest = newest.defer("traceback", "sealed_arguments", "arguments", "changes", "samples", "course", "result")
    found: dict[str, Run] = {}
    for run in newest[:MOST_RUNS]:
        if not run.was_followed:
            found.setdefault(run.migration, run)
    return found
