"""Going through the batches of one migration, each with its checkpoint and its fence in one commit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.utils import InterfaceError, OperationalError

from . import checkpoints, databases, hints, quarantine
from .batches import Batch, LoadAgain, Source
from .checkpoints import Position
from .exceptions import BatchFailed, DataMigrationError, QuarantineNotEmpty, StoppedEarly
from .failures import sentence
from .keeping import Keeper
from .leases import HeldLease
from .progress import Progress
from .reading import Reading
from .reporting import Reporter, SetAside
from .samples import Sampler
from .sizing import next_size
from .stopping import StopFlag, StopRequested
from .throttles import Throttle
from .words import counted, row_key, were

if TYPE_CHECKING:
    from .management.commands.base import BatchedCommand

RETRIES = 10
"""How often a batch is tried again after a transient database error."""
COUNT_SECONDS = 1.0
"""Seconds before the rows of a table are counted: a run that is over by then has no use for it."""
WISHES_SECONDS = 1.0
"""Seconds between two looks at what a person wishes."""


class BatchRun:
    """One run through the batches that are left.

    Args:
        lease: what fences each commit; None in a dry run, whose transaction is not ours to commit.
    """

    def __init__(
        self,
        command: BatchedCommand,
        lease: HeldLease | None,
        reporter: Reporter,
        progress: Progress,
        stop: StopFlag,
    ) -> None:
        self.command = command
        self.using = command.using
        self.lease = lease
        self.reporter = reporter
        self.progress = progress
        self.stop = stop
        # Inside a transaction that somebody else will commit, a checkpoint would be undone with all the rest.
        self.commits = lease is not None and not connections[self.using].in_atomic_block
        asked = command.options.get("pause")
        self.pause = float(command.pause_seconds if asked is None else asked)
        # They come first with the checkpoint that it starts at.
        self._wishes_read_at = time.monotonic()
        self._wished: int | None = None
        self.keeper = Keeper(command.migration_name, command.using, lease if self.commits else None, stop)
        # Whether every batch there is was done.
        self.is_through = False
        # Only a dry run, which keeps nothing, shows rows and says how long the whole would take.
        self.sampler = Sampler(command.dry_run_samples if lease is None else 0)
        # What it would set aside; a real run has that in its quarantine.
        self.set_aside = SetAside()
        # Where it began: the rows that earlier runs did.
        self.rows_before = 0

    def run(self) -> int:
        """Work through all batches; gives the rows done in all, those of earlier runs included but in a dry run.

        Raises:
            StopRequested, StoppedEarly: stopped at a batch boundary; the checkpoint stays.
            BatchFailed: a batch failed; those before it are kept.
            QuarantineNotEmpty: everything else is done, but rows were set aside.
        """
        if self.commits and self.command.options.get("restart"):
            self.forget()
        position = checkpoints.begin(self.command.migration_name, self.using, kept=self.commits)
        self.rows_before = position.rows
        self.reporter.going_on(self.rows_before)
        if self.commits:
            self.follow_wishes(*position.wishes)
        source: Source = self.command.make_source()
        source.begin(position.cursor)
        self.tell_start(position, source)
        if position.resumed:
            self.retry_quarantined(position)
        if position.total is None:
            position.total = source.count()
        self.reading = Reading(self.using, source, allowed=self.commits and not self.command.works_elsewhere)
        self.keeper.note(position, stored=True)
        first = self.first_size(position)
        try:
            position, batches = self.go_through(source, position, first)
        finally:
            self.keeper.catch_up()
        self.progress.flush()
        if self.lease is None:
            self.tell_rehearsal(position, first)
        elif not self.is_through:
            raise self.at_limit(position, batches)
        self.require_empty_quarantine(position)
        return position.rows - (self.rows_before if self.lease is None else 0)

    def go_through(self, source: Source, position: Position, size: int) -> tuple[Position, int]:
        """Do batch after batch, to the end or to the limit; gives where that is, and how many batches it took."""
        throttle = Throttle(self.command, self.using, self.reporter, source.table)
        size = self.wished_or(size)
        done_here = 0
        limit = self.limit()
        # Who goes on only so far wants to know at once how far that is.
        counts_at = time.monotonic() + (COUNT_SECONDS if limit is None and self.lease is not None else 0)
        self.progress.update(self.rows_come_to(position), position.total)
        while not position.exhausted:
            self.stop.check()
            if position.total is None and time.monotonic() >= counts_at:
                position.total = self.count(source, position)
                counts_at = math.inf
            if limit is not None and done_here >= limit:
                return position, done_here
            if self.lease is not None:
                throttle.wait(self.stop, self.keeper.catch_up)
            began = time.monotonic()
            before, position = position, self.next_position(source, position, size)
            if position.exhausted:
                if before.total is None:
                    self.progress.update(self.rows_come_to(position), position.total)
                break
            done_here += 1
            seconds = time.monotonic() - began
            size = self.size_after(size, position.gone - before.gone, seconds)
            self.progress.update(self.rows_come_to(position), position.total)
            self.rest()
        self.is_through = True
        return position, done_here

    def count(self, source: Source, position: Position) -> int | None:
        """How many items there are in all, those of the batches before this moment included; None if that is unknown.

        A count is for those who watch: it may take too long for a limit of the database, and the work goes on.
        """
        try:
            behind = source.count_behind(position.cursor)
        except (OperationalError, InterfaceError) as error:
            self.stop.check()
            if not self.commits:
                raise
            self.reporter.message("warning", f"The rows could not be counted, so no total is shown: {error!s}")
            return None
        return None if behind is None else position.gone + behind

    def rows_come_to(self, position: Position) -> int:
        """How far it is: of a dry run the rows that were tried, also those that failed or need no change."""
        return position.rows if self.lease is not None else position.gone

    @property
    def is_whole(self) -> bool:
        """Whether every row there is was done, so that the result can be verified."""
        return self.is_through and not self.set_aside.count

    # One batch.

    def next_position(self, source: Source, position: Position, size: int) -> Position:
        """Do one batch; a transient database error has it tried again, from what is committed by then."""
        for attempt in range(RETRIES + 1):
            try:
                return self.one(source, position, size)
            except (OperationalError, InterfaceError) as error:
                # A statement that a forced stop interrupted is no error of the batch.
                self.stop.check()
                if not self.commits or attempt == RETRIES or not databases.is_retriable(error):
                    raise self.failure(error, f"after batch {position.batches}") from error
                seconds = min(0.1 * 2**attempt, 5.0)
                self.reporter.message(
                    "warning", f"Batch {position.batches + 1} met {error!s} Trying it again in {seconds:.1f} s."
                )
                if self.stop.wait(seconds):
                    self.stop.check()
                self.reading.begin_anew()
                position = self.keeper.committed(position)
        raise AssertionError("unreachable")

    def one(self, source: Source, position: Position, size: int) -> Position:
        """The batch after the position; gives the position after it."""
        try:
            return self.in_transaction(source, position, size)
        except LoadAgain as why:
            # Nothing of it was kept. This time its rows are locked before they are handed out.
            self.reporter.output("logging:DEBUG", f"Doing batch {position.batches + 1} once more: {why}.\n")
            self.reading.begin_anew(for_good=why.for_good)
            return self.in_transaction(source, position, size)

    def in_transaction(self, source: Source, position: Position, size: int) -> Position:
        """A batch's work, checkpoint and fence, in one transaction."""
        number = position.batches + 1
        ahead = self.reading.ahead(position.cursor, number, size)
        stored = True
        with ExitStack() as shield, self.own_transaction():
            found = ahead or source.next(position.cursor, number, size)
            if found is None:
                after = position.ended()
            else:
                batch, cursor = found
                with self.sampler.around(batch), self.reading.watch.over(batch) as watch:
                    after = position.moved(cursor, self.perform(batch), size, len(batch))
                self.reading.note(batch)
                stored = not (watch.is_empty and self.pause == 0 and self.keeper.can_wait())
            if stored:
                self.keeper.store(after)
            # From here to the commit nothing interrupts.
            shield.enter_context(self.stop.shield())
        self.keeper.note(after, stored=stored)
        return after

    def perform(self, batch: Batch) -> int:
        """The author's work on one batch; gives the rows done."""
        try:
            # Inside somebody else's transaction there is no quarantine: rows left out would count as done with it.
            if self.command.on_row_error == "quarantine" and (self.commits or self.lease is None):
                return self.sifted(batch)
            return self.counted(batch)
        except (OperationalError, InterfaceError, DataMigrationError, StopRequested):
            raise
        except Exception as error:
            raise self.failure(error, batch.where()) from error

    def counted(self, batch: Batch) -> int:
        """Call the author's code; what it returns, if it is a number, else the rows seen."""
        result = self.command.perform_batch(batch)
        return result if isinstance(result, int) and not isinstance(result, bool) else len(batch)

    def sifted(self, batch: Batch) -> int:
        """Do the batch, and where it fails find the rows that are to blame and set them aside."""
        done, poison = self.whole_or_sifted(batch)
        for key, error in poison:
            aside = "Set aside" if self.commits else "Would be set aside"
            self.tell_aside(aside, key, error)
            if self.commits:
                quarantine.put(self.command.migration_name, self.using, key, error, model=batch.model_label)
            else:
                self.set_aside = self.set_aside.and_one(key)
        return done

    def whole_or_sifted(self, batch: Batch) -> tuple[int, list[tuple[Any, BaseException]]]:
        """Try the batch whole first: halving costs only where something is wrong."""
        try:
            with transaction.atomic(using=self.using):
                return self.counted(batch), []
        except Exception as error:
            if self.is_fatal(error):
                raise
        self.sampler.is_searching = True
        return quarantine.sift(batch.keys(), lambda keys: self.counted(batch.narrowed(keys)), self.is_fatal, self.using)

    def is_fatal(self, error: BaseException) -> bool:
        """Whether an error is the database's passing trouble or ours, and not that of a row."""
        return isinstance(error, DataMigrationError) or databases.is_retriable(error)

    def failure(self, error: BaseException, where: str) -> BatchFailed:
        """The error of a batch in words for a person."""
        kept = (
            "The batches before it are kept, and the next run goes on there."
            if self.commits
            else "Nothing was kept: all batches are in one transaction, which is rolled back."
        )
        hint = hints.for_error(error)
        return BatchFailed(
            f"{self.command.migration_name} failed in {where}: {sentence(error)}",
            f"{kept} This run was not recorded as applied.{' ' + hint if hint else ''}",
            "Mend the cause and run it again.",
        )

    @contextmanager
    def own_transaction(self) -> Iterator[None]:
        """A transaction of the batch's own, where there is none around all of them."""
        if self.commits:
            with transaction.atomic(using=self.using):
                yield
        else:
            yield

    def forget(self) -> None:
        """Begin anew: rows that were set aside come again with all the others, and must not be tried twice."""
        with transaction.atomic(using=self.using):
            checkpoints.forget(self.command.migration_name, self.using)
            assert self.lease is not None
            self.lease.confirm()

    # Quarantine.

    def retry_quarantined(self, position: Position) -> None:
        """Try the rows again that an earlier run set aside; those that go through leave the quarantine, and count.

        A dry run does so, too, for the run that it stands for would; it leaves the quarantine as it is.
        """
        name = self.command.migration_name
        keys = quarantine.keys(name, self.using)
        if not keys:
            return
        batch_for: Callable[[Sequence[Any]], Batch] = self.command.batch_of_keys
        self.reporter.message("info", f"Trying {counted(len(keys), 'row')} again that {were(len(keys))} set aside.")
        watched = nullcontext() if self.lease is not None else self.sampler.around(batch_for(keys))
        with transaction.atomic(using=self.using), watched:
            self.sampler.is_searching = True
            _, poison = quarantine.sift(keys, lambda some: self.counted(batch_for(some)), self.is_fatal, self.using)
            position.rows += len(keys) - len(poison)
            position.gone += len(keys)
            if self.lease is not None:
                still = [key for key, _ in poison]
                quarantine.release(name, self.using, [key for key in keys if key not in still])
                for key, error in poison:
                    quarantine.renew(name, self.using, key, error)
                position.store(self.lease)
        for key, error in poison:
            self.tell_aside("Stays set aside", key, error)
            if self.lease is None:
                self.set_aside = self.set_aside.and_one(key)
        if len(keys) == 1:
            said = "It did not go through." if poison else f"It went through ({row_key(keys[0])})."
            self.reporter.message("info", said)
        else:
            went = len(keys) - len(poison)
            self.reporter.message("info", f"{went:,} of them went through, {len(poison):,} did not.")

    def tell_aside(self, what: str, key: Any, error: BaseException) -> None:
        """Say what becomes of a row, and why."""
        self.reporter.message("warning", f"{what} ({row_key(key)}): {type(error).__name__}: {error}")

    def require_empty_quarantine(self, position: Position) -> None:
        """Applied means all rows: those set aside have to go through, or to be accepted by a person."""
        aside = SetAside()
        for key in (
            quarantine.keys(self.command.migration_name, self.using) if self.may_have_set_aside(position) else ()
        ):
            aside = aside.and_one(key)
        if aside.count:
            them = "it" if aside.count == 1 else "them"
            raise QuarantineNotEmpty(
                f"{self.command.migration_name} is through with {counted(position.rows, 'row')}, but {aside} "
                f"{were(aside.count)} set aside.",
                "This run was not recorded as applied.",
                f"Mend {them} and run it again, which tries only {them}; or accept {them} with "
                f'"{quarantine.how_to_accept(self.command.migration_name, self.using)}" and run it again.',
            )

    def may_have_set_aside(self, position: Position) -> bool:
        """Whether this run, or one that it went on from, may have rows in the quarantine."""
        sets_aside = self.commits and self.command.on_row_error == "quarantine"
        return self.lease is not None and (position.resumed or sets_aside)

    # Between batches.

    def tell_start(self, position: Position, source: Source) -> None:
        """Say where it begins and what its commits are."""
        if not self.commits and self.lease is not None:
            self.reporter.message(
                "info", "All batches in one transaction, that of the Django migration around them: all or nothing."
            )
        if position.resumed:
            self.reporter.message(
                "info",
                f"Resuming after batch {position.batches}: {counted(position.rows, 'row')} "
                f"{were(position.rows)} done, the last of them {source.words(position.cursor)}.",
            )

    def tell_rehearsal(self, position: Position, size: int) -> None:
        """What became of a few rows, and how long all that is left would take, beginning with batches of that size."""
        target = self.command.target_batch_seconds
        estimate = self.sampler.estimate(position.total, self.rows_before, self.pause, size, target)
        for text in [*self.sampler.words(), *estimate]:
            self.reporter.message("info", text)

    def first_size(self, position: Position) -> int:
        """The option, else what the run before had come to, else what the author set."""
        asked = self.command.options.get("batch_size")
        adapted = position.batch_size if self.command.target_batch_seconds else 0
        return max(1, asked or adapted or self.command.batch_size)

    def limit(self) -> int | None:
        """How many batches at most, or None."""
        if self.lease is None:
            # Options of the shell are not there when a worker runs it.
            return self.command.options.get("dry_run_batches", self.command.dry_run_batches) or None
        return self.command.options.get("limit_batches")

    def at_limit(self, position: Position, batches: int) -> StoppedEarly:
        """The end of a run that was to do only so many batches."""
        return StoppedEarly(
            f"{self.command.migration_name} stopped after {batches:,} batch{'' if batches == 1 else 'es'}, as "
            f"--limit-batches says; {counted(position.rows, 'row')} {'is' if position.rows == 1 else 'are'} done and "
            "kept. Run it again to go on.",
            reason="limit",
        )

    def size_after(self, size: int, rows: int, seconds: float) -> int:
        """The size of the next batch: as somebody wishes, or as the target asks."""
        wished = self.wished_or(size)
        if self._wished is not None:
            return wished
        decision = next_size(size, rows, seconds, self.command.target_batch_seconds)
        if self.command.target_batch_seconds is not None:
            self.reporter.output("logging:DEBUG", f"{decision}\n")
        return decision.size

    def wished_or(self, size: int) -> int:
        """The size that somebody asked for, also before it began or while it was paused; else this one."""
        wished = self.read_wishes()
        if wished is not None and wished != size:
            self.reporter.message("info", f"Batch size set to {wished:,} from outside.")
            self.reporter.pace_changed()
        return size if wished is None else wished

    def read_wishes(self) -> int | None:
        """Look once a second whether somebody changed batch size or pause."""
        if not self.commits or time.monotonic() - self._wishes_read_at < WISHES_SECONDS:
            return self._wished
        self._wishes_read_at = time.monotonic()
        try:
            wishes = checkpoints.wishes(self.command.migration_name, self.using)
        except (OperationalError, InterfaceError):
            # The next batch meets the same trouble, and is tried again where that helps.
            return self._wished
        self.follow_wishes(*wishes)
        return self._wished

    def follow_wishes(self, size: int | None, pause: float | None) -> None:
        """Somebody wishes this batch size and this pause, or says nothing of it."""
        if pause is not None and pause != self.pause:
            self.reporter.message("info", f"Pause between batches set to {pause:g} s from outside.")
            self.pause = pause
            self.reporter.pace_changed()
        self._wished = size

    def rest(self) -> None:
        """The pause between two batches."""
        if self.pause > 0 and self.lease is not None:
            self.stop.wait(self.pause)
