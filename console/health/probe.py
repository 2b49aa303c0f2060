"""Asking databases how they are, each in a thread of its own: one that is dead holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.utils import Error

from console import catalogue, skew, spool
from console.threads import ConsoleThread
from data_migrations import ledger, registry
from data_migrations.exceptions import DataMigrationError
from data_migrations.models import AppliedMigration

# A database that needs longer to answer these few questions is not well.
ANSWER_SECONDS = 3.0
WELL_SECONDS = 60

# Until when it need not be looked again whether all schema migrations are applied, by database.
_well_until: dict[str, float] = {}
_asking: dict[str, _Asking] = {}
_lock = threading.Lock()


@dataclass
class Probe:
    """How one database is. What could not be asked is None."""

    alias: str
    error: str = ""
    """Why it does not answer; empty where it does."""
    skew: float | None = None
    """Seconds that this host's clock is ahead of its clock."""
    journal_mode: str | None = None
    """SQLite's; None for other databases."""
    unapplied: list[str] = field(default_factory=list)
    """Schema migrations of ours that are not applied, as "app.name"."""
    missing_tables: list[str] = field(default_factory=list)
    """Tables of the ledger that are not there."""
    pending: int | None = None
    """Data migrations in the code that are not in its ledger."""


class _Asking(ConsoleThread):
    """The thread that asks; its connections are closed at its end."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"console probe of {alias}", self._ask)
        self.alias = alias
        self.result: Probe | None = None

    def _ask(self) -> None:
        self.result = ask(self.alias, impatient=True)


def aliases() -> list[str]:
    """The databases to ask: those with data, and the console's own."""
    return list(dict.fromkeys([*catalogue.databases(), spool.alias()]))


def ask_all(names: Iterable[str]) -> dict[str, Probe]:
    """How each of these databases is, after ``ANSWER_SECONDS`` at most. Raises nothing."""
    threads = {}
    with _lock:
        for alias in names:
            thread = _asking.get(alias)
            # One that still waits for a dead database is waited for again, so that threads do not pile up.
            if thread is None or not thread.is_alive():
                thread = _asking[alias] = _Asking(alias)
                thread.start()
            threads[alias] = thread
    until = time.monotonic() + ANSWER_SECONDS
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))
    return {alias: thread.result or _unanswered(alias) for alias, thread in threads.items()}


def _unanswered(alias: str) -> Probe:
    return Probe(alias, error=f"no answer within {ANSWER_SECONDS:g} s")


def ask(alias: str, *, impatient: bool = False) -> Probe:
    """How a database is, over this thread's own connection. Raises nothing.

    Args:
        alias: the database.
        impatient: set the connection up to give up soon; only for a thread's own.
    """
    probe = Probe(alias)
    try:
        if impatient:
            _give_up_soon(alias)
        _, probe.skew = skew.measure(alias)
        connection = connections[alias]
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                probe.journal_mode = str(cursor.execute("PRAGMA journal_mode").fetchone()[0]).lower()
        probe.unapplied = unapplied(alias)
        if alias in catalogue.databases():
            probe.missing_tables = ledger.missing_tables(alias)
            if not probe.missing_tables:
                probe.pending = _pending(alias)
    except (Error, DataMigrationError, ImproperlyConfigured, OSError) as error:
        probe.error = str(error).strip() or type(error).__name__
    except Exception as error:
        probe.error = f"{type(error).__name__}: {error}"
    return probe


def _give_up_soon(alias: str) -> None:
    connection: Any = connections[alias]
    if connection.connection is not None:
        return
    options = connection.settings_dict.get("OPTIONS") or {}
    if connection.vendor in ("postgresql", "mysql") and "pool" not in options:
        # A dict of its own: the other connections to this database keep theirs.
        # libpq takes anything under two seconds for two.
        seconds = max(2, round(ANSWER_SECONDS))
        soon: dict[str, int] = {"connect_timeout": seconds}
        if connection.vendor == "mysql":
            soon["read_timeout"] = seconds
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": {**options, **soon}}
    statements = {
        "sqlite": "PRAGMA busy_timeout = 1000",
        "postgresql": f"SET statement_timeout = '{ANSWER_SECONDS:g}s'",
        "mysql": "SET SESSION innodb_lock_wait_timeout = 3",
    }
    if connection.vendor in statements:
        with connection.cursor() as cursor:
            cursor.execute(statements[connection.vendor])


def unapplied(alias: str) -> list[str]:
    """The schema migrations of the core, the console and its queue that this database lacks.

    Raises:
        Error: it does not answer.
    """
    # Looking costs as much as a "migrate" with nothing to do.
    if time.monotonic() < _well_until.get(alias, 0):
        return []
    loader = MigrationLoader(connections[alias])
    found = sorted(
        f"{app}.{name}"
        for app, name in loader.graph.nodes
        if app in _apps(alias) and (app, name) not in loader.applied_migrations
    )
    if not found:
        _well_until[alias] = time.monotonic() + WELL_SECONDS
    return found


def _apps(alias: str) -> list[str]:
    """The labels of our apps whose tables belong into this database."""
    ours = ["data_migrations"] if alias in catalogue.databases() else []
    return [*ours, "console", "django_q"] if alias == spool.alias() else ours


def _pending(alias: str) -> int:
    known = set(AppliedMigration.objects.using(alias).values_list("name", flat=True))
    return len({migration.name for migration in registry.all_migrations()} - known)


def forget() -> None:
    """Look anew at what was well a moment ago; for tests."""
    _well_until.clear()
