"""Taking away what is old or too much: logs, runs of the history, notices. In slices, so that nothing is held up.

Only finished runs are looked at, and each step is a compare-and-set in a short transaction of its own: any number
of workers may do it at once, and one that is killed leaves whole rows and right sums. Never taken away: what the
ledger has, marks and unmarks, and of each data migration the newest run and the newest that did its work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.db.utils import Error

from data_migrations import databases
from data_migrations.processes import Process

from . import conf, presence, spool
from .models import Kind, LogChunk, Notice, Run
from .states import FINISHED, Status
from .threads import ConsoleThread

logger = logging.getLogger("console")

# Rows of one transaction: of chunks at most 64 KiB each.
SLICE = 100
# After each slice the others get so many times as long as it took.
REST = 1.0
# A worker that has just started does its runs first.
FIRST_AFTER = 120.0

_thread: ConsoleThread | None = None
_prunes_from = time.monotonic() + FIRST_AFTER


@dataclass(frozen=True)
class Limits:
    """How much is kept; None: all of it. Days may be fractions; bytes are those of all logs together."""

    logs_days: float | None = None
    logs_bytes: int | None = None
    runs_days: float | None = None
    runs: int | None = None
    notices_days: float | None = None

    @classmethod
    def from_settings(cls) -> Limits:
        """What the settings say."""
        return cls(
            conf.get("KEEP_LOGS_DAYS"),
            conf.get("KEEP_LOGS_BYTES"),
            conf.get("KEEP_RUNS_DAYS"),
            conf.get("KEEP_RUNS"),
            conf.get("KEEP_NOTICES_DAYS"),
        )


@dataclass
class Pruned:
    """How much was, or would be, taken away; ``bytes`` are those of the ``logs``."""

    logs: int = 0
    bytes: int = 0
    runs: int = 0
    notices: int = 0

    def __str__(self) -> str:
        logs = f"{_number(self.logs, 'log')} ({self.bytes / 1024**2:,.1f} MiB)"
        return f"{logs}, {_number(self.runs, 'run')} of the history, {_number(self.notices, 'notice')}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Breaks:
    """Whether to go on, asked after each slice; gives the others the database for a while.

    Args:
        go_on: False ends it after the slice that is under way.
    """

    def __init__(self, go_on: Callable[[], bool] = lambda: True) -> None:
        self._go_on = go_on
        self._since = time.monotonic()

    def __call__(self) -> bool:
        """False: stop here; all that was done is whole."""
        took = time.monotonic() - self._since
        time.sleep(min(took * REST, 1.0))
        self._since = time.monotonic()
        return self._go_on()


def tick() -> None:
    """Prune when it is time, in a thread of its own; of the workers the one that has been there longest does it."""
    global _thread, _prunes_from
    every = conf.get("PRUNE_SECONDS")
    if every is None or time.monotonic() < _prunes_from or (_thread is not None and _thread.is_alive()):
        return
    if not _is_first():
        _prunes_from = time.monotonic() + 60
        return
    _prunes_from = time.monotonic() + every
    _thread = ConsoleThread("console retention", _prune_quietly)
    _thread.start()


def _is_first() -> bool:
    """Whether no other worker that is alive was there before this one: one is enough, more would do no harm."""
    me = Process.current()
    first = presence.seen().filter(draining=False).order_by("pk").first()
    return first is not None and Process(first.host, first.machine, first.pid, first.pid_started) == me


def _prune_quietly() -> None:
    global _prunes_from
    try:
        spool.prepare_connection()
        pruned = prune(Limits.from_settings(), go_on=lambda: not presence.is_draining())
    except Error as error:
        logger.warning("What is old could not all be taken away; it goes on in a minute: %s", error)
        _prunes_from = time.monotonic() + 60
    except Exception:
        logger.exception("What is old could not all be taken away; the next round goes on there.")
    else:
        if pruned != Pruned():
            logger.info("Taken away because of age or size: %s.", pruned)


def prune(limits: Limits, *, go_on: Callable[[], bool] = lambda: True) -> Pruned:
    """Take away what is beyond the limits, slice by slice.

    Args:
        go_on: asked after each slice; False ends it there. The next call goes on.

    Returns:
        What was taken away, also when it was ended early.
    """
    now = databases.now(spool.alias())
    pruned = Pruned()
    breaks = Breaks(go_on)
    if not breaks():
        return pruned
    for pk, weight in _logs(limits, now, is_rehearsal=False):
        if _begin_log(pk, now):
            pruned.logs += 1
            pruned.bytes += weight
        if not _take_log(pk, breaks):
            return pruned
    for pks in _runs(limits, now):
        for pk in pks:
            _begin_log(pk, now)
            if not _take_log(pk, breaks):
                return pruned
        pruned.runs += _take_runs(pks)
        if not breaks():
            return pruned
    for pks in _notices(limits, now):
        pruned.notices += Notice.objects.filter(pk__in=pks, due_at=None).delete()[0]
        if not breaks():
            return pruned
    return pruned


def plan(limits: Limits) -> Pruned:
    """What ``prune`` would take away now; nothing is changed."""
    now = databases.now(spool.alias())
    found = Pruned()
    for _, weight in _logs(limits, now, is_rehearsal=True):
        found.logs += 1
        found.bytes += weight
    found.runs = sum(map(len, _runs(limits, now)))
    found.notices = sum(map(len, _notices(limits, now)))
    return found


# Which.


def _finished() -> QuerySet[Run]:
    return Run.objects.filter(status__in=FINISHED).order_by("pk")


def _before(cutoff: datetime) -> Q:
    return Q(finished_at__lt=cutoff) | Q(finished_at=None, requested_at__lt=cutoff)


def _logs(limits: Limits, now: datetime, *, is_rehearsal: bool) -> Iterator[tuple[int, int]]:
    """The runs whose log goes, with its bytes: what was begun earlier, the old, then the oldest of too much."""
    if not is_rehearsal:
        yield from _in_turn(_finished().filter(log_kept__gt=0).exclude(log_pruned_at=None))
    logs = _finished().filter(log_pruned_at=None, log_next__gt=1)
    surplus = None
    if limits.logs_bytes is not None:
        surplus = _total() - limits.logs_bytes
    if limits.logs_days is not None:
        is_old = _before(now - timedelta(days=limits.logs_days))
        for pk, weight in _in_turn(logs.filter(is_old)):
            yield pk, weight
            if surplus is not None:
                surplus -= weight
        logs = logs.exclude(is_old)
    if surplus is None or surplus <= 0:
        return
    # A migration's newest run is the one that people look at, so that its log goes last.
    for is_newest in (False, True):
        these = logs.filter(log_kept__gt=0).annotate(has_newer=Exists(_newer()))
        for pk, weight in _in_turn(these.filter(has_newer=not is_newest)):
            yield pk, weight
            surplus -= weight
            if surplus <= 0:
                return


def _total() -> int:
    """Bytes of all logs that are kept."""
    return Run.objects.filter(log_pruned_at=None).aggregate(total=Sum("log_kept"))["total"] or 0


def _in_turn(runs: QuerySet[Run]) -> Iterator[tuple[int, int]]:
    """Key and bytes of each, fetched a few at a time: in between the caller changes them."""
    last = 0
    while batch := list(runs.filter(pk__gt=last).values_list("pk", "log_kept")[:SLICE]):
        yield from batch
        last = batch[-1][0]


def _real() -> QuerySet[Run]:
    """Runs that a person or a deploy wanted: marks and unmarks are no runs, and are never taken away."""
    return Run.objects.filter(kind__in=(Kind.RUN, Kind.DRY_RUN, Kind.REVERSE))


def _newer() -> QuerySet[Run]:
    return _real().filter(migration=OuterRef("migration"), database=OuterRef("database"), pk__gt=OuterRef("pk"))


def _runs(limits: Limits, now: datetime) -> Iterator[list[int]]:
    """The runs that go, a slice at a time."""
    did_it = Q(status=Status.SUCCEEDED, kind__in=(Kind.RUN, Kind.REVERSE), begun=True)
    others = _real().filter(status__in=FINISHED).filter(Exists(_newer()))
    others = others.exclude(did_it & ~Exists(_newer().filter(did_it))).order_by("pk")
    if limits.runs_days is not None:
        is_old = _before(now - timedelta(days=limits.runs_days))
        yield from _slices(others.filter(is_old))
        others = others.exclude(is_old)
    if limits.runs is not None:
        groups = _real().order_by().values("migration", "database").annotate(n=Count("pk")).filter(n__gt=limits.runs)
        for group in list(groups.values_list("migration", "database")):
            migration, database = group
            of_it = _real().filter(migration=migration, database=database).order_by("-pk")
            # The newest of those that are too many.
            surplus = of_it.values_list("pk", flat=True)[limits.runs : limits.runs + 1].first()
            if surplus is not None:
                yield from _slices(others.filter(migration=migration, database=database, pk__lte=surplus))


def _slices(rows: QuerySet[Run] | QuerySet[Notice]) -> Iterator[list[int]]:
    last = 0
    while pks := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:SLICE]):
        yield pks
        last = pks[-1]


def _notices(limits: Limits, now: datetime) -> Iterator[list[int]]:
    """Notices that were sent or given up long ago."""
    if limits.notices_days is not None:
        cutoff = now - timedelta(days=limits.notices_days)
        yield from _slices(Notice.objects.filter(due_at=None, created_at__lt=cutoff).order_by("pk"))


# How.


def _begin_log(pk: int, now: datetime) -> bool:
    """Say on the run that its log is gone, before the first line goes; False when that was said already."""
    return Run.objects.filter(pk=pk, status__in=FINISHED, log_pruned_at=None).update(log_pruned_at=now) == 1


def _take_log(pk: int, breaks: Breaks) -> bool:
    """Take all chunks of a run; False when told to stop. The numbers of its lines stay as they are."""
    while True:
        chunks = list(LogChunk.objects.filter(run_id=pk).order_by("first").values_list("pk", "bytes")[:SLICE])
        kept = Run.objects.filter(pk=pk, status__in=FINISHED).values_list("log_kept", flat=True).first()
        if kept is None or (not chunks and not kept):
            return True
        left = max(kept - sum(weight for _, weight in chunks), 0 if len(chunks) < SLICE else 1)
        with transaction.atomic(using=spool.alias()):
            # Whoever was faster has changed the sum: then look again.
            if Run.objects.filter(pk=pk, log_kept=kept).update(log_kept=left if chunks else 0):
                LogChunk.objects.filter(pk__in=[chunk for chunk, _ in chunks]).delete()
        if not breaks():
            return False


def _take_runs(pks: list[int]) -> int:
    """Take rows of the history whose logs are gone already; gives how many."""
    with transaction.atomic(using=spool.alias()):
        _, by_model = Run.objects.filter(pk__in=pks, status__in=FINISHED).delete()
    return by_model.get(Run._meta.label, 0)
