"""Batched migrations whose processes are killed, frozen and cut off: every row exactly once."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from django.db import connection

from data_migrations import checkpoints, ledger
from data_migrations.models import LedgerEvent
from tests.lifecycle.moments import at_one_moment
from tests.testapp.models import Item

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]

NAME = "batch_increment_2026_02_01"
KILLS = int(os.environ.get("TEST_KILLS", "100"))
ROWS = int(os.environ.get("TEST_ROWS", "20000"))


def amounts() -> set[int]:
    return set(Item.objects.values_list("amount", flat=True).distinct())


@pytest.fixture
def items() -> None:
    Item.objects.bulk_create([Item(name=f"item {number}") for number in range(ROWS)], batch_size=5000)


def test_killed_a_hundred_times_every_row_is_worked_on_once(items, nurseries):
    nursery = nurseries()
    moments = random.Random(20261121)
    # So slow that it would take far longer than all the kills together.
    arguments = ["batch_increment", "--batch-size", "5", "--each", "0.002"]
    killed = 0
    while killed < KILLS:
        # Both ways of writing, in turn, and each for as long as it is let live.
        child = nursery.start(*arguments, *(["--loaded"] if killed % 2 else []))
        time.sleep(moments.uniform(0.0, 0.25))
        child.signal(signal.SIGKILL)
        status = child.wait()
        killed += 1
        if status == 0:
            break
        assert status == -signal.SIGKILL, child.text()
        with at_one_moment():
            checkpoint = checkpoints.find(NAME, "default")
            done = checkpoint.rows if checkpoint else 0
            assert Item.objects.filter(amount=1).count() == done
            assert Item.objects.filter(amount=0).count() == ROWS - done
    assert killed == KILLS, "it came to its end before it was killed often enough"
    last = nursery.start("batch_increment", "--batch-size", "2000")
    assert last.wait() == 0, last.text()
    assert amounts() == {1}
    assert ledger.get(NAME, "default").result == str(ROWS)


def test_killed_while_it_mostly_reads_every_row_is_worked_on_once(items, nurseries):
    """Most batches change nothing, so that the stored place is behind the real one at most kills."""
    nursery = nurseries()
    moments = random.Random(20261122)
    every, kills, behind, stored = 200, KILLS // 2, 0, 0
    for _ in range(kills):
        child = nursery.start("batch_increment", "--batch-size", "5", "--each", "0.002", "--every", str(every))
        # So many batches later, however long a busy machine takes for them, and then at any moment of the next.
        child.until(f"batch {stored + moments.randint(1, 60)}\n")
        time.sleep(moments.uniform(0.0, 0.01))
        child.signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.text()
        numbers = [int(line.split()[1]) for line in child.text().splitlines() if line.startswith("batch ")]
        with at_one_moment():
            checkpoint = checkpoints.find(NAME, "default")
            # What is changed is exactly what lies before the stored place: a batch that changes something stores it.
            before = Item.objects.filter(pk__lte=int(checkpoint.cursor))
            assert {item.pk % every for item in Item.objects.filter(amount=1)} <= {0}
            assert not Item.objects.filter(pk__gt=int(checkpoint.cursor)).exclude(amount=0).exists()
            changed = before.filter(amount=1).count()
            assert sum(pk % every == 0 for pk in before.values_list("pk", flat=True)) == changed
        stored = checkpoint.batches
        behind += bool(numbers) and numbers[-1] - stored > 2
    if connection.vendor != "mysql":
        assert behind > kills // 5, "it was hardly ever killed while the stored place was behind"
    last = nursery.start("batch_increment", "--batch-size", "2000", "--every", str(every))
    assert last.wait() == 0, last.text()
    assert all(item.amount == (item.pk % every == 0) for item in Item.objects.all())
    assert ledger.get(NAME, "default").result == str(ROWS)


def test_of_two_runners_at_once_one_works(items, nurseries):
    nursery = nurseries()
    children = [nursery.start("batch_increment", "--batch-size", "500", "--each", "0.01") for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert sum("already applied" in child.text() for child in children) == 1
    assert amounts() == {1}


@pytest.mark.parametrize("within", ["--pause", "--each"])
def test_a_frozen_runner_commits_nothing_after_takeover(items, nurseries, within):
    """Frozen in the pause after a batch, without a transaction, and within one."""
    nursery = nurseries(LEASE_SECONDS=1, HEARTBEAT_SECONDS=0.3)
    frozen = nursery.start("batch_increment", "--batch-size", "1000", within, "1")
    # It says so before it waits within the batch, and before it commits and waits after it.
    frozen.until("batch 3\n")
    time.sleep(0.4)
    frozen.signal(signal.SIGSTOP)
    time.sleep(1.5)
    second = nursery.start("batch_increment", "--batch-size", "1000")
    if connection.vendor == "sqlite" and within == "--each":
        # The frozen one holds the file, so that nobody can take over until it wakes.
        time.sleep(2)
    else:
        second.until("Resuming")
    frozen.signal(signal.SIGCONT)
    statuses = {frozen.wait(), second.wait()}
    assert statuses <= {0, 1}, (frozen.text()[-500:], second.text()[-500:])
    assert 0 in statuses
    assert amounts() == {1}, (frozen.text()[-500:], second.text()[-500:])
    assert LedgerEvent.objects.filter(name=NAME).count() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_at_the_batch_boundary_and_it_goes_on_after(items, nurseries, number):
    nursery = nurseries()
    child = nursery.start("batch_increment", "--batch-size", "100", "--each", "0.02")
    child.until("batch 5\n")
    child.signal(number)
    assert child.wait() == 4
    assert "the next run goes on after them" in child.text()
    checkpoint = checkpoints.find(NAME, "default")
    assert Item.objects.filter(amount=1).count() == checkpoint.rows
    assert nursery.start("batch_increment", "--batch-size", "5000").wait() == 0
    assert amounts() == {1}


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no connection to cut")
def test_cut_off_from_the_database_it_goes_on(items, nurseries):
    nursery = nurseries()
    child = nursery.start("batch_increment", "--batch-size", "100", "--each", "0.01")
    for number in range(1, 6):
        child.until(f"batch {number * 5}\n")
        cut_others()
    assert child.wait() == 0, child.text()[-3000:]
    assert "Trying it again" in child.text()
    assert amounts() == {1}


def cut_others() -> None:
    """End every other session in this database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        for (session,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {int(session)}")
            except Exception as error:
                assert "Unknown thread" in str(error)  # noqa: PT017  (it ended by itself)
