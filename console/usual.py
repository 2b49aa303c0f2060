"""How long a data migration usually takes: the median of its last runs of the same kind that succeeded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from .endings import NOTHING_DONE
from .models import Kind, Run, RunQuerySet
from .states import Status
from .words import duration

# The kinds that take time.
TIMED = (Kind.RUN, Kind.DRY_RUN, Kind.REVERSE)
LAST = 10
# One run alone is not what is usual.
FEWEST = 2
# Below this, in seconds, a difference says more about the machine than about the migration.
NOTICEABLE = 1.0

Times = list[tuple[int, float]]


class Durations:
    """The seconds of the last runs, by data migration and kind, newest first, with the number of each run."""

    def __init__(self, times: dict[tuple[str, str], Times]) -> None:
        self._times = times

    def before(self, run: Run) -> float | None:
        """What was usual before that run, in seconds; None where there were too few."""
        times = self._times.get((run.migration, run.kind), [])
        return _median([seconds for pk, seconds in times if pk < run.pk])

    def of(self, name: str, kind: str = Kind.RUN) -> float | None:
        """What is usual now, in seconds; None where there were too few."""
        return _median([seconds for _, seconds in self._times.get((name, kind), [])])


def read(database: str, names: Iterable[str], *, last: int = LAST + 1) -> Durations:
    """The durations of several data migrations, in one query; ``last`` runs of each kind."""
    newest = Window(RowNumber(), partition_by=[F("migration"), F("kind")], order_by=F("id").desc())
    runs = _done().filter(database=database, migration__in=list(names)).order_by()
    times: dict[tuple[str, str], Times] = {}
    rows = runs.annotate(newest=newest).filter(newest__lte=last).values_list("migration", "kind", "id", *_ENDS)
    for migration, kind, pk, *ends in rows:
        times.setdefault((migration, kind), []).append((pk, _seconds(*ends)))
    for each in times.values():
        each.sort(reverse=True)
    return Durations(times)


def before(run: Run) -> float | None:
    """What was usual before that run, in seconds; None where there were too few."""
    if run.kind not in TIMED:
        return None
    earlier = _done().filter(migration=run.migration, database=run.database, kind=run.kind, pk__lt=run.pk)
    ends = earlier.order_by("-id").values_list(*_ENDS)[:LAST]
    return _median([_seconds(*each) for each in ends])


_ENDS = ("started_at", "finished_at", "worked_seconds")


def _seconds(started: datetime, finished: datetime, worked: float | None) -> float:
    return (finished - started).total_seconds() if worked is None else worked


def _done() -> RunQuerySet:
    """Those that did the whole work.

    Neither a failure nor "already applied" tells how long it takes, nor does what went on after another run.
    """
    runs = Run.objects.filter(kind__in=TIMED, status=Status.SUCCEEDED, started_at__isnull=False)
    return runs.filter(finished_at__isnull=False).exclude(note__in=NOTHING_DONE).exclude(rows_before__gt=0)


def _median(seconds: list[float]) -> float | None:
    return median(seconds[:LAST]) if len(seconds) >= FEWEST else None


def words(run: Run, usual: float | None) -> str:
    """ "2.3 × its usual 4 m 02 s"; empty where there is nothing to say."""
    if usual is None or run.elapsed is None or run.kind not in TIMED or run.note in NOTHING_DONE or run.rows_before:
        return ""
    return against(run.elapsed, usual, is_over=run.finished_at is not None)


def against(taken: timedelta, usual: float, *, is_over: bool = True) -> str:
    """The same for any duration; one that is not over yet is compared once it takes longer than usual."""
    seconds = taken.total_seconds()
    if max(seconds, usual) < NOTICEABLE:
        return ""
    ratio = seconds / usual if usual else float("inf")
    if not is_over and ratio <= 1.15:
        return f"usually {duration(usual)}"
    if 0.85 < ratio < 1.15:
        return f"about its usual {duration(usual)}"
    if ratio < 0.1:
        return f"less than a tenth of its usual {duration(usual)}"
    return (
        f"{ratio:,.0f} × its usual {duration(usual)}" if ratio >= 10 else f"{ratio:.1f} × its usual {duration(usual)}"
    )
