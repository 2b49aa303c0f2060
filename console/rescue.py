"""Runs whose process is gone: shown as interrupted, and taken up again where that is safe.

Any number of workers may sweep at once: each change is a compare-and-set.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.db import connections, transaction
from django.db.models import Q
from django.db.utils import Error, OperationalError
from django.utils import timezone

from data_migrations import checkpoints, databases
from data_migrations.models import Lease
from data_migrations.processes import Process, machine, started
from data_migrations.reporting import Door

from . import approval, conf, drain, queue, schedule, spool, states, store, uploads, worked
from .journal import Line
from .models import Attempt, Control, Kind, Run
from .states import Status

logger = logging.getLogger("console")

# A process that is there but silent (frozen, or busy without letting any thread of its run) gets longer;
# not so one that works in batches, of which hardly anything has to be done again.
SILENT_FACTOR = 4
# The bell is rung again ever more seldom, but at least so often.
MAX_RERING = timedelta(minutes=15)


def sweep() -> None:
    """Look after every run that may have lost its process, its message, or both."""
    now = databases.now(spool.alias())
    for run in Run.objects.filter(status=Status.RUNNING).defer("arguments", "changes", "course", "traceback"):
        why = _lost(run, now)
        if why:
            try:
                interrupt(run, why)
            except OperationalError:
                # Somebody holds its row, perhaps the very process that is frozen. The others come first.
                logger.warning("Run %s could not be looked after; the next round tries again.", run.pk, exc_info=True)
    approval.expire(now)
    for run_id in schedule.release_due(now):
        _ring_quietly(run_id)
        schedule.forget(run_id)
    ring_again(now)
    uploads.forget()


def _lost(run: Run, now: datetime) -> str:
    """Why the run counts as interrupted, or nothing."""
    attempt = run.attempts.filter(number=run.attempt).first()
    place = f"{run.host} (pid {run.pid})"
    process = Process(attempt.host, attempt.machine, attempt.pid or 0, attempt.pid_started) if attempt else None
    if process is not None and process.is_gone:
        return f"Its process on {place} is gone."
    silence = now - (run.heartbeat_at or run.started_at or run.requested_at)
    allowed = timedelta(seconds=conf.get("STUCK_SECONDS"))
    if process is not None and _is_here(process) and not run.in_batches:
        allowed *= SILENT_FACTOR
    if silence > allowed:
        return f"Its process on {place} gave no sign of life for {silence.total_seconds():.0f} s."
    return ""


def _is_here(process: Process) -> bool:
    """Whether the process runs on this machine for certain."""
    return bool(process.started) and process.machine == machine() and started(process.pid) == process.started


def interrupt(run: Run, why: str) -> None:
    """Close the attempt of a run, and put the run back into the queue where that is safe."""
    # What it printed last, and perhaps how it ended, comes first.
    drain.drain_orphans()
    rows = _rows_done(run)
    advice, to = _verdict(run, rows)
    now = timezone.now()
    # All or nothing: whoever is killed in the middle leaves it to the next one who looks after it.
    with transaction.atomic(using=spool.alias()):
        if not states.transition(
            run.pk,
            Status.INTERRUPTED,
            expect=Status.RUNNING,
            attempt=run.attempt,
            where={"heartbeat_at": run.heartbeat_at},
            note=f"{why} {advice}",
        ):
            return
        Attempt.objects.filter(run=run, number=run.attempt).update(ended_at=now, outcome="interrupted", rows=rows)
        worked.note(run.pk)
        store.append(run.pk, [Line(0, time.time(), "s", f"Interrupted: {why} {advice}")])
        if to != Status.INTERRUPTED:
            fields = _moments(to, now)
            states.transition(run.pk, to, expect=Status.INTERRUPTED, attempt=run.attempt, control="", **fields)
    logger.warning("Run %s of %s was interrupted. %s %s", run.pk, run.migration, why, advice)
    if to == Status.ENQUEUED:
        _ring_quietly(run.pk)


def _moments(to: Status, now: datetime) -> dict[str, Any]:
    """What is stored with a status of when it began."""
    if to == Status.ENQUEUED:
        return {"enqueued_at": now, "rung_at": now}
    return {"finished_at": now} if to == Status.CANCELLED else {}


def _rows_done(run: Run) -> int | None:
    """How far a batched run has come, as the database of the data says; None where it does not, or for another one."""
    if not run.in_batches or run.database not in connections:
        return None
    try:
        checkpoint = checkpoints.find(run.migration, run.database)
    except Error:
        return None
    return checkpoint.rows if checkpoint else 0


def _verdict(run: Run, rows: int | None) -> tuple[str, Status]:
    """What is to become of an interrupted run, in words and as a status."""
    if run.door != Door.WORKER.value and run.in_batches:
        again = "run it again with --force" if run.force else "run it again"
        return f"Its finished batches are kept: {again}, and it goes on after them.", Status.INTERRUPTED
    if run.door != Door.WORKER.value:
        return (
            "What an atomic migration did was undone with its transaction. Run it again the way it was started."
            if run.atomic
            else "It is not atomic, so a part of its work may be there. Look at the data, then run it again.",
            Status.INTERRUPTED,
        )
    if run.control in (Control.CANCEL, Control.FORCE):
        how = "cancelled" if run.control == Control.CANCEL else "stopped by force"
        return f"It had been {how} by {run.control_by}.", Status.CANCELLED
    if run.control == Control.PAUSE and run.in_batches:
        return f"It had been paused by {run.control_by}; its finished batches are kept.", Status.PAUSED
    if not _is_safe(run):
        return (
            "It is not atomic and its work had begun, so a part of it may be there. Look at the data; then resume "
            "this run, or mark the migration as applied.",
            Status.INTERRUPTED,
        )
    lost = _times_lost(run, rows) + 1
    most = conf.get("MAX_ATTEMPTS")
    if lost >= most:
        return (
            f"Now {lost:,} of its processes were lost one after another, so it is not taken up again by itself "
            "(CONSOLE['MAX_ATTEMPTS']). Find out what ends them (memory, perhaps), then resume this run.",
            Status.INTERRUPTED,
        )
    if run.in_batches:
        done = f" ({rows:,} rows)" if rows is not None else ""
        return f"Its finished batches are kept{done}; another worker goes on after them.", Status.ENQUEUED
    return "Nothing of its work was kept, so it is taken up again by another worker.", Status.ENQUEUED


def _times_lost(run: Run, rows: int | None) -> int:
    """How often it lost its process before; of a batched run, how often since it last came forward."""
    attempts = Attempt.objects.filter(run=run, outcome="interrupted").order_by("-number").values_list("rows", flat=True)
    if rows is None:
        return len(attempts)
    return sum(1 for _ in takewhile(lambda before: before == rows, attempts))


def _is_safe(run: Run) -> bool:
    """Whether running it again does nothing twice."""
    if run.atomic or run.in_batches or run.kind == Kind.DRY_RUN:
        return True
    if run.begun or run.database not in connections:
        return False
    # The word of the recorder may not have come through; the lease, in the data's own database, knows.
    lease = Lease.objects.using(run.database).filter(name=run.migration).first()
    return lease is None or not lease.unfinished


def ring_again(now: datetime) -> None:
    """Ring for runs that nobody claimed: a message may be lost (Redis, a rotated SECRET_KEY, a killed worker)."""
    patience = timedelta(seconds=conf.get("RERING_SECONDS"))
    waiting = Run.objects.filter(status=Status.ENQUEUED, door=Door.WORKER.value)
    due = waiting.filter(Q(rung_at=None, enqueued_at__lt=now - timedelta(seconds=5)) | Q(rung_at__lt=now - patience))
    for pk, enqueued, rung in due.values_list("pk", "enqueued_at", "rung_at"):
        # Twice as long each time: a queue that is merely busy is not filled with messages.
        if rung is not None and now - rung < min(MAX_RERING, max(patience, rung - enqueued)):
            continue
        # Of several workers that see it one rings.
        if waiting.filter(pk=pk, rung_at=rung).update(rung_at=now):
            logger.info("Nobody has taken run %s yet: the bell is rung again.", pk)
            _ring_quietly(pk)


def _ring_quietly(run_id: int) -> None:
    try:
        queue.ring(run_id)
    except queue.QueueUnreachable as error:
        logger.warning("The bell for run %s could not be rung again: %s. It stays in the queue.", run_id, error)
