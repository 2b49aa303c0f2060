"""Runs that begin later: at a time that was asked for, or when their daily window opens.

The Run row says when. django-q2's schedule rings at that time; where that message is lost, the workers' sweep finds the
run. Both only ask ``release``, which lets one of them through.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from data_migrations import clock, registry, windows
from data_migrations.exceptions import UnknownMigration
from data_migrations.registry import RegisteredMigration
from data_migrations.windows import Window

from . import queue, states
from .models import Kind, Run
from .states import Status

logger = logging.getLogger("console")

FARTHEST = timedelta(days=366)
FAR = "That is more than a year ahead."


class InvalidStart(ValueError):
    """That is no time at which a run could start."""


def window_of(migration: RegisteredMigration | None, kind: str) -> Window | None:
    """The daily window that such a run keeps; None where it keeps none."""
    if migration is None or migration.command_class is None or kind != Kind.RUN:
        return None
    try:
        return windows.of(migration.command_class)
    except windows.InvalidWindow:
        # "manage.py check" says so; here it would only be in the way of a page.
        return None


def is_shut(run: Run, now: datetime) -> bool:
    """Whether the daily window of a run is closed, and not put aside."""
    if run.ignore_window:
        return False
    try:
        window = window_of(registry.get(run.migration), run.kind)
    except UnknownMigration:
        return False
    return window is not None and not window.is_open(now)


def start_of(window: Window | None, asked: datetime | None, now: datetime) -> datetime | None:
    """When a run begins that is asked for now; None for at once.

    Args:
        asked: not before this moment.
    """
    first = asked if asked is not None and asked > now else now
    if window is not None:
        first = clock.stored(window.next_opening(first))
    return first if first > now else None


def moment(shown: datetime) -> datetime:
    """The moment, as models keep it, at which the clock of the site shows a time; of two such moments the first.

    Raises:
        InvalidStart: the clock never shows it, since it is put forward.
    """
    zone = timezone.get_default_timezone()
    found = shown.replace(tzinfo=zone, fold=0)
    # Not in that zone: times of an hour that comes twice are equal to none of another one.
    try:
        moment = found.astimezone(UTC)
    except OverflowError as error:
        raise InvalidStart(FAR) from error
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) != shown:
        raise InvalidStart("The clocks are put forward then: that time does not exist. Choose another.")
    return clock.stored(moment)


def check(start_at: datetime, now: datetime) -> None:
    """See that a run can start then.

    Raises:
        InvalidStart: with the reason.
    """
    if start_at <= now:
        raise InvalidStart("That time is past. Choose a later one, or leave it empty to start at once.")
    if start_at > now + FARTHEST:
        raise InvalidStart(FAR)


def plan(run_id: int) -> None:
    """Have the queue ring when the run is to start. Call it after the commit that made it scheduled."""
    start_at = Run.objects.filter(pk=run_id, status=Status.SCHEDULED).values_list("start_at", flat=True).first()
    if start_at is None:
        return
    try:
        queue.ring_at(run_id, start_at)
    except queue.QueueUnreachable as error:
        logger.warning("Run %s is in no schedule of the queue (%s); the workers' sweep will start it.", run_id, error)


def forget(run_id: int) -> None:
    """Take the run out of the queue's schedule. What could not be taken out rings for nothing."""
    try:
        queue.ring_not(run_id)
    except queue.QueueUnreachable as error:
        logger.warning("Run %s stays in the schedule of the queue: %s", run_id, error)


def release(run_id: int, now: datetime) -> bool:
    """Put a scheduled run whose time has come into the queue. False: it has not, or somebody else was faster."""
    if not Run.objects.filter(pk=run_id, status=Status.SCHEDULED, start_at__lte=now).exists():
        return False
    with states.locked(run_id):
        return states.transition(
            run_id,
            Status.ENQUEUED,
            expect=Status.SCHEDULED,
            where={"start_at__lte": now},
            enqueued_at=now,
            rung_at=now,
        )


def release_due(now: datetime) -> list[int]:
    """Release all whose time has come; gives those for which the bell is to be rung."""
    due = Run.objects.filter(status=Status.SCHEDULED, start_at__lte=now).values_list("pk", flat=True)
    return [pk for pk in list(due) if release(pk, now)]
