"""The logs of the runs: lines that wait to be stored, and how much room they take."""

from __future__ import annotations

import shutil
import socket

from django.db import connections
from django.template.defaultfilters import filesizeformat

from console import conf, journal, spool
from console.models import LogChunk
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance

# Older than this, waiting lines are not just on their way.
DELAYED_SECONDS = 15
LONG_DELAYED_SECONDS = 15 * 60


def lags(glance: Glance) -> dict[str, float]:
    """For how many seconds log lines have waited to be stored, by host: this one, and those of the workers."""
    here = socket.gethostname()
    found = {here: journal.lag(after=1)}
    for worker in glance.workers:
        if worker.host != here:
            found[worker.host] = max(found.get(worker.host, 0.0), worker.log_lag or 0.0)
    return found


def lag(glance: Glance) -> Finding:
    """Whether lines wait on a host because the console's database cannot be written there."""
    here = socket.gethostname()
    waiting = {host: seconds for host, seconds in lags(glance).items() if seconds > DELAYED_SECONDS}
    values = {"seconds": round(max(waiting.values(), default=0.0), 1)}
    if not waiting:
        return good("All that was printed is stored.", **values)
    late = [path for path in spool.journals() if journal.delay(path, DELAYED_SECONDS)]
    parts = []
    if here in waiting:
        runs = "1 run" if len(late) == 1 else f"{len(late)} runs"
        parts.append(f"the log of {runs} waits on this host to be stored")
    if others := sorted(host for host in waiting if host != here):
        parts.append(f"log lines wait on {', '.join(others)} to be stored")
    longest = max(waiting.values())
    return Finding(
        State.BAD if longest > LONG_DELAYED_SECONDS else State.WARNING,
        f"Delayed: {'; '.join(parts)}, for {duration(longest)}.",
        "Nothing is lost. The console's database could not be written. On SQLite in one file this lasts while a "
        "migration holds the file; keep the console's tables in a second one (CONSOLE['DATABASE']). What a dead "
        "process left is stored by the next worker on its host.",
        tuple(f"{host}: {duration(seconds)}" for host, seconds in sorted(waiting.items())),
        values,
    )


def size(glance: Glance) -> Finding:
    """How much room the logs take in the database, and how much is left where lines wait for it."""
    stored = _stored_bytes()
    folder = spool.folder()
    free = shutil.disk_usage(folder).free
    values = {"bytes": stored, "spool_free_bytes": free}
    text = "" if stored is None else f"The logs take {_size(stored)} in the database {spool.alias()!r}."
    if stored is not None and connections[spool.alias()].vendor == "sqlite":
        text = f"The logs are in the file of the database {spool.alias()!r}, which takes {_size(stored)} in all."
    room = f"{_size(free)} are free on this host for lines on their way there."
    needed = conf.get("SPOOL_CAP_BYTES")
    if free >= needed:
        return good(f"{text} {room}".strip(), **values)
    return Finding(
        State.BAD if free < needed / 10 else State.WARNING,
        f"Only {room} {text}".strip(),
        f"One run may need {_size(needed)} (CONSOLE['SPOOL_CAP_BYTES']) while the database cannot be written; on a "
        f"full disk lines are lost, and no run is begun. Make room in {folder}, or name another folder in "
        "CONSOLE['SPOOL_DIR'].",
        values=values,
    )


def _size(count: int) -> str:
    return filesizeformat(count).replace("\xa0", " ")


def _stored_bytes() -> int | None:
    """The size of the table of log lines, from the database's own books; on SQLite that of the whole file."""
    connection = connections[spool.alias()]
    table = LogChunk._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            pages = cursor.execute("PRAGMA page_count").fetchone()[0]
            return int(pages) * int(cursor.execute("PRAGMA page_size").fetchone()[0])
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [connection.ops.quote_name(table)])
        elif connection.vendor == "mysql":
            cursor.execute(
                "SELECT data_length + index_length FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name = %s",
                [table],
            )
        else:
            return None
        row = cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else None
