"""What a worker does with a message: claim the run, record it, run it, finish it."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from data_migrations import clock, databases, executor, registry, stopping, windows
from data_migrations.exceptions import DataMigrationError, OutsideWindow, Refused, UnknownMigration
from data_migrations.processes import Process
from data_migrations.reporting import Door
from data_migrations.stopping import StopFlag

from . import approval, conf, dispatch, forcing, health, presence, schedule, sealing, spool, states, uploads
from .endings import Ending
from .forcing import ForcedStop
from .models import Attempt, Control, Kind, Run
from .recorder import Recorder
from .states import Status

logger = logging.getLogger("console")

_WORDS = {
    Control.CANCEL.value: "cancelled",
    Control.PAUSE.value: "paused",
    Control.FORCE.value: forcing.REASON,
    "stop": "the worker is asked to stop",
    "superseded": "another worker has taken this run over",
}


@dataclass(frozen=True)
class Claim:
    """A run that is ours, and the number of our attempt: the fencing token of all that we write."""

    run: Run
    number: int


def perform(run_id: int) -> None:
    """Carry out a run. This is what django-q2 calls.

    Nothing leaves it: an exception, ``SystemExit`` among them (the queue's timeout is one), would have
    the message delivered again and again.
    """
    try:
        _perform(run_id)
    except BaseException:
        logger.critical("Run %s could not be carried out; it will be rescued.", run_id, exc_info=True)


def _perform(run_id: int) -> None:
    if presence.is_draining():
        # This worker is about to end. The bell is rung again for another one.
        logger.info("Run %s is left to another worker: this one is asked to stop.", run_id)
        return
    # Where this is the message of a schedule.
    schedule.release(run_id, databases.now(spool.alias()))
    claim = take(run_id)
    if claim is None:
        return
    presence.at_work_on(run_id)
    try:
        carry_out(claim)
    finally:
        presence.at_work_on(None)


def take(run_id: int) -> Claim | None:
    """Claim a run by compare-and-set; None when it is not there to be taken, as when its message came twice."""
    process = Process.current()
    now = timezone.now()
    with transaction.atomic(using=spool.alias()):
        taken = states.transition(
            run_id,
            Status.RUNNING,
            expect=Status.ENQUEUED,
            next_attempt=True,
            started_at=Coalesce("started_at", Value(now)),
            attempt_at=now,
            heartbeat_at=databases.now(spool.alias()),
            host=process.host,
            pid=process.pid,
            release=conf.get("RELEASE"),
            begun=False,
            # Nobody knows yet how fast this attempt goes: pace and machine may be others than before.
            rate=None,
            waiting_for="",
            control="",
        )
        if not taken:
            return None
        run = Run.objects.get(pk=run_id)
        Attempt.objects.create(
            run=run,
            number=run.attempt,
            host=process.host,
            pid=process.pid,
            machine=process.machine,
            pid_started=process.started,
            worker=presence.name(),
            started_at=now,
        )
    return Claim(run, run.attempt)


def carry_out(claim: Claim) -> None:
    """Run what was claimed, and see that its end is written whatever happens."""
    run = claim.run
    stop = StopFlag()
    forced = ForcedStop(stop)
    try:
        recorder = forced.recorder = _recorder(claim, stop, forced)
    except OSError as error:
        _fail(claim, error)
        return
    if claim.number > 1:
        process = Process.current()
        recorder.attempt_began(claim.number, process.host, process.pid)
    with forced.watching():
        _carry_out(run, recorder, stop)
    if recorder.handed_back:
        dispatch.ring_on_commit(run.pk)
    elif recorder.is_put_off:
        schedule.plan(run.pk)


def _carry_out(run: Run, recorder: Recorder, stop: StopFlag) -> None:
    try:
        with stopping.signals(stop, lambda text: recorder.message("warning", text)):
            _run(run, recorder, stop)
    except DataMigrationError as error:
        # The executor has told the recorder, except when it could not even begin.
        recorder.failed(error, "")
    except BaseException as error:
        # Also the queue's timeout and a call of sys.exit().
        recorder.failed(error, traceback.format_exc())
    finally:
        recorder.end(Ending(Status.FAILED, "no end", {"error_message": "The run ended without saying how."}))


def _recorder(claim: Claim, stop: StopFlag, forced: ForcedStop) -> Recorder:
    def control(word: str) -> None:
        stop.request(_WORDS.get(word, word))
        if word == Control.FORCE:
            forced.begin()

    head = {"key": claim.run.key, "attempt": {"number": claim.number}}
    return Recorder(
        head,
        secrets=_secrets(claim.run),
        on_control=control,
        # A line that is half written would take its number away from the next one.
        shield=partial(stop.shield, commits=False),
        is_stopping=presence.is_draining,
        put_off=partial(_put_off, claim.run),
    )


def _put_off(run: Run, when: datetime) -> dict[str, Any]:
    """What is stored of a run whose daily window closed; what was approved of it goes on to hold."""
    run.start_at = clock.stored(when)
    stamp = {"fingerprint": approval.fingerprint(run)} if run.fingerprint else {}
    return {"start_at": run.start_at.isoformat(), **stamp}


def _run(run: Run, recorder: Recorder, stop: StopFlag) -> None:
    migration = _registered(run)
    _require_open_window(run, migration)
    with uploads.local(_values(run)) as values:
        executor.run_command(
            migration.command_name,
            using=run.database,
            values=values,
            dry_run=run.kind == Kind.DRY_RUN,
            force=run.force,
            reverse=run.kind == Kind.REVERSE,
            window=windows.IGNORE if run.ignore_window else windows.LEAVE,
            door=Door.WORKER,
            by=run.requested_by,
            reason=run.reason,
            reporters=[recorder],
            stop=stop,
            key=run.key,
        )


def _registered(run: Run) -> registry.RegisteredMigration:
    """The code of the run, as this worker has it.

    Raises:
        UnknownMigration: this worker does not know it.
        Refused: it is not the code for which the run was confirmed, or not what a second person approved.
    """
    process = Process.current()
    here = f"this worker ({process.host}, pid {process.pid}, its code loaded {presence.LOADED_AT:%Y-%m-%d %H:%M:%S %Z})"
    try:
        migration = registry.get(run.migration)
    except UnknownMigration as error:
        raise UnknownMigration(
            f"{error} Perhaps {here} started before that code was deployed: "
            f"restart it ({health.START_WORKER}), then run it again."
        ) from error
    # A run that goes on was confirmed before: a deployment in between is how an error in it is mended.
    if run.attempt == 1 and run.checksum and migration.checksum and run.checksum != migration.checksum:
        raise Refused(
            f"The code of {run.migration} that {here} has loaded is not the one that was confirmed, so nothing was "
            f"run. Restart the worker ({health.START_WORKER}), or look at the change, and run it again."
        )
    if reason := approval.refusal(run, migration):
        raise Refused(reason)
    return migration


def _require_open_window(run: Run, migration: registry.RegisteredMigration) -> None:
    """Look at the window before anything is counted or locked.

    Raises:
        OutsideWindow: it is closed.
    """
    window = None if run.ignore_window else schedule.window_of(migration, run.kind)
    now = timezone.now()
    if window is not None and not window.is_open(now):
        raise OutsideWindow(run.migration, window, window.next_opening(now))


def _values(run: Run) -> dict[str, Any]:
    """The arguments as they were given. They are checked again by the executor, against the code of this worker."""
    return approval.values_of(run)


def _secrets(run: Run) -> list[Any]:
    if not run.sealed_arguments:
        return []
    try:
        sensitive = registry.get(run.migration).sensitive_arguments
        values = sealing.unseal(run.sealed_arguments)
    except DataMigrationError:
        # _run meets the same and says so.
        return []
    return [values[dest] for dest in sensitive if dest in values]


def _fail(claim: Claim, error: OSError) -> None:
    """Without a place for its log a run is not begun."""
    now = timezone.now()
    states.transition(
        claim.run.pk,
        Status.FAILED,
        expect=Status.RUNNING,
        attempt=claim.number,
        finished_at=now,
        error_class=type(error).__name__,
        error_message=f"There is no place to keep the log, so nothing was run: {error}",
        sealed_arguments="",
    )
    Attempt.objects.filter(run=claim.run, number=claim.number).update(ended_at=now, outcome="no place for the log")
