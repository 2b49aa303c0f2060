"""Batches that only read: found out while they are done, and loaded without locks as long as nothing else comes.

After a few batches in a row whose rows were loaded, and whose work asked nothing of the database, the next one is
loaded before its transaction begins. Should it ask something after all, its rows are locked and compared first. If it
asks nothing, its transaction is empty, and its place need not be stored at once.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .batches import AheadBatch, Batch, LoadAgain, QuerysetBatch, QuerysetSource, Source

AFTER = 3
"""How many batches in a row have to ask nothing before one is loaded ahead."""
# Where an empty transaction can be told from one that was used.
_VENDORS = {"postgresql", "sqlite"}
_IDLE = 0


class Watch:
    """Sees whether something is asked of the database while a batch is worked on, and settles the batch before it is.

    Args:
        using: the database of the batches.

    Attributes:
        is_silent: nothing was asked through Django's connections in this thread but the batch's own rows, and nothing
            waits for the commit.
        is_empty: nothing was done in the transaction, by the word of the driver; only of a batch loaded ahead.
    """

    def __init__(self, using: str) -> None:
        self._connection = connections[using]
        self._all: list[BaseDatabaseWrapper] = []
        self._batch: Batch | None = None
        self._failed: LoadAgain | None = None
        self.is_silent = True
        self.is_empty = False

    def over(self, batch: Batch) -> Watch:
        """The same for the next batch, as a context manager."""
        # What is done in another database is not undone with the batch, so it must not be done again without need.
        # There may be more of them than there were: some sites make those of a tenant known when they are needed.
        self._all = [connections[alias] for alias in connections]
        self._batch = batch
        self._failed = None
        self.is_silent, self.is_empty = True, False
        return self

    def __enter__(self) -> Watch:
        self._changes = self._total_changes()
        self._hooks = len(self._connection.run_on_commit)
        for connection in self._all:
            connection.execute_wrappers.append(self._see)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in self._all:
            if self._see in connection.execute_wrappers:
                connection.execute_wrappers.remove(self._see)
        # The next batch is loaded before it is watched; this one's rows need not be there any more by then.
        batch, self._batch = self._batch, None
        if error is not None:
            return
        if self._failed is not None:
            # The author's code caught it.
            raise self._failed
        if len(self._connection.run_on_commit) > self._hooks or self._connection.needs_rollback:
            # What waits for the commit comes after it, so the place has to be in it. And what is to be rolled back is
            # not done: storing its place says so.
            self.is_silent = False
            if isinstance(batch, AheadBatch):
                batch.settle()
        if isinstance(batch, AheadBatch) and self.is_silent:
            self.is_empty = self._is_empty()
            if not self.is_empty:
                raise LoadAgain(f"{batch.where()} worked past Django's connection", for_good=True)

    def _see(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """The wrapper around each statement."""
        if isinstance(self._batch, QuerysetBatch) and self._batch.is_loading:
            return execute(sql, params, many, context)
        if self._failed is not None:
            raise self._failed
        if isinstance(self._batch, AheadBatch):
            try:
                self._batch.settle()
            except LoadAgain as error:
                self._failed = error
                raise
        self.is_silent = False
        return execute(sql, params, many, context)

    def _is_empty(self) -> bool:
        connection = self._connection
        if connection.vendor == "postgresql":
            # Both of its drivers begin the transaction with its first statement.
            return connection.connection is not None and connection.connection.info.transaction_status == _IDLE
        return self._total_changes() == self._changes

    def _total_changes(self) -> int:
        return getattr(self._connection.connection, "total_changes", 0)


class Reading:
    """Whether the next batch is to be loaded ahead, as the batches before it suggest.

    Args:
        allowed: whether it may be at all.
    """

    def __init__(self, using: str, source: Source, allowed: bool) -> None:
        self.using = using
        self._source = source if isinstance(source, QuerysetSource) and source.keyset.can_load_ahead else None
        self._allowed = allowed and connections[using].vendor in _VENDORS
        self.watch = Watch(using)
        self._silent = 0

    def ahead(self, cursor: Any, number: int, size: int) -> tuple[Batch, Any] | None:
        """The batch after the cursor, loaded, and the cursor after it; None where it is to be got in the usual way."""
        if self._source is None or not self._allowed or self._silent < AFTER:
            return None
        return self._source.ahead(cursor, number, size)

    def note(self, batch: Batch) -> None:
        """Learn from a batch that was done under the watch."""
        is_reader = self.watch.is_silent and isinstance(batch, QuerysetBatch) and batch.is_loaded
        self._silent = self._silent + 1 if is_reader else 0

    def begin_anew(self, *, for_good: bool = False) -> None:
        """Something came in between: lock rows again, for good or until some more batches have only read."""
        self._silent = 0
        self._allowed = self._allowed and not for_good
