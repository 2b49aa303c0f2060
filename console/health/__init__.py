"""How the console is just now: each check looks at one thing and says how it is and what to do about it.

One check a function; nothing that a check raises leaves this package.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction
from django.db.utils import Error
from django.utils import timezone

from console import spool

from . import canary, databases, logs, messages, notices, runs, setup, workers
from .discretion import Discretion
from .finding import SEVERITY, Check, Finding, Result, State
from .glance import Glance
from .workers import START_WORKER

__all__ = ["CHECKS", "START_WORKER", "Check", "Finding", "Report", "Result", "State", "look", "problems", "report"]

logger = logging.getLogger("console")

CHECKS = (
    Check(
        "database",
        "Databases",
        "The console's database and those with data answer within seconds.",
        databases.answers,
        on_list=True,
        alone=True,
    ),
    Check(
        "tables",
        "Schema migrations",
        "Those of the core, the console and its queue are applied where their tables belong.",
        databases.tables,
        on_list=True,
        alone=True,
    ),
    Check(
        "workers",
        "Workers",
        "Processes that carry runs out give a sign of life every few seconds.",
        workers.look,
        on_list=True,
    ),
    Check(
        "canary",
        "Canary",
        "A message without work comes through the queue every minute or so. Workers may look alive and take nothing.",
        canary.look,
        on_list=True,
    ),
    Check("queue", "Queue", "Messages that no worker has taken.", messages.depth, on_list=True),
    Check("waiting", "Runs that wait", "Runs that no worker has begun.", messages.waiting, on_list=True),
    Check("stuck", "Stuck runs", "Runs that go on give a sign of life every few seconds.", runs.stuck, on_list=True),
    Check("schedule", "Schedule", "Runs with a start time begin then.", runs.schedule, on_list=True),
    Check("approval", "Approval", "Runs that need the agreement of a second person.", runs.approval),
    Check("delayed", "Log lag", "What runs print is stored within a second.", logs.lag, on_list=True),
    Check("logs", "Size of logs", "Room that logs take, and room for lines on their way.", logs.size),
    Check("notices", "Notices", "People are told of what they asked to be told of.", notices.look, on_list=True),
    Check(
        "ledger",
        "Ledger tables",
        "Every database with data has the tables that keep what is applied.",
        databases.ledger,
        alone=True,
    ),
    Check("code", "Code", "Commands run as their files have them.", setup.code, alone=True),
    Check("clock", "Clocks", "This host, the workers' hosts and the databases agree on the time.", databases.clocks),
    Check("retry", "Retry", "The queue waits longer for a run than a run may take.", setup.retry),
    Check("sqlite", "SQLite", "SQLite files are set up for several processes at once.", databases.sqlite, alone=True),
    Check(
        "settings",
        "Settings",
        "The system checks of both apps, as this web server's process sees them.",
        setup.system,
        alone=True,
    ),
)


@dataclass(frozen=True)
class Report:
    """What all checks found."""

    at: datetime
    results: tuple[Result, ...]

    @property
    def state(self) -> State:
        """The worst of them: good, warning or bad. What cannot be told counts as a warning."""
        worst = max((SEVERITY[result.state] for result in self.results), default=0)
        return (State.GOOD, State.WARNING, State.BAD)[worst]

    def of(self, state: State) -> list[Result]:
        """Those that found that."""
        return [result for result in self.results if result.state == state]


def report() -> Report:
    """What every check finds now. Never raises, and takes a few seconds where a database is dead."""
    return look(Glance(full=True))


def look(glance: Glance) -> Report:
    """The same for one who looks at other things too."""
    return Report(timezone.now(), tuple(_look(CHECKS, glance)))


def problems() -> list[Result]:
    """What deserves a line on top of the list of data migrations; empty when all is well. Never raises."""
    results = list(_look([check for check in CHECKS if check.on_list], Glance(full=False)))
    # Without the tables the rest has nothing to ask.
    first = [result for result in results if result.check.alone and result.state == State.BAD]
    return first or [
        result for result in results if result.state in (State.WARNING, State.BAD) or result.finding.raised
    ]


def _look(checks: Iterable[Check], glance: Glance) -> Iterator[Result]:
    """Each check with what it found. Once the console's database fails, those that need it are not asked."""
    discretion = Discretion()
    away = ""
    for check in checks:
        if away and not check.alone:
            yield Result(check, Finding(State.UNKNOWN, away))
            continue
        try:
            finding = _asked(check, glance)
        except Exception as error:
            if not isinstance(error, Error):
                logger.exception("The health check %s failed.", check.id)
            what = str(error).strip() or "no message"
            text = f"{check.title} could not be looked at: {type(error).__name__}: {what}"
            finding = Finding(State.UNKNOWN, text, raised=True)
        else:
            if check.id == "database" and glance.own.error:
                away = "Not asked: the console's database does not answer."
            elif check.id == "tables" and glance.own.unapplied:
                away = "Not asked: the console's tables are not up to date."
        yield Result(check, discretion(finding))


def _asked(check: Check, glance: Glance) -> Finding:
    alias = spool.alias()
    if check.alone or not connections[alias].in_atomic_block:
        return check.look(glance)
    # One that fails must not spoil the transaction of the request.
    with transaction.atomic(using=alias):
        return check.look(glance)
