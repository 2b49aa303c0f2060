"""What is wrong with the console just now, in words, with what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import Error

from data_migrations import databases

from . import conf, journal, notices, presence, queue, spool
from .models import Run
from .states import Status

START_WORKER = "python manage.py qcluster"
# Older than this, waiting lines are not just on their way.
DELAYED_SECONDS = 15
DEEP_QUEUE = 100

_tables_well_until: dict[str, float] = {}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. ``level`` is warning or error; ``id`` stays the same while the words may change."""

    id: str
    level: str
    text: str
    hint: str


def problems() -> list[Problem]:
    """All that is wrong now; empty when all is well. Never raises: what cannot be asked is a problem itself."""
    found = list(_tables())
    if found:
        return found
    for check in (_workers, _queue, _waiting, _spool, _notices):
        found += _asked(check)
    return found


def _asked(check: Callable[[], Iterator[Problem]]) -> list[Problem]:
    try:
        return list(check())
    except Error as error:
        return [_database(error)]


def _database(error: Exception) -> Problem:
    return Problem(
        "database",
        "error",
        f"The console's database {spool.alias()!r} does not answer: {str(error).strip()}",
        "Start it, or check its entry in DATABASES.",
    )


def _tables() -> Iterator[Problem]:
    alias = spool.alias()
    # Looking costs as much as a "migrate" with nothing to do.
    if time.monotonic() < _tables_well_until.get(alias, 0):
        return
    try:
        executor = MigrationExecutor(connections[alias])
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] in ("console", "django_q")]
        missing = [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(targets)]
    except Error as error:
        yield _database(error)
        return
    ours = [each for each in missing if each.startswith(("console.", "django_q."))]
    if ours:
        option = "" if alias == "default" else f" --database {alias}"
        yield Problem(
            "tables",
            "error",
            f"The console's tables are not up to date: {', '.join(ours)} not applied.",
            f"Run: python manage.py migrate{option}",
        )
    else:
        _tables_well_until[alias] = time.monotonic() + 60


def _workers() -> Iterator[Problem]:
    seen = list(presence.seen())
    seconds = conf.get("WORKER_SEEN_SECONDS")
    if not seen:
        yield Problem(
            "workers",
            "warning",
            f"No worker was seen for {seconds:.0f} s: runs will wait.",
            f"Start one with: {START_WORKER}",
        )
    elif all(worker.draining for worker in seen):
        yield Problem(
            "workers",
            "warning",
            "Every worker is about to stop and takes no more runs.",
            f"Start another with: {START_WORKER}",
        )


def _queue() -> Iterator[Problem]:
    try:
        depth = queue.waiting()
    except queue.QueueUnreachable as error:
        yield Problem(
            "queue",
            "error",
            f"The queue cannot be reached: {error}",
            "See that its database or server answers (Q_CLUSTER in the settings). Runs asked for now would fail.",
        )
        return
    if depth >= DEEP_QUEUE:
        yield Problem(
            "queue",
            "warning",
            f"{depth} messages wait in the queue.",
            "Start more workers, or see what keeps the ones that run busy.",
        )


def _waiting() -> Iterator[Problem]:
    since = databases.now(spool.alias()) - timedelta(seconds=max(60, 2 * conf.get("RERING_SECONDS")))
    waiting = Run.objects.filter(status=Status.ENQUEUED, enqueued_at__lt=since)
    if (count := waiting.count()) and not Run.objects.filter(status=Status.RUNNING, door="worker").exists():
        yield Problem(
            "waiting",
            "warning",
            f"{count} run{'s' if count > 1 else ''} waiting, and no worker is busy.",
            "Workers may be wedged or listen to another queue: restart them, and compare Q_CLUSTER on both sides.",
        )


def _spool() -> Iterator[Problem]:
    late = [path for path in spool.journals() if journal.delay(path, DELAYED_SECONDS)]
    if late:
        runs = "1 run" if len(late) == 1 else f"{len(late)} runs"
        yield Problem(
            "delayed",
            "warning",
            f"Delayed: the log of {runs} waits on this host to be stored.",
            "The console's database could not be written. On SQLite in one file this lasts while a migration holds "
            "the file; keep the console's tables in a second one (CONSOLE['DATABASE']).",
        )


def _notices() -> Iterator[Problem]:
    for channel, count, error in notices.failing():
        yield Problem(
            "notices",
            "warning",
            f"{count} notice{'s' if count > 1 else ''} could not be sent by {channel}: {error}",
            "Mend it, try it with: python manage.py console_notices test, and have what was given up tried again with: "
            "python manage.py console_notices retry",
        )
    if count := notices.overdue(databases.now(spool.alias())):
        yield Problem(
            "notices",
            "warning",
            f"{count} notice{'s' if count > 1 else ''} should have been sent a while ago.",
            f"Workers send them: start one with {START_WORKER}, or send them now: python manage.py console_notices "
            "send",
        )
