"""Whether a batched migration should wait before its next batch, and why.

Besides the command's own ``throttle()`` the database is asked how it fares. It is asked between batches only, on the
run's own connection and outside of any transaction, so that an answer that cannot be had breaks nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import Error

from . import conf, databases, windows
from .reporting import Reporter
from .stopping import StopFlag

if TYPE_CHECKING:
    from .management.commands.base import BatchedCommand

SECONDS = 1.0
"""How long an answer of the database is good for."""
AGAIN_SECONDS = 60.0
"""When a reason that lasts is told again."""
_NUMBERS = re.compile(r"\d+(\.\d+)?")


class Unreadable(Exception):
    """An indicator that the database does not show us; the text says why and what would help."""


@dataclass(frozen=True)
class Question:
    """What an indicator gets to know: the database alias, its limit, and the table that is worked on, if it is one."""

    using: str
    limit: float
    table: str | None

    def rows(self, sql: str, params: tuple[Any, ...] = (), using: str | None = None) -> list[dict[str, Any]]:
        """The rows of a statement by column name."""
        with connections[using or self.using].cursor() as cursor:
            cursor.execute(sql, params or None)
            columns = [column[0] for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


Indicator = Callable[[Question], str]
"""Gives the reason to wait, empty when there is none. Raises ``Unreadable`` or an error of the database."""

_NO_PRIVILEGE = "the database role may not see it; grant it pg_monitor"


def postgresql_replication_lag(question: Question) -> str:
    """How far a standby is behind in replaying, by what it told the primary; and the aliases in ``replicas``."""
    # Without the privilege there is a row for each standby, and nothing in it.
    found = question.rows(
        "SELECT application_name, state, EXTRACT(EPOCH FROM replay_lag)::float AS lag FROM pg_stat_replication "
        "WHERE state IS NULL OR state IN ('streaming', 'catchup')"
    )
    lags = [(row["application_name"] or "a standby", row["lag"]) for row in found if row["lag"] is not None]
    for alias in conf.throttle("replicas"):
        behind = _of_replica(
            question,
            "SELECT CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 "
            "ELSE EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float END AS lag",
            alias,
        )
        lags += [(alias, row["lag"]) for row in behind if row["lag"] is not None]
    hidden = sum(row["state"] is None for row in found) if not conf.throttle("replicas") else 0
    return _worst_lag(lags, question.limit, _NO_PRIVILEGE if hidden else "")


def mysql_replication_lag(question: Question) -> str:
    """How far this server is behind its own source, and those of the aliases in ``replicas`` behind theirs."""
    lags: list[tuple[str, float]] = []
    broken = ""
    is_mariadb = getattr(connections[question.using], "mysql_is_mariadb", True)
    status = "SHOW ALL SLAVES STATUS" if is_mariadb else "SHOW REPLICA STATUS"
    for alias in (question.using, *conf.throttle("replicas")):
        for row in _of_replica(question, status, alias):
            seconds = row.get("Seconds_Behind_Master", row.get("Seconds_Behind_Source"))
            if seconds is None:
                broken = f"the replication of {alias} does not run"
            else:
                lags.append((alias, float(seconds)))
    if not conf.throttle("replicas"):
        # A source knows who its replicas are, and not how far they have come.
        count = len(question.rows("SHOW SLAVE HOSTS" if is_mariadb else "SHOW REPLICAS"))
        if count:
            broken = broken or (
                f"this server has {count} of them and does not know their lag; name their aliases in "
                'DATA_MIGRATIONS["THROTTLE"]["replicas"]'
            )
    return _worst_lag(lags, question.limit, broken)


def _of_replica(question: Question, sql: str, alias: str) -> list[dict[str, Any]]:
    """What a replica says of itself; one that does not answer is unreadable, and no reason to mend our connection."""
    try:
        return question.rows(sql, using=alias)
    except Error as error:
        if alias == question.using:
            raise
        raise Unreadable(f"{alias} does not answer: {str(error).strip()}") from error


def _worst_lag(lags: list[tuple[str, float]], limit: float, unreadable: str) -> str:
    name, seconds = max(lags, key=lambda lag: lag[1], default=("", 0.0))
    if seconds > limit:
        return f"replication lag of {name} is {seconds:.1f} s, limit {limit:g} s"
    if unreadable:
        raise Unreadable(unreadable)
    return ""


def postgresql_blocked_sessions(question: Question) -> str:
    """How many sessions of this database wait for a lock. Advisory locks are left out: to wait for those is normal."""
    waiting = question.rows(
        "SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE NOT l.granted AND l.locktype <> 'advisory' AND a.datname = current_database() ORDER BY l.pid"
    )
    if len(waiting) <= question.limit:
        return ""
    first = waiting[0]["pid"]
    blockers = question.rows("SELECT unnest(pg_blocking_pids(%s)) AS pid", (first,))
    for_whom = f" (process {first} for {', '.join(str(row['pid']) for row in blockers)})" if blockers else ""
    return f"{len(waiting)} sessions wait for a lock{for_whom}, limit {question.limit:g}"


def postgresql_oldest_transaction(question: Question) -> str:
    """How long the oldest transaction in this database is open."""
    found = question.rows(
        "SELECT pid, usename, state, query = '<insufficient privilege>' AS hidden, "
        "EXTRACT(EPOCH FROM clock_timestamp() - xact_start)::float AS age FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND (backend_type IS NULL OR backend_type = 'client backend') ORDER BY xact_start NULLS LAST"
    )
    aged = [row for row in found if row["age"] is not None]
    if aged and aged[0]["age"] > question.limit:
        oldest = aged[0]
        return (
            f"the oldest transaction (process {oldest['pid']} of {oldest['usename']}, {oldest['state']}) is open for "
            f"{oldest['age']:.1f} s, limit {question.limit:g} s"
        )
    if any(row["hidden"] for row in found):
        raise Unreadable(_NO_PRIVILEGE)
    return ""


def postgresql_vacuum(question: Question) -> str:
    """Whether the table is being vacuumed, by autovacuum or a person, which more dead rows would only prolong."""
    if question.table is None:
        return ""
    found = question.rows(
        "SELECT v.pid, v.relid IS NULL AS hidden, v.relid = to_regclass(%s) AS ours, "
        "v.heap_blks_scanned * 100 / GREATEST(v.heap_blks_total, 1) AS percent FROM pg_stat_progress_vacuum v "
        "WHERE v.datname = current_database()",
        (connections[question.using].ops.quote_name(question.table),),
    )
    for row in found:
        if row["ours"]:
            return f"{question.table} is being vacuumed (process {row['pid']}, {row['percent']} % scanned)"
    if any(row["hidden"] for row in found):
        raise Unreadable(_NO_PRIVILEGE)
    return ""


def mysql_threads_running(question: Question) -> str:
    """How many threads the server is running at this moment, ours not counted."""
    row = question.rows("SHOW GLOBAL STATUS LIKE 'Threads_running'")[0]
    running = int(row["Value"]) - 1
    return f"{running} threads are running, limit {question.limit:g}" if running > question.limit else ""


INDICATORS: dict[str, dict[str, Indicator]] = {
    "postgresql": {
        "replication_lag": postgresql_replication_lag,
        "blocked_sessions": postgresql_blocked_sessions,
        "oldest_transaction": postgresql_oldest_transaction,
        "vacuum": postgresql_vacuum,
    },
    "mysql": {
        "replication_lag": mysql_replication_lag,
        "threads_running": mysql_threads_running,
    },
}
"""What can be asked, by the database's vendor and the indicator's key in the settings."""


class Throttle:
    """Asks the command and the database before each batch of one run.

    Args:
        reporter: told, once for each, of indicators that cannot be read.
        table: the table that the batches change, where they come from one.
    """

    def __init__(self, command: BatchedCommand, using: str, reporter: Reporter, table: str | None = None) -> None:
        self.command = command
        self.using = using
        self.reporter = reporter
        self.table = table
        self._asked_at = float("-inf")
        self._answer = ""
        self._told: set[str] = set()

    def wait(self, stop: StopFlag, before: Callable[[], None] = lambda: None) -> None:
        """Wait until the next batch may go, and say why it does not: once for each reason, and again now and then.

        Args:
            before: called when there is a reason to wait.

        Raises:
            StopRequested: somebody asked the run to stop meanwhile.
            OutsideWindow: its daily window is closed, and it is not to wait for it.
        """
        told, told_at = "", 0.0
        while reason := self.reason():
            before()
            self.reporter.throttled(reason)
            # The numbers in it change at each look.
            kind = _NUMBERS.sub("", reason)
            if kind != told or time.monotonic() - told_at > AGAIN_SECONDS:
                self.reporter.message("warning", f"Waiting: {reason}")
                told, told_at = kind, time.monotonic()
            stop.wait(conf.get("THROTTLE_SECONDS"))
            stop.check()
        if told:
            self.reporter.throttled("")
            self.reporter.message("info", "Going on.")

    def reason(self) -> str:
        """Why the next batch should wait, in words for a person; empty when it may go."""
        return windows.reason(self.command) or self.command.throttle() or self.database_reason()

    def database_reason(self) -> str:
        """What the database says against the next batch; asked at most once a second."""
        connection = connections[self.using]
        # Waiting with an open transaction would hold its locks, and a failed question would spoil it.
        if connection.in_atomic_block or connection.vendor not in INDICATORS:
            return ""
        if time.monotonic() - self._asked_at >= SECONDS:
            self._answer = self._ask(INDICATORS[connection.vendor])
            self._asked_at = time.monotonic()
        return self._answer

    def _ask(self, indicators: dict[str, Indicator]) -> str:
        """The first reason of those whose limit is set."""
        for key, indicator in indicators.items():
            limit = conf.throttle(key)
            if limit is None or limit is False:
                continue
            try:
                reason = indicator(Question(self.using, float(limit), self.table))
            except Unreadable as error:
                reason = self._unreadable(key, str(error))
            except Error as error:
                if databases.is_connection_lost(error) and databases.reconnect(self.using):
                    # The next batch finds out what became of the connection, and is tried again where it has to be.
                    return ""
                reason = self._unreadable(key, str(error).strip())
            if reason:
                return reason
        return ""

    def _unreadable(self, key: str, why: str) -> str:
        """What an indicator that cannot be read means, as the settings say."""
        text = f"{key.replace('_', ' ')} cannot be read: {why}"
        if conf.throttle("unreadable") == "stop":
            return f'{text}. DATA_MIGRATIONS["THROTTLE"]["unreadable"] says to stop then'
        if key not in self._told:
            self._told.add(key)
            if key in conf.get("THROTTLE"):
                self.reporter.message("warning", f"{text}. Going on without it.")
            else:
                # On by default only: nobody asked for it, so nobody needs to act on it.
                self.reporter.output("logging:DEBUG", f"{text}. Going on without it.\n")
        return ""
