"""What a second person says to a run that waits for it: yes or no, once, with the run's row locked."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from data_migrations import registry
from data_migrations.exceptions import UnknownMigration
from data_migrations.words import stopped

from . import approval, dispatch, schedule, spool, states
from .models import Decision, Run
from .states import Status


class Undecided(Exception):
    """The decision was not taken; the text says why. Nothing was changed, or the run has expired."""


def approve(run_id: int, user: Any, *, note: str = "", shown: str) -> Run:
    """Let a run go, at once or when its time comes.

    Args:
        shown: the fingerprint of what this person was shown.

    Raises:
        Undecided: it is not theirs to approve, not waiting any more, or not what they were shown.
    """
    with transaction.atomic(using=spool.alias()):
        run, late = _locked(run_id, user)
        if not late:
            try:
                migration = registry.get(run.migration)
            except UnknownMigration as error:
                raise Undecided(str(error)) from error
            if run.fingerprint != shown:
                raise Undecided("It is not what you were shown. Look again.")
            if reason := approval.broken(run, migration):
                raise Undecided(reason)
            now = timezone.now()
            before = run.fingerprint
            run.decision, run.decided_by, run.decided_by_pk = Decision.APPROVED, user.get_username()[:150], str(user.pk)
            window = None if run.ignore_window else schedule.window_of(migration, run.kind)
            run.start_at = schedule.start_of(window, run.start_at, now)
            run.status = Status.SCHEDULED if run.start_at else Status.ENQUEUED
            if not states.transition(
                run.pk,
                Status(run.status),
                expect=Status.WAITING,
                where={"fingerprint": before, "approval_expires_at__gt": now},
                fingerprint=approval.fingerprint(run),
                start_at=run.start_at,
                enqueued_at=now,
                rung_at=None,
                decision=run.decision,
                decided_by=run.decided_by,
                decided_by_pk=run.decided_by_pk,
                decided_at=now,
                decision_note=note,
            ):
                raise Undecided("Somebody else was faster.")
            dispatch.set_going(run)
    if late:
        raise Undecided(approval.EXPIRED)
    dispatch.log_entry(user, run, f"Approve run {run.pk} of {run.migration}{': ' if note else ''}{note}")
    return run


def reject(run_id: int, user: Any, *, note: str) -> Run:
    """Cancel a run instead of letting it go.

    Raises:
        Undecided: as for ``approve``, or there is no note.
    """
    if not note.strip():
        raise Undecided("Say why: whoever asked for it will want to know.")
    name = user.get_username()[:150]
    with transaction.atomic(using=spool.alias()):
        run, late = _locked(run_id, user)
        now = timezone.now()
        if not late and not states.transition(
            run.pk,
            Status.CANCELLED,
            expect=Status.WAITING,
            finished_at=now,
            sealed_arguments="",
            decision=Decision.REJECTED,
            decided_by=name,
            decided_by_pk=str(user.pk),
            decided_at=now,
            decision_note=note,
            note=f"Rejected by {name}: {stopped(note.strip())} Nothing was run.",
        ):
            raise Undecided("Somebody else was faster.")
    if late:
        raise Undecided(approval.EXPIRED)
    dispatch.log_entry(user, run, f"Reject run {run.pk} of {run.migration}: {note}")
    return run


def _locked(run_id: int, user: Any) -> tuple[Run, bool]:
    """The run with its row locked, and whether its time is over; then it was cancelled."""
    run = Run.objects.select_for_update().get(pk=run_id)
    now = timezone.now()
    if run.status == Status.WAITING and approval.is_expired(run, now):
        approval.expire_one(run.pk, now)
        return run, True
    if reason := approval.why_not(run, user):
        raise Undecided(reason)
    return run, False
