"""The lease: one process at a time may run a migration, and one that lost it commits nothing.

One row a migration, in the database that holds the data: owner, fencing token, expiry. The
token rises with each taking, and whoever commits work locks the row first and compares it
(fencing tokens as in M. Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.db.utils import Error, OperationalError

from . import conf, databases
from .exceptions import AlreadyRunning, LeaseLost, Misconfigured
from .models import Lease
from .processes import Process
from .reporting import Holder
from .stopping import StopFlag

logger = logging.getLogger("data_migrations")

# What is being run by this very flow of control: each with its database.
_held: ContextVar[frozenset[tuple[str, str]]] = ContextVar("held leases", default=frozenset())


class HeldLease:
    """The right to run one migration, held by this process until released or lost."""

    def __init__(self, name: str, using: str, token: int, owner: str, previous: Lease, session: str = "") -> None:
        self.name = name
        self.using = using
        self.token = token
        self.owner = owner
        # How the row looked before: who held it, and whether that run came to its end.
        self.previous = previous
        self.session = session
        self.is_released = False
        self.heartbeat: Heartbeat | None = None
        quote = connections[using].ops.quote_name
        table, column = quote(Lease._meta.db_table), quote("token")
        # Made once: each batch of a batched run sends them, and the end of every run.
        ours = f"{quote('name')} = %s AND {column} = %s AND {quote('owner')} = %s"
        # One statement that locks and compares.
        self._confirmation = f"UPDATE {table} SET {column} = {column} WHERE {ours}"  # noqa: S608
        self._look = f"SELECT 1 FROM {table} WHERE {ours}"  # noqa: S608
        empty = f"{quote('owner')} = '', {quote('session')} = '', {quote('expires_at')} = NULL"
        self._release = f"UPDATE {table} SET {empty}, {quote('unfinished')} = %s WHERE {ours}"  # noqa: S608

    def announce(self, session: str) -> None:
        """Make known at once which database session does the work, so that a takeover can end it.

        It is another one than the one that took the lease where a pooler sits in between.
        """
        if session != self.session and self.heartbeat is not None:
            self.session = session
            self.heartbeat.beat()

    def confirm(self) -> None:
        """Lock the lease row in the current transaction and make sure that it is still ours.

        Called just before each commit that counts: from here to the commit nobody can take the
        lease over, and before it the heartbeat is not held up.

        Raises:
            LeaseLost: somebody took it over.
        """
        with connections[self.using].cursor() as cursor:
            cursor.execute(self._confirmation, self._identity)
            if cursor.rowcount != 1:
                raise LeaseLost()

    def confirm_with(self, update: str, values: list[Any]) -> None:
        """Send an UPDATE of one row and ``confirm``, both or neither, in as few statements as the database needs.

        Raises:
            LeaseLost: somebody took the lease over, or has that row taken away.
        """
        vendor = connections[self.using].vendor
        apart = False
        if vendor == "sqlite":
            # Whoever writes has its one write lock until the commit, so that a look is enough.
            update, values = f"{update} AND EXISTS ({self._look})", [*values, *self._identity]
        elif vendor == "postgresql":
            fence = f"WITH fence AS ({self._confirmation} RETURNING 1)"
            update, values = f"{fence} {update} AND EXISTS (SELECT 1 FROM fence)", [*self._identity, *values]  # noqa: S608
        else:
            apart = True
        with connections[self.using].cursor() as cursor:
            cursor.execute(update, values)
            if cursor.rowcount != 1:
                raise LeaseLost()
        if apart:
            self.confirm()

    @property
    def _identity(self) -> list[Any]:
        return [self.name, self.token, self.owner]

    def take_write_lock(self) -> None:
        """On SQLite take its one write lock as a transaction's first act.

        A deferred transaction that first reads and then wants to write fails at once when somebody else
        wrote in between, however long the timeout is.
        """
        if connections[self.using].vendor == "sqlite":
            self.confirm()

    def release(self, *, unfinished: bool = False) -> None:
        """Give the lease back, in the current transaction if there is one; does nothing once it is lost."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(self._release, [unfinished, *self._identity])
        transaction.on_commit(self._note_release, using=self.using)

    def _note_release(self) -> None:
        self.is_released = True

    def renew(self) -> bool:
        """Move the expiry on. False when the lease is lost."""
        expires = databases.now(self.using) + timedelta(seconds=conf.lease_seconds())
        return bool(
            Lease.objects.using(self.using)
            .filter(name=self.name, token=self.token, owner=self.owner)
            .update(expires_at=expires, session=self.session)
        )


class Heartbeat(threading.Thread):
    """Renews a lease through a connection of its own; asks the run to stop when the lease is lost."""

    # Should a real run ever be started inside a dry run, its lease is renewed all the same.
    outside_dry_runs = True

    def __init__(self, lease: HeldLease, stop: StopFlag) -> None:
        super().__init__(name=f"lease of {lease.name}", daemon=True)
        self.lease = lease
        self.stop_flag = stop
        self.ended = False
        self._due = threading.Event()

    def run(self) -> None:
        try:
            while True:
                self._due.wait(conf.heartbeat_seconds())
                self._due.clear()
                if self.ended:
                    return
                try:
                    with databases.short_lock_waits(self.lease.using):
                        kept = self.lease.renew()
                except Error:
                    # Blocked (the run itself may hold SQLite's write lock) or cut off: nobody else got
                    # further, or the token tells at the commit. The next beat tries again.
                    connections.close_all()
                    continue
                if not kept and not self.ended:
                    self.stop_flag.request("lease lost")
                    return
        finally:
            # Those of this thread: most runs are over before it needed one.
            connections.close_all()

    def beat(self) -> None:
        """Renew now and not only when it is due."""
        self._due.set()

    def end(self) -> None:
        """Stop beating, and wait until the thread's connection is closed."""
        self.ended = True
        self._due.set()
        self.join(timeout=10)


def is_live(row: Lease, now: datetime) -> bool:
    """Whether the one who holds the lease may still be at work."""
    if not row.owner or row.expires_at is None or row.expires_at <= now:
        return False
    process = Process(row.host, row.machine, row.pid, row.pid_started)
    return not process.is_gone and not databases.is_session_gone(row._state.db or "default", row.session)


@contextmanager
def hold(
    name: str,
    using: str,
    *,
    stop: StopFlag,
    wait: bool = True,
    timeout: float | None = None,
    keeps_partial_work: bool = False,
    on_wait: Callable[[Holder], None] = lambda holder: None,
) -> Iterator[HeldLease]:
    """Hold the lease of a migration while the block runs.

    Inside somebody's transaction the row stays locked until that transaction ends, which is
    lease and fence in one. Otherwise the taking is committed at once and a thread renews it.

    Args:
        wait: wait for another holder, at most ``timeout`` seconds (None: as long as it takes).
        keeps_partial_work: the run commits before its end, so an end that never comes is noted.
        on_wait: told once who holds the lease when this call has to wait.

    Raises:
        AlreadyRunning: somebody else holds it and we do not, or no longer, wait.
        StopRequested: somebody asked to stop while we waited.
    """
    if (name, using) in _held.get():
        raise Misconfigured(
            f"{name} calls itself: it would wait for its own end. Nothing more was started; take the inner call out."
        )
    inside = connections[using].in_atomic_block
    take = _lock_in_transaction if inside else _take
    lease = _wait_for(take, name, using, stop, wait, timeout, on_wait, keeps_partial_work)
    if not inside and not _is_private(using):
        lease.heartbeat = Heartbeat(lease, stop)
        lease.heartbeat.start()
    mark = _held.set(_held.get() | {(name, using)})
    try:
        yield lease
    finally:
        _held.reset(mark)
        # A forced stop that comes a second time must not keep the lease from being given back.
        with stop.shield(commits=False):
            if lease.heartbeat is not None:
                lease.heartbeat.end()
            if not inside and not lease.is_released:
                _release_quietly(lease, unfinished=keeps_partial_work)


def _wait_for(
    take: Callable[[str, str, bool], HeldLease | Holder],
    name: str,
    using: str,
    stop: StopFlag,
    wait: bool,
    timeout: float | None,
    on_wait: Callable[[Holder], None],
    keeps_partial_work: bool,
) -> HeldLease:
    began = time.monotonic()
    told = False
    while True:
        taken = take(name, using, keeps_partial_work)
        if isinstance(taken, HeldLease):
            return taken
        waited = time.monotonic() - began
        if not wait:
            raise AlreadyRunning(
                f"{name} is being run by {taken}. Nothing was started here. Leave out --no-wait to wait for it."
            )
        if timeout is not None and waited >= timeout:
            raise AlreadyRunning(
                f"{name} is still being run by {taken} after a wait of {waited:.0f} s. Nothing was started here. "
                "Run this again later; if the other one is already applied by then, this one says so and succeeds."
            )
        if not told:
            on_wait(taken)
            told = True
        stop.wait(conf.get("POLL_SECONDS"))
        stop.check()


def ensure_row(name: str, using: str) -> None:
    """Make the row of a migration that is run for the first time."""
    rows = Lease.objects.using(using)
    if not rows.filter(name=name).exists():
        rows.bulk_create([Lease(name=name)], ignore_conflicts=True)


def _peek(name: str, using: str) -> Holder:
    try:
        row = Lease.objects.using(using).filter(name=name).first()
    except OperationalError:
        return Holder()
    return row.holder if row is not None and row.owner else Holder()


def _take(name: str, using: str, keeps_partial_work: bool) -> HeldLease | Holder:
    """Take the lease in a transaction of its own, or say who has it."""
    try:
        with databases.short_lock_waits(using):
            ensure_row(name, using)
            with transaction.atomic(using=using):
                row = databases.lock(Lease, using, name=name)
                if row is None:
                    return _peek(name, using)
                now = databases.now(using)
                if is_live(row, now):
                    return row.holder
                return _hand_over(row, using, now, keeps_partial_work)
    except OperationalError as error:
        if not databases.is_transient(error):
            raise
        return _peek(name, using)


def _hand_over(row: Lease, using: str, now: datetime, keeps_partial_work: bool) -> HeldLease:
    previous = copy(row)
    if row.owner:
        logger.warning("Taking %s over from %s, which no longer answers.", row.name, row.holder)
        # Its transaction may hold locks on the very rows that the new owner is about to change.
        databases.end_session(using, row.session)
    process = Process.current()
    row.owner = uuid.uuid4().hex
    row.token += 1
    row.acquired_at = now
    row.expires_at = now + timedelta(seconds=conf.lease_seconds())
    row.host, row.machine, row.pid, row.pid_started = process.host, process.machine, process.pid, process.started
    # Work outside a transaction goes on after its session has ended, so that would prove nothing.
    row.session = "" if keeps_partial_work else databases.session(using)
    row.unfinished = keeps_partial_work
    row.save(using=using)
    return HeldLease(row.name, using, row.token, row.owner, previous, row.session)


def _lock_in_transaction(name: str, using: str, keeps_partial_work: bool) -> HeldLease | Holder:
    """Lock the lease row within the caller's transaction, or say who has it.

    The row keeps no owner: others see it locked, and once it is free the ledger tells them.
    """
    connection = connections[using]
    try:
        # A savepoint: on PostgreSQL going back to it also lets go of the lock, so that one can wait.
        with databases.short_lock_waits(using), transaction.atomic(using=using):
            ensure_row(name, using)
            row = databases.lock(Lease, using, name=name)
            if row is None:
                raise _Busy(_peek(name, using), "")
            if is_live(row, databases.now(using)):
                raise _Busy(row.holder, row.session)
            row.token += 1
            row.owner, row.session, row.expires_at = "", "", None
            row.save(using=using)
            return HeldLease(name, using, row.token, "", row)
    except _Busy as busy:
        # The one that we would wait for needs the locks that our transaction keeps.
        if connection.vendor != "postgresql" or databases.waits_for_us(using, busy.session):
            raise _cannot_wait(name, busy.holder) from None
        return busy.holder
    except OperationalError as error:
        if connection.needs_rollback or not databases.is_transient(error):
            raise
        if databases.is_lock_missed(error):
            return Holder()
        # A snapshot that is too old stays so: no other try in this transaction would see more.
        raise _cannot_wait(name, Holder()) from error


def _cannot_wait(name: str, holder: Holder) -> AlreadyRunning:
    return AlreadyRunning(
        f"{name} is being run by {holder}. Nothing was started here. A transaction cannot wait for "
        "it; run this again when that run has ended."
    )


class _Busy(Exception):
    def __init__(self, holder: Holder, session: str) -> None:
        self.holder = holder
        self.session = session


def _is_private(using: str) -> bool:
    """Whether the database lives in this process's memory, out of everybody else's reach."""
    connection = connections[using]
    return connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]


def _release_quietly(lease: HeldLease, *, unfinished: bool) -> None:
    """Give back what is still held after the block; a database that is gone lets it expire instead."""
    connection = connections[lease.using]
    try:
        if not connection.is_usable():
            connection.close()
        lease.release(unfinished=unfinished)
    except Error:
        logger.debug("The lease of %s could not be given back and will expire.", lease.name, exc_info=True)
