"""When the checkpoint of a run is stored: with each batch that may have changed something, else about once a second."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack

from django.db import transaction

from . import checkpoints, databases
from .checkpoints import Position
from .leases import HeldLease
from .stopping import StopFlag, StopRequested

logger = logging.getLogger("data_migrations")

LATE_SECONDS = 1.0
"""How much later the place behind batches that changed nothing may be stored."""


class Keeper:
    """Stores how far a run has come, always together with the fence.

    The place behind a batch whose transaction was empty need not be stored with it: gone through once more it changes
    nothing either. The next one that is stored covers it.

    Args:
        lease: None where nothing is kept, because the transaction is not ours to commit.
    """

    def __init__(self, name: str, using: str, lease: HeldLease | None, stop: StopFlag) -> None:
        self.name = name
        self.using = using
        self.lease = lease
        self.stop = stop
        self._stored_at = time.monotonic()
        # What the stored checkpoint counts, and where the run is if that is further on.
        self._stored_batches: int | None = None
        self._ahead: Position | None = None

    def can_wait(self) -> bool:
        """Whether the place behind an empty batch may be stored later."""
        return time.monotonic() - self._stored_at < LATE_SECONDS

    def store(self, position: Position) -> None:
        """Write the checkpoint and make sure of the lease, in the current transaction, as its last acts."""
        if self.lease is not None:
            position.store(self.lease)

    def note(self, position: Position, *, stored: bool) -> None:
        """The run is there, and what was done on the way is committed."""
        if self.lease is None:
            return
        if stored:
            self._stored_at = time.monotonic()
            self._stored_batches = position.batches
        self._ahead = None if stored else position

    def catch_up(self) -> None:
        """Store the place if that was put off: before a wait and at the end, whatever that is.

        Where it cannot be done nothing is lost: batches that changed nothing are gone through again.
        """
        if self._ahead is None:
            return
        try:
            databases.reconnect(self.using)
            with ExitStack() as shield, transaction.atomic(using=self.using):
                self.store(self._ahead)
                shield.enter_context(self.stop.shield())
        except (Exception, StopRequested):
            logger.debug("The checkpoint of %s stays behind.", self.name, exc_info=True)
            return
        self.note(self._ahead, stored=True)

    def committed(self, position: Position) -> Position:
        """After a lost connection: where the database says that the run is, in case the commit got through."""
        if not databases.reconnect(self.using):
            return position
        stored = checkpoints.begin(self.name, self.using, kept=True)
        stored.total = position.total
        stored.gone += position.gone - position.rows
        if self._ahead is not None and stored.batches == self._stored_batches:
            return position
        return stored
