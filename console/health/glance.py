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
