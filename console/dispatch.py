"""What people ask for: recorded first, then the bell is rung."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.utils import timezone

from data_migrations import arguments, databases, ledger, registry
from data_migrations.exceptions import BrokenMigration, InvalidArgument
from data_migrations.reporting import Door

from . import approval, conf, notices, queue, schedule, sealing, spool, states, uploads
from .models import Control, Kind, Run
from .states import PLANNED, Status

logger = logging.getLogger("console")


UNREACHABLE = (
    "The queue could not be reached, so no worker knows of this run ({reason}). Nothing was run. "
    "See that the queue's database or server answers (Q_CLUSTER in the settings), then run it again."
)


def request_run(
    migration_name: str,
    *,
    user: Any,
    kind: str = Kind.RUN,
    database: str = "default",
    values: Mapping[str, Any] | None = None,
    reason: str = "",
    force: bool = False,
    start_at: datetime | None = None,
    ignore_window: bool = False,
    once_key: str | None = None,
) -> Run:
    """Record that a person wants a data migration run, and tell the workers once that is committed.

    It waits where a second person has to approve it, or until its time has come and its daily window is open.

    Args:
        user: who asks; anything with ``get_username()`` and ``pk``.
        kind: ``run``, ``dry_run`` or ``reverse``.
        values: the command's own arguments by dest, as JSON can hold them.
        start_at: not before this moment; None or a past one: as soon as may be.
        ignore_window: work outside its daily window, too.
        once_key: a second request with the same key gives the run of the first.

    Raises:
        UnknownMigration, BrokenMigration: there is no such migration, or its module cannot be imported.
        InvalidArgument: a value that the migration does not take.
    """
    if once_key:
        earlier = Run.objects.filter(once_key=once_key).first()
        if earlier is not None:
            return earlier
    if database not in connections:
        raise InvalidArgument(f"There is no database alias {database!r} in DATABASES. Nothing was run.")
    migration = registry.get(migration_name)
    if migration.command_class is None:
        raise BrokenMigration(
            f"The module of {migration_name} cannot be imported, so nothing was run:\n{migration.error}"
        )
    command = migration.command_class()
    given = dict(values or {})
    shown = arguments.masked(command, arguments.to_options(command, given))
    secret = any(given.get(dest) not in (None, "", []) for dest in migration.sensitive_arguments)
    now = timezone.now()
    needs_approval = approval.is_needed(migration, kind)
    asked = start_at if start_at is not None and start_at > now else None
    window = None if ignore_window else schedule.window_of(migration, kind)
    # What is to be approved begins when it was, and only then the window is asked.
    starts = asked if needs_approval else schedule.start_of(window, asked, now)
    run = Run(
        migration=migration.name,
        command_name=migration.command_name,
        kind=kind,
        status=Status.WAITING if needs_approval else Status.SCHEDULED if starts else Status.ENQUEUED,
        door=Door.WORKER.value,
        database=database,
        force=force,
        start_at=starts,
        ignore_window=ignore_window,
        approval_expires_at=approval.expires_at(now, starts) if needs_approval else None,
        # What was not given stays away: the worker takes the defaults of the code that it runs.
        arguments={dest: value for dest, value in shown.items() if dest in given},
        sealed_arguments=sealing.seal(given) if secret else "",
        reason=reason,
        once_key=once_key,
        requested_at=now,
        enqueued_at=now,
        checksum=migration.checksum,
        atomic=migration.atomic,
        in_batches=migration.in_batches and kind == Kind.RUN,
        release=conf.get("RELEASE"),
        **_asker(user),
    )
    try:
        with transaction.atomic(using=spool.alias()):
            if needs_approval:
                run.fingerprint = approval.fingerprint(run)
            run.save(force_insert=True)
            uploads.attach(run, given)
            notices.tell(run)
    except IntegrityError:
        # The other half of a double click was faster.
        return Run.objects.get(once_key=once_key)
    set_going(run)
    return run


def set_going(run: Run) -> None:
    """Ring for a run, now or when its time comes, as soon as what was written about it is committed."""
    if run.status == Status.ENQUEUED:
        ring_on_commit(run.pk)
    elif run.status == Status.SCHEDULED:
        transaction.on_commit(lambda: schedule.plan(run.pk), using=spool.alias())


def ring_on_commit(run_id: int) -> None:
    """Ring for a run as soon as what was written about it is committed."""
    transaction.on_commit(lambda: ring(run_id), using=spool.alias())


def ring(run_id: int) -> bool:
    """Ring for a run now; when that cannot be done the run is failed, with the reason. True when it was."""
    try:
        Run.objects.filter(pk=run_id).update(rung_at=timezone.now())
        queue.ring(run_id)
    except queue.QueueUnreachable as error:
        logger.error("Run %s could not be put into the queue: %s", run_id, error)
        states.transition(
            run_id,
            Status.FAILED,
            expect=Status.ENQUEUED,
            finished_at=timezone.now(),
            error_class="QueueUnreachable",
            error_message=UNREACHABLE.format(reason=error),
            sealed_arguments="",
        )
        return False
    return True


def request_cancel(run_id: int, user: Any) -> bool:
    """Cancel a run: at once while nobody works on it, else at its next safe point. False: it is at its end."""
    now = timezone.now()
    who: dict[str, Any] = {"control_by": _name(user), "control_at": now}
    idle = (*PLANNED, Status.ENQUEUED, Status.PAUSED, Status.INTERRUPTED)
    if states.transition(
        run_id,
        Status.CANCELLED,
        expect=idle,
        finished_at=now,
        sealed_arguments="",
        note=f"Cancelled by {_name(user)} while no worker had it.",
        **who,
    ):
        transaction.on_commit(lambda: schedule.forget(run_id), using=spool.alias())
        return True
    return _control(run_id, Control.CANCEL, user, over=(Control.NONE, Control.PAUSE))


def request_force(run_id: int, user: Any) -> bool:
    """End a running run whatever it does, within seconds. False: it is not running."""
    return _control(run_id, Control.FORCE, user, over=(Control.NONE, Control.PAUSE, Control.CANCEL))


def request_pause(run_id: int, user: Any) -> bool:
    """Have a running run stop at its next safe point, to go on later. False: it is not running, or to be cancelled."""
    return _control(run_id, Control.PAUSE, user, over=(Control.NONE,))


def request_resume(run_id: int, user: Any) -> bool:
    """Put a paused or interrupted run back into the queue. False: it is neither."""
    now = timezone.now()
    if not states.transition(
        run_id,
        Status.ENQUEUED,
        expect=(Status.PAUSED, Status.INTERRUPTED),
        where={"door": Door.WORKER.value},
        enqueued_at=now,
        rung_at=None,
        control="",
        control_by=_name(user),
        control_at=now,
        note=f"Taken up again by {_name(user)}.",
    ):
        return False
    ring_on_commit(run_id)
    return True


def request_start(run_id: int, user: Any) -> bool:
    """Start a scheduled run before its time, if need be with its daily window put aside.

    False: it is not scheduled; or it was approved, which holds only for the time that was approved.
    """
    now = timezone.now()
    run = Run.objects.get(pk=run_id)
    is_shut = schedule.is_shut(run, now)
    aside = ", its daily window put aside" if is_shut else ""
    if not states.transition(
        run_id,
        Status.ENQUEUED,
        expect=Status.SCHEDULED,
        where={"fingerprint": "", "start_at": run.start_at},
        enqueued_at=now,
        rung_at=None,
        start_at=None,
        ignore_window=run.ignore_window or is_shut,
        control_by=_name(user),
        control_at=now,
        note=f"Started by {_name(user)} before its time{aside}.",
    ):
        return False
    transaction.on_commit(lambda: schedule.forget(run_id), using=spool.alias())
    ring_on_commit(run_id)
    return True


def _control(run_id: int, word: Control, user: Any, *, over: Iterable[Control]) -> bool:
    """Leave word for the process that has the run; only a worker looks for it.

    Args:
        over: the words that this one may take the place of.
    """
    runs = Run.objects.filter(pk=run_id, status=Status.RUNNING, door=Door.WORKER.value, control__in=list(over))
    return runs.update(control=word, control_by=_name(user), control_at=timezone.now()) == 1


def mark(names: Iterable[str], *, user: Any, database: str = "default", reason: str) -> list[Run]:
    """Record data migrations as applied without running them, all or none.

    Gives a row of the history for each that was not recorded before.

    Raises:
        AlreadyRunning: one of them is being run now.
    """
    return _set_records(Kind.MARK, names, user, database, reason)


def unmark(names: Iterable[str], *, user: Any, database: str = "default", reason: str) -> list[Run]:
    """Take the records of data migrations out without undoing their work, all or none; as ``mark``."""
    return _set_records(Kind.UNMARK, names, user, database, reason)


def _set_records(kind: Kind, names: Iterable[str], user: Any, database: str, reason: str) -> list[Run]:
    if not reason.strip():
        raise InvalidArgument("A reason is needed: it is what the history will show. Nothing was changed.")
    wanted = list(names)
    known = {migration.name: migration for migration in registry.all_migrations()}
    before = {name: record for name, record in ledger.applied(database).items() if name in wanted}
    by = _name(user)
    # Rows first, ledger last and innermost: when the ledger refuses, no row stays behind.
    with transaction.atomic(using=spool.alias()), transaction.atomic(using=database):
        if kind == Kind.MARK:
            checksums = {name: known[name].checksum for name in wanted if name in known}
            changed = ledger.mark(wanted, using=database, by=by, reason=reason, checksums=checksums)
        else:
            changed = ledger.unmark(wanted, using=database, by=by, reason=reason)
        rows = [_record_row(kind, name, known.get(name), before, user, database, reason) for name in changed]
    _log_entries(user, rows, reason)
    return rows


def _record_row(
    kind: Kind, name: str, migration: Any, before: Mapping[str, Any], user: Any, database: str, reason: str
) -> Run:
    now = timezone.now()
    record = before.get(name)
    former = None
    if record is not None:
        former = {
            "applied_at": record.applied_at.isoformat(),
            "by": record.by,
            "door": record.door,
            "times_applied": record.times_applied,
        }
    return Run.objects.create(
        migration=name,
        command_name=migration.command_name if migration else "",
        kind=kind,
        status=Status.SUCCEEDED,
        door=Door.MARKED.value,
        database=database,
        reason=reason,
        requested_at=now,
        enqueued_at=now,
        started_at=now,
        finished_at=now,
        checksum=migration.checksum if migration else "",
        release=conf.get("RELEASE"),
        changes=[{"before": former, "after": "applied" if kind == Kind.MARK else None}],
        note="Marked as applied by hand." if kind == Kind.MARK else "Unmarked by hand: it counts as pending again.",
        **_asker(user),
    )


def _log_entries(user: Any, rows: list[Run], reason: str) -> None:
    for row in rows:
        log_entry(user, row, f"{row.get_kind_display()} {row.migration} ({row.database}): {reason}")


def log_entry(user: Any, run: Run, message: str) -> None:
    """Let Django's own admin history know, too, where it is installed and the user is one of its users.

    To be called after what it tells of is committed. Without the entry nothing is lost: the run keeps who and when.
    """
    if not apps.is_installed("django.contrib.admin") or getattr(user, "pk", None) is None:
        return
    from django.contrib.admin.models import CHANGE, LogEntry

    using = router.db_for_write(LogEntry)
    is_sqlite = connections[using].vendor == "sqlite"
    try:
        # On SQLite the history may be in the one file whose write lock the running migration holds.
        with databases.short_lock_waits(using) if is_sqlite else nullcontext(), transaction.atomic(using=using):
            LogEntry.objects.log_actions(user.pk, [run], CHANGE, message, single_object=True)
    except OperationalError as error:
        logger.warning("Django's admin history has no entry for %r of %s: %s", message, _name(user), error)


def _asker(user: Any) -> dict[str, str]:
    pk = getattr(user, "pk", None)
    return {"requested_by": _name(user), "requested_by_pk": "" if pk is None else str(pk)}


def _name(user: Any) -> str:
    name = user.get_username() if hasattr(user, "get_username") else str(user)
    return str(name)[:150]
