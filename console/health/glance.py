"""What the checks of one look share, each thing asked once."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from django.db.utils import Error

from console import presence, spool
from console.models import Worker
from data_migrations import databases

from . import probe
from .probe import Probe

# A deploy or a restart of the workers takes no longer.
RESTART_SECONDS = 15.0


class Glance:
    """One look at everything.

    Args:
        full: ask every database. Otherwise only the console's, over the connection of this thread.
    """

    def __init__(self, *, full: bool) -> None:
        self.full = full

    @cached_property
    def now(self) -> datetime:
        """The time by the clock of the console's database, by which all signs of life are written."""
        return databases.now(spool.alias())

    def age(self, when: datetime) -> float:
        """How many seconds ago that was; never less than 0."""
        return max(0.0, (self.now - when).total_seconds())

    def before(self, seconds: float) -> datetime:
        """The moment so many seconds ago."""
        return self.now - timedelta(seconds=seconds)

    @cached_property
    def workers(self) -> list[Worker]:
        """The workers that were seen lately."""
        return list(presence.seen())

    @cached_property
    def gone_for(self) -> float | None:
        """For how many seconds the last worker has been gone; None where one is there, or none said goodbye."""
        left = None if self.workers else presence.last_goodbye()
        return None if left is None else self.age(left)

    @property
    def is_restarting(self) -> bool:
        """Whether the last worker stopped so lately that the next one may be on its way."""
        return self.gone_for is not None and self.gone_for < RESTART_SECONDS

    @property
    def is_unattended(self) -> bool:
        """Whether there is no worker that takes runs, nor one to be expected."""
        return not self.is_restarting and all(worker.draining for worker in self.workers)

    @cached_property
    def probes(self) -> dict[str, Probe]:
        """How each database is, by alias."""
        if self.full:
            return probe.ask_all(probe.aliases())
        own = Probe(spool.alias())
        try:
            own.unapplied = probe.unapplied(own.alias)
        except Error as error:
            own.error = str(error).strip()
        return {own.alias: own}

    @property
    def own(self) -> Probe:
        """How the console's own database is."""
        return self.probes[spool.alias()]
