"""A worker process says that it is there, and does the small chores that any of them may do."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.utils import Error
from django.utils import timezone

from data_migrations import databases
from data_migrations.processes import Process

from . import conf, journal, queue, skew, spool
from .models import Worker
from .threads import ConsoleThread, within

logger = logging.getLogger("console")

# Rows of workers that were not seen for so long are taken away.
FORGET_AFTER = timedelta(days=1)
# A worker that ends waits no longer for its goodbye to be written.
GOODBYE_SECONDS = 3.0

# A worker is forked from the cluster, so that its code may be older than its process.
LOADED_AT = timezone.now()

_current: Presence | None = None


class Presence(ConsoleThread):
    """Beats for one worker process, and ticks: stores orphaned journals, rescues runs."""

    def __init__(self, process: Process) -> None:
        super().__init__(f"console presence of {process.pid}")
        self.process = process
        self.run_id: int | None = None
        self._ended = threading.Event()
        self._is_failing = False
        self._sweeps_from = 0.0

    def run(self) -> None:
        try:
            while True:
                self.tick()
                if self._ended.wait(conf.get("HEARTBEAT_SECONDS")):
                    return
        finally:
            connections.close_all()

    def end(self, seconds: float = 10) -> None:
        """Stop, and wait until the thread's connections are closed."""
        self._ended.set()
        self.join(timeout=seconds)

    def tick(self) -> None:
        """One beat and one round of chores; a database that is away is waited for."""
        # Imported late: they ring the queue, and what they ring is answered by a worker.
        from . import canary, chores, drain, rescue

        try:
            spool.prepare_connection()
            beat(self.process, self.run_id)
            chores.tick()
            drain.drain_orphans()
            if time.monotonic() >= self._sweeps_from:
                rescue.sweep()
            canary.settle()
            canary.send_if_due()
        except Error as error:
            if not self._is_failing:
                logger.warning("The console's database does not answer the worker %s: %s", name(), error)
            self._is_failing = True
            # Nobody could beat while the database was away: the living get the time to do so first.
            self._sweeps_from = time.monotonic() + conf.get("STUCK_SECONDS")
            connections.close_all()
        except Exception:
            logger.exception("A chore of the worker %s failed; the next round tries again.", name())
        else:
            self._is_failing = False


def start() -> None:
    """Begin to beat for this process. Called in each worker right after it was made."""
    global _current
    process = Process.current()
    if _current is not None and _current.process == process and _current.is_alive():
        return
    _current = Presence(process)
    _current.start()


def stop(seconds: float = 10) -> None:
    """End the beat of this process, where there is one."""
    global _current
    if _current is not None:
        _current.end(seconds)
        _current = None


def leave() -> None:
    """Say goodbye for this process, so that nobody has to miss it first. Raises nothing; takes seconds at most."""

    def write() -> None:
        try:
            spool.prepare_connection()
            _own(Process.current()).update(left_at=databases.now(spool.alias()), run_id=None)
        finally:
            connections[spool.alias()].close()

    try:
        stop(GOODBYE_SECONDS)
        within(GOODBYE_SECONDS, write)
    except Exception as error:
        logger.debug("The worker %s could not say goodbye: %s", name(), error)


def name() -> str:
    """The name of this worker, for people."""
    process = Process.current()
    return f"{process.host}:{process.pid}"


def at_work_on(run_id: int | None) -> None:
    """Say what this worker is doing; None: it waits."""
    if _current is not None:
        _current.run_id = run_id


def is_draining() -> bool:
    """Whether this worker is asked to stop, by its cluster or by its row: then it takes no run any more."""
    if queue.is_stopping():
        return True
    try:
        return _own(Process.current()).filter(draining=True).exists()
    except Error:
        return False


def _own(process: Process) -> QuerySet[Worker]:
    return Worker.objects.filter(
        host=process.host, machine=process.machine, pid=process.pid, pid_started=process.started
    )


def beat(process: Process, run_id: int | None) -> None:
    """Write that the process is there, and what it works on."""
    now, ahead = skew.measure(spool.alias())
    fields: dict[str, Any] = {"seen_at": now, "run_id": run_id, "clock_skew": ahead, "log_lag": journal.lag(after=1)}
    if queue.is_stopping():
        fields["draining"] = True
    if not _own(process).update(**fields):
        with transaction.atomic(using=spool.alias()):
            _own(process).get_or_create(
                host=process.host,
                machine=process.machine,
                pid=process.pid,
                pid_started=process.started,
                defaults={"started_at": now, "release": conf.get("RELEASE"), **fields},
            )
        _forget(now)


def _forget(now: datetime) -> None:
    """Take away the rows of processes that are gone for certain, or were not seen for long."""
    gone = [
        worker.pk
        for worker in Worker.objects.all()
        if worker.seen_at < now - FORGET_AFTER
        or Process(worker.host, worker.machine, worker.pid, worker.pid_started).is_gone
    ]
    Worker.objects.filter(pk__in=gone).delete()


def seen() -> QuerySet[Worker]:
    """The workers that gave a sign of life lately."""
    since = databases.now(spool.alias()) - timedelta(seconds=conf.get("WORKER_SEEN_SECONDS"))
    return Worker.objects.filter(seen_at__gte=since, left_at=None)


def last_goodbye() -> datetime | None:
    """When the worker that was seen last has stopped as it was asked to; None where it did not say so, or goes on."""
    return Worker.objects.order_by("-seen_at").values_list("left_at", flat=True).first()
