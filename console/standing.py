"""Runs that stand as they ended: failed, cancelled, or stopped to go on later, and nothing came after them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Exists, OuterRef, Q

from .models import Kind, Run
from .states import RESUMABLE, Status

# So many of the newest such runs are looked at, however many there are.
MOST_RUNS = 1_000
# What changes data or record; a dry run after a failure mends nothing, and one that fails breaks nothing.
_WORK = (Kind.RUN, Kind.REVERSE)
_COUNTED = (*_WORK, Kind.MARK, Kind.UNMARK)
# What was cancelled before it began did nothing, and says nothing.
_UNBEGUN = Q(status=Status.CANCELLED, started_at=None)
_UNDONE = Q(status__in=(Status.FAILED, Status.CANCELLED)) & ~_UNBEGUN
# What came after a run that stopped, and went on in its place.
TAKEN_OVER = Q(kind__in=_WORK, started_at__isnull=False) | Q(kind__in=(Kind.MARK, Kind.UNMARK))


def ended(database: str, names: Collection[str] | None = None) -> dict[str, Run]:
    """The failed or cancelled run of each data migration that has none after it that came to its end.

    Three queries at the most.

    Args:
        database: the alias.
        names: only these; all where it is None.
    """
    followed = Q(kind__in=_COUNTED) & (Q(status=Status.SUCCEEDED) | _UNDONE)
    return _newest((Status.FAILED, Status.CANCELLED), followed, database, names)


def held(database: str, names: Collection[str] | None = None) -> dict[str, Run]:
    """The paused or interrupted run of each data migration that can still be taken up again.

    Until another one was begun, which went on in its place, or the record was set by hand. Arguments as ``ended``
    has them.
    """
    return _newest(RESUMABLE, TAKEN_OVER, database, names)


def _newest(statuses: Iterable[Status], followed: Q, database: str, names: Collection[str] | None) -> dict[str, Run]:
    """The newest run of each data migration that has one of the statuses, and was not followed by such a one."""
    same = Run.objects.filter(database=OuterRef("database"), migration=OuterRef("migration"), pk__gt=OuterRef("pk"))
    later = same.filter(followed)
    runs = Run.objects.filter(database=database, kind__in=_WORK).exclude(_UNBEGUN)
    if names is not None:
        runs = runs.filter(migration__in=names)
    newest = runs.order_by("-requested_at").annotate(was_followed=Exists(later))
    numbers: dict[str, int] = {}
    # One status after the other, each along the index by status, which ends with the time. For several at once SQLite
    # goes through all runs there are, by their time, and others sort them.
    for status in statuses:
        ended = newest.filter(status=status).values_list("pk", "migration", "was_followed")
        for pk, migration, was_followed in ended[:MOST_RUNS]:
            if not was_followed:
                numbers[migration] = max(pk, numbers.get(migration, 0))
    if not numbers:
        return {}
    found = Run.objects.filter(pk__in=numbers.values()).order_by()
    found = found.defer("traceback", "sealed_arguments", "arguments", "changes", "samples", "course", "result")
    return {run.migration: run for run in found}
