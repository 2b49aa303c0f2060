"""Which events are told, and to whom: a notice is written beside the status that it tells of, and sent later.

The row is part of the same transaction as the status, so that neither is there without the other. Sending is the
matter of ``outbox``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from django.core.management import get_commands
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from data_migrations import databases

from . import approval, channels, conf, spool, states, wording
from .models import Attempt, Notice, Run
from .states import Status
from .wording import Event

logger = logging.getLogger("console")

_EVENTS = {
    Status.FAILED: Event.FAILED,
    Status.SUCCEEDED: Event.FINISHED,
    Status.WAITING: Event.WAITING,
    Status.CANCELLED: Event.EXPIRED,
}
# A run that is silent is interrupted by then, if it can be (rescue.SILENT_FACTOR).
SILENT_FACTOR = 6
# What was interrupted longer ago is old news, as when somebody sets up notices for the first time.
OLD_NEWS = timedelta(days=1)
# Seconds between two looks for runs that are stuck.
LOOK_SECONDS = 20.0

_looks_from = 0.0


def start() -> None:
    """Tell from now on what the statuses of runs say."""
    states.listen(_EVENTS, _status_changed)


def _status_changed(run_id: int, status: Status) -> None:
    with _never_in_the_way(run_id):
        run = Run.objects.defer("arguments", "changes", "course", "samples", "traceback").get(pk=run_id)
        _tell(run)


def tell(run: Run) -> None:
    """Write the notices that the present status of a run calls for, for one that was just made with that status."""
    with _never_in_the_way(run.pk):
        _tell(run)


@contextmanager
def _never_in_the_way(run_id: int) -> Iterator[None]:
    """Whatever goes wrong in here, the status is written and the transaction around is as good as before."""
    try:
        with transaction.atomic(using=spool.alias()):
            yield
    except Exception:
        logger.exception("No notice could be written of run %s.", run_id)


def _tell(run: Run) -> None:
    event = _EVENTS.get(Status(run.status))
    if event is not None and (event not in _CONDITIONS or _CONDITIONS[event](run)):
        _write(event, run, run.key)


def chosen(event: Event, run: Run) -> list[str]:
    """The channels for an event of a run: those of its command where that names the event, else the site's."""
    for choice in (_own(run), conf.get("NOTIFY")):
        if choice and event.value in choice:
            return list(dict.fromkeys(choice[event.value]))
    return []


def _own(run: Run) -> Any:
    """What the run's command itself says; found without importing all other commands in the middle of a transaction."""
    app = get_commands().get(run.command_name)
    if app is None:
        return None
    if not isinstance(app, str):
        return getattr(app, "notify", None)
    try:
        module = import_module(f"{app}.management.commands.{run.command_name}")
    except Exception:
        # A broken module cannot say anything, least of all keep people from hearing of it.
        return None
    return getattr(getattr(module, "Command", None), "notify", None)


def _took_long(run: Run) -> bool:
    minutes = conf.get("NOTIFY_FINISHED_MINUTES")
    return minutes is not None and run.elapsed is not None and run.elapsed >= timedelta(minutes=minutes)


def _has_expired(run: Run) -> bool:
    """Whether it was cancelled because nobody approved it; a person who cancels or rejects a run knows of it."""
    return run.note == approval.EXPIRED


# Only then what the status says is told.
_CONDITIONS = {Event.FINISHED: _took_long, Event.EXPIRED: _has_expired}


def _write(event: Event, run: Run, ident: str) -> None:
    """Write a notice for each channel; one that is there already stays as it is.

    Args:
        ident: what makes the event; the same event of the same run is told once.
    """
    wanted = [name for name in chosen(event, run) if channels.usable(name, run.requested_by_pk)]
    if not wanted:
        return
    subject, text = wording.subject(event, run), wording.text(event, run)
    now = timezone.now()
    notices = [
        Notice(
            run=run,
            event=event.value,
            channel=name[: channels.NAME_LENGTH],
            once_key=once_key(event, ident, name),
            subject=subject,
            text=text,
            created_at=now,
            due_at=now,
        )
        for name in wanted
    ]
    Notice.objects.bulk_create(notices, ignore_conflicts=True)


def once_key(event: Event, ident: str, channel: str) -> str:
    """What a notice is known by."""
    return f"{ident}:{event.value}:{channel[: channels.NAME_LENGTH]}"


def look_around() -> None:
    """Write notices of runs that are stuck: no status says so, since it is that nothing happens."""
    global _looks_from
    if time.monotonic() >= _looks_from:
        _looks_from = time.monotonic() + LOOK_SECONDS
        tell_stuck(databases.now(spool.alias()))


def tell_stuck(now: datetime) -> int:
    """Write notices of the runs that are stuck now; gives how many such runs there are."""
    runs = {(run.pk, run.status): run for run in _stuck(now)}
    idents = {where: f"{run.key}-{run.status}-{run.attempt}" for where, run in runs.items()}
    known = _known(idents.values())
    for where, run in runs.items():
        if idents[where] not in known:
            _write(Event.STUCK, run, idents[where])
    return len(runs)


def _known(idents: Iterable[str]) -> set[str]:
    keys = [once_key(Event.STUCK, ident, name) for ident in idents for name in channels.names()]
    found = Notice.objects.filter(once_key__in=keys).order_by().values_list("once_key", flat=True)
    return {key.partition(":")[0] for key in found}


def _stuck(now: datetime) -> list[Run]:
    alive = Coalesce("heartbeat_at", "started_at", "requested_at")
    silent = timedelta(seconds=conf.get("STUCK_SECONDS"))
    runs = Run.objects.annotate(alive=alive).defer("arguments", "changes", "course", "samples", "traceback")
    closed = Attempt.objects.filter(run=OuterRef("pk"), number=OuterRef("attempt"), ended_at__lt=now - OLD_NEWS)
    # The rescue interrupts a run first and takes it up again then: give it the time.
    interrupted = runs.filter(status=Status.INTERRUPTED, alive__lt=now - silent).exclude(Exists(closed))
    # It should have been interrupted, and was not: its row is held by somebody, or no worker can sweep.
    hanging = runs.filter(status=Status.RUNNING, alive__lt=now - SILENT_FACTOR * silent)
    patience = timedelta(minutes=conf.get("NOTIFY_STUCK_MINUTES"))
    left = runs.filter(status=Status.ENQUEUED, enqueued_at__lt=now - patience, door="worker")
    # Behind a run that takes long the others wait as they should; but not one that lost its process already.
    if Run.objects.filter(status=Status.RUNNING, door="worker").exists():
        left = left.filter(attempt__gt=0)
    # Its time has come, and no worker looks for such runs.
    late = runs.filter(status=Status.SCHEDULED, start_at__lt=now - patience)
    return [run for each in (interrupted, hanging, left, late) for run in each.order_by("pk")[:100]]


def failing() -> list[tuple[str, int, str]]:
    """The channels that cannot be used: name, how many notices were given up or are being tried again, last error.

    A channel that has sent something since is well.
    """
    later = Notice.objects.filter(channel=OuterRef("channel"), sent_at__gt=OuterRef("created_at"))
    rows = (
        Notice.objects.filter(Q(due_at=None) | Q(tries__gte=2), sent_at=None, tries__gt=0)
        .filter(created_at__gt=timezone.now() - timedelta(days=7))
        .exclude(Exists(later))
        .order_by("pk")
        .values_list("channel", "error")
    )
    found: dict[str, tuple[int, str]] = {}
    for channel, error in rows[:1000]:
        found[channel] = (found.get(channel, (0, ""))[0] + 1, error)
    return [(channel, count, error) for channel, (count, error) in sorted(found.items())]


def overdue(now: datetime) -> int:
    """How many notices should have been sent a while ago and were not even tried: nobody sends."""
    return Notice.objects.filter(due_at__lt=now - timedelta(minutes=15)).count()
