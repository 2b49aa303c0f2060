"""The databases: do they answer, are our tables there, do their clocks agree, how is SQLite set up."""

from __future__ import annotations

from django.db import connections

from console import spool
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance

SKEW_SECONDS = 2.0
BAD_SKEW_SECONDS = 30.0


def answers(glance: Glance) -> Finding:
    """Whether every database answers, and soon."""
    dead = {alias: probe.error for alias, probe in glance.probes.items() if probe.error}
    values = {"databases": {alias: not probe.error for alias, probe in glance.probes.items()}}
    if not dead:
        names = ", ".join(glance.probes)
        return Finding(State.GOOD, f"Every database answers: {names}.", values=values)
    hint = "Start it, or check its entry in DATABASES."
    if spool.alias() in dead:
        text = f"The console's database {spool.alias()!r} does not answer: {dead[spool.alias()]}"
        hint += " Runs go on meanwhile; what they print waits on their hosts."
    else:
        text = f"{', '.join(map(repr, dead))} does not answer."
    return Finding(State.BAD, text, hint, tuple(f"{alias}: {error}" for alias, error in dead.items()), values)


def tables(glance: Glance) -> Finding:
    """Whether all schema migrations of the core, the console and its queue are applied where they belong."""
    behind = {alias: probe.unapplied for alias, probe in glance.probes.items() if probe.unapplied}
    values = {"unapplied": behind}
    if not behind:
        return Finding(State.GOOD, "All schema migrations of the console and the core are applied.", values=values)
    names = "; ".join(f"{', '.join(missing)} not applied{_where(alias)}" for alias, missing in behind.items())
    whose = "The console's tables are" if spool.alias() in behind else "The ledger's tables are"
    hint = "Run: " + " and ".join(f"python manage.py migrate{_option(alias)}" for alias in behind)
    return Finding(State.BAD, f"{whose} not up to date: {names}.", hint, values=values)


def _where(alias: str) -> str:
    return "" if alias == "default" else f" in {alias}"


def _option(alias: str) -> str:
    return "" if alias == "default" else f" --database {alias}"


def ledger(glance: Glance) -> Finding:
    """Whether each database with data has the tables of the ledger."""
    asked = {alias: probe for alias, probe in glance.probes.items() if not probe.error}
    missing = {alias: probe.missing_tables for alias, probe in asked.items() if probe.missing_tables}
    values = {"missing": missing}
    if not asked:
        return Finding(State.UNKNOWN, "No database answers.", values=values)
    if not missing:
        return Finding(State.GOOD, "The ledger's tables are there in every database that answers.", values=values)
    named = "; ".join(f"{', '.join(tables)} in {alias!r}" for alias, tables in missing.items())
    hint = " and ".join(f"python manage.py migrate data_migrations{_option(alias)}" for alias in missing)
    return Finding(
        State.BAD,
        f"Tables of the ledger are missing: {named}. No data migration can be run there.",
        f"Run: {hint}. Keep the app out of databases without data migrations with a router (allow_migrate).",
        values=values,
    )


def clocks(glance: Glance) -> Finding:
    """How far the clocks of this host, of the workers' hosts and of the databases are apart."""
    skews = {f"this host and database {alias!r}": probe.skew for alias, probe in glance.probes.items()}
    for worker in glance.workers:
        key = f"worker host {worker.host} and the console's database"
        if worker.clock_skew is not None:
            skews[key] = max(skews.get(key) or 0.0, worker.clock_skew, key=abs)
    known = {key: skew for key, skew in skews.items() if skew is not None}
    if not known:
        return Finding(State.UNKNOWN, "No database answers, so that there is nothing to compare with.")
    worst = max(map(abs, known.values()))
    values = {"largest_skew_seconds": round(worst, 3)}
    details = tuple(f"{key}: {duration(abs(skew))} apart" for key, skew in known.items() if abs(skew) >= SKEW_SECONDS)
    if worst < SKEW_SECONDS:
        return good(f"All clocks agree within {max(worst, 0.1):.1f} s.", **values)
    return Finding(
        State.BAD if worst >= BAD_SKEW_SECONDS else State.WARNING,
        f"Clocks are up to {duration(worst)} apart.",
        "Let the hosts set their clocks over the network (chrony, systemd-timesyncd). What is alive is told by the "
        "database's clock and stays right; times that pages and logs show do not.",
        details,
        values,
    )


def sqlite(glance: Glance) -> Finding:
    """Whether SQLite files can be read while they are written, and writers wait for each other."""
    files = {alias: probe for alias, probe in glance.probes.items() if connections[alias].vendor == "sqlite"}
    if not files:
        return good("No database is SQLite.")
    wrong = []
    for alias, probe in files.items():
        if probe.journal_mode not in ("wal", "memory", None):
            wrong.append(f"{alias!r} is in journal mode {probe.journal_mode}, not WAL: readers and writers wait")
        mode = (connections[alias].settings_dict.get("OPTIONS") or {}).get("transaction_mode")
        if mode not in ("IMMEDIATE", "EXCLUSIVE"):
            wrong.append(f"{alias!r} begins its transactions {mode or 'DEFERRED'}: writers that meet fail at once")
    own = str(connections[spool.alias()].settings_dict["NAME"])
    if any(alias != spool.alias() and str(connections[alias].settings_dict["NAME"]) == own for alias in files) or (
        spool.alias() == "default"
    ):
        wrong.append("the console is in the same file as the data: while a run holds it, its log comes late")
    if not wrong:
        return good(f"WAL, IMMEDIATE, and the console in a file of its own ({', '.join(files)}).")
    return Finding(
        State.WARNING,
        f"SQLite: {'; '.join(wrong)}.",
        "OPTIONS = {'transaction_mode': 'IMMEDIATE', 'timeout': 30, 'init_command': 'PRAGMA journal_mode=WAL;'}, and "
        "a second file for the console (CONSOLE['DATABASE']).",
    )
