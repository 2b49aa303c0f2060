"""The lease: who may run, who took over, who lost it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, connections, transaction

from data_migrations import databases, leases
from data_migrations.exceptions import AlreadyRunning, LeaseLost
from data_migrations.models import Lease
from data_migrations.stopping import StopFlag, StopRequested
from tests import databases as databases_of_tests

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "a_2026_01_01"


def hold(**options):
    return leases.hold(NAME, "default", stop=options.pop("stop", StopFlag()), **options)


def somebody_elsewhere(**values) -> Lease:
    """A lease that a process of another machine holds."""
    now = databases.now("default")
    defaults = {
        "owner": "f" * 32,
        "token": 7,
        "host": "elsewhere",
        "machine": "another",
        "pid": 1,
        "pid_started": "1",
        "acquired_at": now,
        "expires_at": now + timedelta(seconds=60),
    }
    return Lease.objects.create(name=NAME, **{**defaults, **values})


def test_the_token_rises_with_each_taking():
    tokens = []
    for _ in range(3):
        with hold() as lease:
            tokens.append(lease.token)
            assert Lease.objects.get().owner == lease.owner
    assert tokens == [1, 2, 3]
    assert Lease.objects.get().owner == ""


def test_a_live_holder_is_not_disturbed():
    somebody_elsewhere()
    with pytest.raises(AlreadyRunning, match=r"elsewhere \(pid 1"), hold(wait=False):
        pass
    with pytest.raises(AlreadyRunning, match="after a wait of"), hold(timeout=0.05):
        pass
    assert Lease.objects.get().token == 7


def test_an_expired_one_is_taken_over():
    somebody_elsewhere(expires_at=databases.now("default") - timedelta(seconds=1))
    with hold(wait=False) as lease:
        assert lease.token == 8
        assert lease.previous.host == "elsewhere"


def test_the_database_clock_decides_and_not_the_hosts(monkeypatch):
    somebody_elsewhere()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with pytest.raises(AlreadyRunning), hold(wait=False):
        pass


def test_one_whose_process_is_gone_is_taken_over_at_once():
    from data_migrations.processes import machine

    somebody_elsewhere(machine=machine(), pid=2**22 + 1, pid_started="12")
    with hold(wait=False) as lease:
        assert lease.token == 8


def test_a_process_in_another_pid_namespace_is_not_thought_gone():
    somebody_elsewhere(machine="same-boot/pid:[1]", pid=2**22 + 1, pid_started="12")
    with pytest.raises(AlreadyRunning), hold(wait=False):
        pass


def test_a_lost_lease_does_not_confirm():
    with hold() as lease:
        with transaction.atomic():
            lease.confirm()
        Lease.objects.update(token=99, owner="other")
        with pytest.raises(LeaseLost), transaction.atomic():
            lease.confirm()
    # Its end gives back nothing that it no longer has.
    assert Lease.objects.get().owner == "other"


def test_the_heartbeat_renews(settings):
    settings.DATA_MIGRATIONS = {"LEASE_SECONDS": 0.6, "HEARTBEAT_SECONDS": 0.05}
    with hold() as lease:
        first = Lease.objects.get().expires_at
        assert first
        for _ in range(200):
            if (Lease.objects.get().expires_at or first) > first:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("never renewed")
        assert lease.token == 1


def test_the_heartbeat_stops_a_run_whose_lease_was_taken(settings):
    settings.DATA_MIGRATIONS = {"LEASE_SECONDS": 0.6, "HEARTBEAT_SECONDS": 0.05}
    stop = StopFlag()
    with hold(stop=stop):
        Lease.objects.update(token=99, owner="other")
        assert stop.wait(10)
        assert stop.reason == "lease lost"


def test_the_heartbeat_leaves_no_thread_behind():
    with hold():
        assert any(thread.name == f"lease of {NAME}" for thread in threading.enumerate())
    assert not any(thread.name == f"lease of {NAME}" for thread in threading.enumerate())


def test_a_waiter_gets_it_when_it_is_free(settings):
    settings.DATA_MIGRATIONS = {"POLL_SECONDS": 0.02}
    waiting = threading.Event()
    taken = []

    def second():
        try:
            with hold(on_wait=lambda holder: waiting.set()) as lease:
                taken.append(lease.token)
        finally:
            connection.close()

    with hold():
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        assert taken == []
    thread.join(10)
    assert taken == [2]


def test_the_setting_limits_the_wait_where_nobody_says_otherwise(settings):
    from data_migrations import executor
    from tests.testapp.management.commands.increment import Command

    settings.DATA_MIGRATIONS = {"LOCK_TIMEOUT": 0.05, "POLL_SECONDS": 0.02}
    somebody_elsewhere()
    Lease.objects.update(name=Command.migration_name)
    with pytest.raises(AlreadyRunning, match="after a wait of"):
        executor.run_command("increment")


def test_a_waiter_can_be_stopped(settings):
    somebody_elsewhere()
    stop = StopFlag()
    with pytest.raises(StopRequested), hold(stop=stop, on_wait=lambda holder: stop.request("cancel")):
        pass


def test_inside_a_transaction_the_row_is_locked_until_its_end():
    outcome = []

    def other():
        try:
            with hold(wait=False):
                outcome.append("taken")
        except AlreadyRunning:
            outcome.append("refused")
        finally:
            connections["default"].close()

    with transaction.atomic():
        with hold() as lease:
            assert lease.owner == ""
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
    assert outcome == ["refused"]
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(30)
    assert outcome == ["refused", "taken"]


def test_inside_a_transaction_a_live_holder_is_not_disturbed():
    somebody_elsewhere()
    with transaction.atomic(), pytest.raises(AlreadyRunning), hold(timeout=0.05):
        pass
    assert Lease.objects.get().token == 7


def test_a_release_that_was_rolled_back_is_made_again():
    with hold() as lease:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            lease.release()
            raise ZeroDivisionError
        assert Lease.objects.get().owner == lease.owner
    assert Lease.objects.get().owner == ""


def test_a_lease_is_released_once(monkeypatch):
    again = []
    monkeypatch.setattr(leases, "_release_quietly", lambda lease, unfinished: again.append(lease))
    with hold() as lease:
        with transaction.atomic():
            lease.release()
        assert Lease.objects.get().owner == ""
    assert again == []


@pytest.mark.skipif(databases_of_tests.chosen() != "sqlite", reason="SQLite only")
@pytest.mark.parametrize("mode", [None, "DEFERRED", "immediate", "EXCLUSIVE"])
def test_a_locked_row_is_sqlites_write_lock_however_its_transactions_begin(monkeypatch, mode):
    Lease.objects.create(name=NAME)
    connection.ensure_connection()
    monkeypatch.setattr(connections["default"], "transaction_mode", mode)
    refused = []

    def write():
        try:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 0")
            Lease.objects.update(token=5)
        except OperationalError as error:
            refused.append(str(error))
        finally:
            connection.close()

    with transaction.atomic():
        assert databases.lock(Lease, "default", name=NAME).name == NAME
        other = threading.Thread(target=write)
        other.start()
        other.join()
    assert refused == ["database is locked"]
