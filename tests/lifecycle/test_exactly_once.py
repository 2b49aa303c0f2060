"""Many processes, killed, frozen and raced: one executes, all or nothing."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from django.db import connection

from data_migrations import ledger
from data_migrations.models import Lease, LedgerEvent
from tests.data_migrations.factories import ItemFactory
from tests.lifecycle.moments import at_one_moment
from tests.testapp.models import Item

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]

INCREMENT = "increment_items_2026_01_01"
LOOSE = "increment_items_loose_2026_01_02"
KILLS = int(os.environ.get("TEST_KILLS", "100"))


def amounts() -> list[int]:
    return list(Item.objects.order_by("pk").values_list("amount", flat=True))


@pytest.fixture
def items() -> None:
    ItemFactory.create_batch(5)


def test_of_twenty_that_start_at_once_one_executes_and_nineteen_say_already_applied(items, nurseries):
    nursery = nurseries()
    # So long that some of the others come while the one is at it, however busy the machine is.
    children = [nursery.start("increment", "--before", "3") for _ in range(20)]
    assert [child.wait() for child in children] == [0] * 20, [child.text() for child in children]
    texts = [child.text() for child in children]
    assert sum("is applied in" in text for text in texts) == 1
    assert sum("already applied" in text for text in texts) == 19
    assert sum("Waiting for it" in text and "pid " in text for text in texts) >= 1
    assert amounts() == [1] * 5
    assert LedgerEvent.objects.filter(name=INCREMENT).count() == 1


def test_with_no_wait_the_others_refuse(items, nurseries):
    nursery = nurseries()
    first = nursery.start("increment", "--before", "60")
    first.until("begun")
    others = [nursery.start("increment", "--no-wait") for _ in range(19)]
    assert {child.wait() for child in others} == {3}
    assert all("Nothing was started here" in child.text() for child in others)
    first.signal(signal.SIGKILL)
    first.wait()
    assert nursery.start("increment", "--no-wait").wait() == 0
    assert amounts() == [1] * 5


def test_a_wait_has_its_limit(items, nurseries):
    nursery = nurseries()
    first = nursery.start("increment", "--before", "60")
    first.until("begun")
    second = nursery.start("increment", "--lock-timeout", "0.3")
    assert second.wait() == 3
    assert "Nothing was started here" in second.text()


def test_killed_at_random_moments_it_is_always_all_or_nothing(items, nurseries):
    nursery = nurseries()
    random_moments = random.Random(20261121)
    arguments = ("increment", "--force", "--before", "0.05", "--after", "0.05")
    began = time.monotonic()
    assert nursery.start(*arguments).wait() == 0
    duration = time.monotonic() - began
    killed = started = 0
    while killed < KILLS:
        child = nursery.start(*arguments)
        started += 1
        time.sleep(random_moments.uniform(0, duration * 1.2))
        child.signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        with at_one_moment():
            record = ledger.get(INCREMENT, "default")
            assert record is not None
            assert set(amounts()) == {record.times_applied}
            assert LedgerEvent.objects.filter(name=INCREMENT).count() == record.times_applied
    last = nursery.start(*arguments)
    assert last.wait() == 0, last.text()
    record = ledger.get(INCREMENT, "default")
    assert set(amounts()) == {record.times_applied}
    # Some came through and some did not; else the moments were not random enough to mean anything.
    assert 2 < record.times_applied < started + 2


def test_a_killed_one_is_taken_over_at_once_since_it_is_provably_gone(items, nurseries):
    nursery = nurseries(LEASE_SECONDS=3600)
    first = nursery.start("increment", "--before", "60")
    first.until("begun")
    first.signal(signal.SIGKILL)
    first.wait()
    second = nursery.start("increment", "--lock-timeout", "20")
    assert second.wait() == 0, second.text()
    assert "was cut off; nothing of it was kept" in second.text()
    assert amounts() == [1] * 5


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="a frozen writer holds SQLite's only write lock")
def test_a_frozen_one_commits_nothing_after_takeover(items, nurseries):
    nursery = nurseries(LEASE_SECONDS=1)
    frozen = nursery.start("increment", "--after", "1")
    frozen.until("changed")
    frozen.signal(signal.SIGSTOP)
    time.sleep(1.2)
    second = nursery.start("increment")
    second.until("begun")
    if connection.vendor == "postgresql":
        # Its session was ended, so that its locks hold nobody up.
        assert second.wait() == 0, second.text()
    frozen.signal(signal.SIGCONT)
    assert frozen.wait() == 1
    assert second.wait() == 0, second.text()
    assert "took this data migration over" in frozen.text()
    assert amounts() == [1] * 5
    assert LedgerEvent.objects.filter(name=INCREMENT).count() == 1


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="row locks let others go on")
def test_a_frozen_writer_keeps_its_lease_on_sqlite(items, nurseries):
    nursery = nurseries(LEASE_SECONDS=1)
    frozen = nursery.start("increment", "--after", "0.5")
    frozen.until("changed")
    frozen.signal(signal.SIGSTOP)
    time.sleep(1.2)
    second = nursery.start("increment")
    second.until("Waiting for it")
    frozen.signal(signal.SIGCONT)
    assert frozen.wait() == 0, frozen.text()
    assert second.wait() == 0, second.text()
    assert "already applied" in second.text()
    assert amounts() == [1] * 5


def test_a_frozen_one_without_a_transaction_records_nothing_after_takeover(items, nurseries):
    nursery = nurseries(LEASE_SECONDS=1, HEARTBEAT_SECONDS=0.3)
    frozen = nursery.start("increment_loose", "--each", "0.3")
    frozen.until("item")
    frozen.signal(signal.SIGSTOP)
    time.sleep(1.5)
    second = nursery.start("increment_loose")
    assert second.wait() == 0, second.text()
    assert "did not come to its end" in second.text()
    frozen.signal(signal.SIGCONT)
    assert frozen.wait() == 1
    assert "took this data migration over" in frozen.text()
    assert LedgerEvent.objects.filter(name=LOOSE).count() == 1
    assert Lease.objects.get(name=LOOSE).token == 2


def test_a_signal_stops_it_at_the_next_progress_and_nothing_is_kept(items, nurseries):
    nursery = nurseries()
    child = nursery.start("tracked", "--each", "0.05")
    child.until("step 3")
    child.signal(signal.SIGTERM)
    assert child.wait() == 4
    assert "SIGTERM" in child.text()
    assert "Run it again, and it begins anew." in child.text()
    assert amounts() == [0] * 5
    again = nursery.start("tracked", "--steps", "2")
    assert again.wait() == 0


def test_a_second_ctrl_c_interrupts_at_once(items, nurseries):
    nursery = nurseries()
    child = nursery.start("increment", "--after", "60")
    child.until("changed")
    child.signal(signal.SIGINT)
    child.until("Press Ctrl-C again")
    child.signal(signal.SIGINT)
    assert child.wait() == 4
    assert amounts() == [0] * 5


def test_the_exit_statuses_of_failure_and_refusal(items, nurseries):
    nursery = nurseries()
    for arguments, status, words in (
        (("failing",), 1, "the data is not as expected"),
        (("dependent",), 3, "depends on"),
        (("increment", "--database", "nowhere"), 1, "no database alias"),
        (("increment", "--lines", "many"), 2, "invalid int value"),
    ):
        child = nursery.start(*arguments)
        assert child.wait() == status
        assert words in child.text()
