"""Running one data migration, whichever door it came through.

resolve -> gate -> lease -> already applied? -> transaction, audit off -> perform -> verify
-> record in the ledger, same transaction -> release -> report
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from django.db import connections, transaction
from django.db.utils import InterfaceError, OperationalError

from . import audit, checkpoints, conf, databases, failures, gates, leases, ledger, stopping
from .batchrun import BatchRun
from .capture import captured
from .changes import ChangeCounter
from .dryrun import undone
from .exceptions import DataMigrationError, LeaseLost, Misconfigured, NotReversible
from .leases import HeldLease
from .models import NAME_LENGTH
from .progress import Progress
from .reporting import Broadcast, Outcome, OutcomeKind, RunInfo, SetAside
from .stopping import StopFlag, StopRequested
from .work import RunRequest, Work


class Turn:
    """What one starter gets once it holds the lease: either its turn to do the work, or the news that it is done."""

    def __init__(self, needed: bool, outcome: Outcome | None = None, lease: HeldLease | None = None) -> None:
        self.needed = needed
        self.lease = lease
        self.result: Any = None
        self.outcome = outcome

    @property
    def done(self) -> Outcome:
        """The outcome, once there is one."""
        assert self.outcome is not None
        return self.outcome


class Execution:
    """One run of one data migration."""

    def __init__(self, work: Work, request: RunRequest, reporter: Broadcast, stop: StopFlag) -> None:
        self.work = work
        self.request = request
        self.using = request.using
        self.name = work.migration_name
        self.reporter = reporter
        self.stop = stop
        self.progress = Progress(reporter, stop)
        self.began = time.monotonic()
        self.batches: BatchRun | None = None

    def run(self) -> Outcome:
        """Do what was asked for and tell the reporter.

        Raises:
            DataMigrationError: it failed, was refused or was stopped; the message says which.
        """
        with self.reported():
            self.check()
            if self.request.dry_run:
                outcome = self.rehearse()
            else:
                with self.turn() as turn:
                    if turn.needed:
                        turn.result = self.perform(turn.lease)
                outcome = turn.done
        self.finish(outcome)
        return outcome

    def finish(self, outcome: Outcome) -> None:
        """Tell the reporter how it ended, and of the commit of a transaction around all of it when that comes."""
        inside = connections[self.using].in_atomic_block
        provisional = inside and outcome.kind in (OutcomeKind.APPLIED, OutcomeKind.REVERSED)
        self.reporter.finished(replace(outcome, provisional=provisional))
        if provisional:
            transaction.on_commit(self.reporter.committed, using=self.using, robust=True)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Tell the reporter of the start and of a failure; a foreign error leaves as one of ours."""
        self.reporter.started(self.info())
        try:
            with captured(self.reporter, *self.work.streams()):
                self.work.bind(self.request, self.progress)
                with self.interruptible():
                    yield
        except BaseException as error:
            named = failures.named(error, self.work, self.request, self.stop)
            ours = isinstance(error, DataMigrationError | StopRequested) and error.__cause__ is None
            text = "" if ours else traceback.format_exc()
            self.reporter.failed(named, text)
            if named is error:
                raise
            raise named from error

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a forced stop end the statement that is executing, and whatever Python does."""
        with ExitStack() as stack:
            if self.using in connections:
                stack.enter_context(self.stop.interruptible(databases.interrupter(self.using)))
            stack.enter_context(stopping.interruptible_thread(self.stop))
            yield

    def info(self) -> RunInfo:
        """The request as reporters see it."""
        request = self.request
        return RunInfo(
            key=request.key,
            name=self.name,
            command_name=self.work.command_name,
            using=self.using,
            door=request.door,
            by=request.by,
            reason=request.reason,
            dry_run=request.dry_run,
            force=request.force,
            reverse=request.reverse,
            arguments=dict(request.arguments),
            atomic=self.work.atomic,
            checksum=self.work.source_checksum(),
            started_at=datetime.now(UTC),
            in_batches=self.work.in_batches,
            secrets=request.secrets,
        )

    def check(self) -> None:
        """Everything that can be refused before anything is touched."""
        if not self.name or len(self.name) > NAME_LENGTH:
            raise Misconfigured(
                f"{type(self.work).__module__} needs a migration_name of 1 to {NAME_LENGTH} characters. "
                "Nothing was run."
            )
        if self.request.reverse and not self.work.is_reversible():
            raise NotReversible(f"{self.name} has no reverse_migration(), so it cannot be reversed. Nothing was run.")
        databases.require(self.using)
        ledger.require_tables(self.using)

    def require_dependencies(self) -> None:
        """Refuse to do the work while what has to come first is not there."""
        if not self.request.reverse:
            gates.require_dependencies(self.work, self.using)

    def is_settled(self, *, locked: bool = False) -> bool:
        """Whether there is nothing to do: applied and not forced, reversed, or done by this very run before."""
        applied = ledger.is_applied(self.name, self.using, locked=locked and connections[self.using].in_atomic_block)
        if self.request.reverse:
            return not applied or self.is_done()
        return applied and (not self.request.force or self.is_done())

    def is_done(self) -> bool:
        """Whether this very run is in the ledger."""
        return ledger.has_run(self.name, self.using, self.request.key)

    def settled(self) -> Outcome:
        """The outcome where there is nothing to do."""
        kind = OutcomeKind.NOT_APPLIED if self.request.reverse else OutcomeKind.ALREADY_APPLIED
        return Outcome(kind, duration=self.elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds since the work, or the run, began."""
        return time.monotonic() - self.began

    def rehearse(self) -> Outcome:
        """Do the work and undo it."""
        self.require_dependencies()
        self.began = time.monotonic()
        if not self.work.atomic:
            self.reporter.message("info", "A dry run: all of it in one transaction that will be undone.")
        with undone(self.using, atomic=self.work.atomic) as rehearsal, self.audit_off():
            self.reporter.working()
            result = self.perform(None)
        return Outcome(
            OutcomeKind.DRY_RUN,
            _text(result),
            sum(change.total for change in rehearsal.changes),
            self.elapsed,
            tuple(rehearsal.changes),
            rehearsal.emails_held,
            samples=tuple(self.batches.sampler.samples) if self.batches else (),
            estimated_seconds=self.batches.sampler.estimated_seconds if self.batches else None,
            estimated_pauses=self.batches.sampler.estimated_pauses if self.batches else 0.0,
            set_aside=self.batches.set_aside if self.batches else SetAside(),
        )

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Wait for the lease; then either the block does the work and it is recorded with it, or it was done."""
        if self.is_settled():
            yield Turn(False, self.settled())
            return
        self.require_dependencies()
        with self.lease() as lease:
            if self.is_settled(locked=True):
                lease.release()
                yield Turn(False, self.settled())
                return
            self.tell_of_earlier_run(lease)
            turn = Turn(True, lease=lease)
            self.began = time.monotonic()
            try:
                with self.transaction(lease), ChangeCounter(self.using) as counter:
                    with self.audit_off():
                        self.reporter.working()
                        yield turn
                    self.stop.settle()
                    turn.outcome = self.outcome(turn.result, counter.total)
                    self.record(lease, turn.outcome)
            except Exception as error:
                self.settle_doubt(lease, turn, error)

    def lease(self) -> Any:
        """The right to do it, as a context manager."""
        request = self.request
        return leases.hold(
            self.name,
            self.using,
            stop=self.stop,
            wait=request.wait,
            timeout=conf.get("LOCK_TIMEOUT") if request.lock_timeout is None else request.lock_timeout,
            keeps_partial_work=not self.work.atomic,
            on_wait=self.reporter.waiting,
        )

    def tell_of_earlier_run(self, lease: HeldLease) -> None:
        """Say when the run before this one never came to its end."""
        before = lease.previous
        if before.unfinished:
            self.reporter.message(
                "warning",
                f"An earlier run by {before.holder} did not come to its end. It is not atomic, so part of its "
                "work may be there already.",
            )
        elif before.owner and not self.work.in_batches:
            self.reporter.message("info", f"An earlier run by {before.holder} was cut off; nothing of it was kept.")

    @contextmanager
    def transaction(self, lease: HeldLease) -> Iterator[None]:
        """The transaction around work and record, for what is atomic."""
        if not self.work.atomic or (self.work.in_batches and not self.request.reverse):
            yield
            return
        with transaction.atomic(using=self.using):
            lease.take_write_lock()
            lease.announce(databases.session(self.using))
            yield

    @contextmanager
    def audit_off(self) -> Iterator[None]:
        """Auditing switched off where the command asks for it, and said what really was."""
        if not self.work.disable_audit:
            yield
            return
        with audit.disabled(self.using) as states:
            for state in states:
                self.reporter.message(state.level, f"Auditing {state}")
            if not states:
                self.reporter.message("info", "disable_audit is set, but no audit library known here is installed.")
            yield

    def perform(self, lease: HeldLease | None) -> Any:
        """The author's work and the author's check of it; without a lease in a dry run."""
        if self.work.in_batches and not self.request.reverse:
            self.batches = BatchRun(cast(Any, self.work), lease, self.reporter, self.progress, self.stop)
            result: Any = self.batches.run()
        else:
            action = self.work.reverse_migration if self.request.reverse else self.work.perform_migration
            result = action(dry_run=self.request.dry_run)
            self.progress.flush()
        # The first batches alone are nothing to verify, nor is a dry run of which a real one would set rows aside.
        if not self.request.reverse and not (self.batches and not self.batches.is_whole):
            self.verify()
        return result

    def verify(self) -> None:
        """Let the author's ``verify`` look at the result."""
        try:
            self.work.verify()
        except Exception as error:
            raise failures.unverified(error, self.work, self.request) from error

    def outcome(self, result: Any, rows: int) -> Outcome:
        """What this turn's work came to."""
        kind = OutcomeKind.REVERSED if self.request.reverse else OutcomeKind.APPLIED
        # Of batches, those of earlier runs count as well.
        affected = result if self.batches else rows
        before = self.batches.rows_before if self.batches else 0
        return Outcome(kind, _text(result), affected, self.elapsed, rows_before=before)

    def record(self, lease: HeldLease, outcome: Outcome) -> None:
        """Fence, ledger and release, in the transaction of the work if it has one, else in one of their own."""
        request = self.request
        with transaction.atomic(using=self.using):
            lease.confirm()
            if request.reverse:
                checkpoints.forget(self.name, self.using)
                ledger.remove(
                    self.name,
                    using=self.using,
                    by=request.by,
                    door=request.door,
                    reason=request.reason,
                    run_key=request.key,
                )
            else:
                checkpoints.drop(self.name, self.using)
                ledger.record(
                    self.name,
                    using=self.using,
                    by=request.by,
                    door=request.door,
                    reason=request.reason,
                    duration=outcome.duration,
                    result=outcome.result,
                    affected_rows=outcome.affected_rows,
                    checksum=self.work.source_checksum(),
                    run_key=request.key,
                )
            lease.release()

    def settle_doubt(self, lease: HeldLease, turn: Turn, error: Exception) -> None:
        """After an error: did the commit get through all the same? Was the lease taken from us?

        The connection may be lost in the middle of a commit, and what the author asked for ``on_commit``
        may fail after it; the ledger tells that this very run is in it.
        """
        if not databases.reconnect(self.using):
            raise error
        if turn.outcome is not None and self.is_done():
            self.reporter.message(
                "warning", f"It is committed and recorded, but something failed after that: {failures.sentence(error)}"
            )
            return
        if isinstance(error, OperationalError | InterfaceError):
            row = leases.Lease.objects.using(self.using).get(name=self.name)
            if row.token != lease.token:
                raise LeaseLost() from error
        raise error


def _text(result: Any) -> str:
    return "" if result is None else str(result).replace("\x00", "")
