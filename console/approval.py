"""Approval by a second person: who needs it, what exactly was approved, and whether that still holds.

An approval is bound to what it was given for by a keyed hash in the run's row: of its parameters with their true
values, the code's checksum, its time, who asked and who agreed. Whoever edits the row without the site's secret key is
noticed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from data_migrations import clock
from data_migrations.registry import RegisteredMigration
from data_migrations.reporting import OutcomeKind

from . import conf, sealing, states, uploads
from .models import Decision, Kind, Run
from .states import Status

DESTRUCTIVE = "destructive"
_SALT = "console.approval"
# How an attempt ended after which there is nothing left to do.
_DONE = tuple(kind.value for kind in OutcomeKind)


def is_needed(migration: RegisteredMigration, kind: str) -> bool:
    """Whether a run of that kind waits for a second person here, as command and settings say.

    A dry run never does: it keeps nothing, and is what the second person will want to see.
    """
    if kind not in (Kind.RUN, Kind.REVERSE):
        return False
    setting = conf.get("REQUIRE_APPROVAL")
    if isinstance(setting, bool):
        return setting
    if bool(getattr(migration.command_class, "requires_approval", False)):
        return True
    names = (setting,) if isinstance(setting, str) else tuple(setting or ())
    return migration.name in names or (DESTRUCTIVE in names and migration.destructive)


def expires_at(now: datetime, start_at: datetime | None) -> datetime:
    """Until when it can be approved: for some hours, and never after the time that it is to start at."""
    last = now + timedelta(hours=float(conf.get("APPROVAL_HOURS")))
    return min(last, start_at) if start_at is not None else last


def values_of(run: Run) -> dict[str, Any]:
    """A run's own arguments with their true values.

    Raises:
        Unsealable: they can no longer be opened.
    """
    return sealing.unseal(run.sealed_arguments) if run.sealed_arguments else dict(run.arguments)


def fingerprint(run: Run, *, secret: str | None = None) -> str:
    """The keyed hash of all that is agreed to, hexadecimal.

    Raises:
        Unsealable: see ``values_of``.
    """
    values = values_of(run)
    start = clock.aware(run.start_at).astimezone(UTC).isoformat() if run.start_at else None
    facts = {
        "key": run.key,
        "migration": run.migration,
        "kind": run.kind,
        "database": run.database,
        "force": run.force,
        "values": _plain(json.loads(json.dumps(values, cls=DjangoJSONEncoder))),
        "files": uploads.digests(values),
        "checksum": run.checksum,
        "start_at": start,
        "ignore_window": run.ignore_window,
        "asked": [run.requested_by, run.requested_by_pk],
        "decided": [run.decision, run.decided_by, run.decided_by_pk],
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return salted_hmac(_SALT, text, secret=secret or settings.SECRET_KEY, algorithm="sha256").hexdigest()


def _plain(value: Any) -> Any:
    """A JSON value without what a database may write in another way: 1.0 and 1, 1e22 and its digits."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_untouched(run: Run) -> bool:
    """Whether the row still says what it said when its fingerprint was taken."""
    try:
        return any(
            constant_time_compare(run.fingerprint, fingerprint(run, secret=str(secret)))
            for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        )
    except sealing.Unsealable:
        return False


def refusal(run: Run, migration: RegisteredMigration) -> str:
    """Why a worker may not begin, or go on with, a run; empty where it may."""
    if not (run.fingerprint or run.decision or is_needed(migration, run.kind)):
        return ""
    if run.decision != Decision.APPROVED:
        return (
            "It needs the approval of a second person, and this run has none (approval was not asked for yet when it "
            "was requested, or its row was changed). Nothing was run. Ask for it again."
        )
    if run.finished_at is not None or run.attempts.filter(outcome__in=_DONE).exists():
        return (
            "This run has come to its end, and an approval holds for one run only: its row was changed by hand. "
            "Nothing was run. Ask for it again."
        )
    return broken(run, migration)


def broken(run: Run, migration: RegisteredMigration) -> str:
    """Why what is stored is not what was asked for and shown any more; empty where it is."""
    if not is_untouched(run):
        return (
            "What is stored of this run is not what it was asked for with: its row was changed, an uploaded file is "
            "gone, or SECRET_KEY is another one. Nothing was run. Ask for it again."
        )
    if run.checksum != migration.checksum:
        return (
            f"The code of {run.migration} was changed since this run was asked for, so an approval does not hold for "
            "it. Nothing was run. Look at the change, and ask for it again."
        )
    return ""


def is_requester(run: Run, user: Any) -> bool:
    """Whether that is who asked for the run."""
    if run.requested_by_pk:
        return str(user.pk) == run.requested_by_pk
    return bool(user.get_username() == run.requested_by)


def why_not(run: Run, user: Any) -> str:
    """Why this person cannot decide now, whatever the permissions; empty when possible."""
    if run.status != Status.WAITING:
        decided = f": {run.decision} by {run.decided_by}" if run.decision else ""
        return f"It is not waiting for approval any more; it is {run.status}{decided}."
    if is_requester(run, user):
        return "You asked for it yourself; a second person has to decide."
    if is_expired(run, timezone.now()):
        return EXPIRED
    return ""


EXPIRED = "Nobody approved it in time, so it was cancelled. Nothing was run; ask for it again."


def is_expired(run: Run, now: datetime) -> bool:
    """Whether the time in which it could be approved is over."""
    return run.approval_expires_at is not None and run.approval_expires_at <= now


def expire(now: datetime) -> int:
    """Cancel what nobody approved in time; gives how many."""
    late = Run.objects.filter(status=Status.WAITING, approval_expires_at__lte=now).values_list("pk", flat=True)
    return sum(expire_one(pk, now) for pk in list(late))


def expire_one(run_id: int, now: datetime) -> bool:
    """Cancel one run, if it still waits and its time is over."""
    with states.locked(run_id):
        return states.transition(
            run_id,
            Status.CANCELLED,
            expect=Status.WAITING,
            where={"approval_expires_at__lte": now},
            finished_at=now,
            sealed_arguments="",
            note=EXPIRED,
        )
