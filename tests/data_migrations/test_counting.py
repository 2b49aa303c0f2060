"""How many rows there are in all: counted only where somebody has a use for it, and never in the way of the work."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from data_migrations import batchrun, executor
from data_migrations.exceptions import BatchFailed, QuarantineNotEmpty, StoppedEarly
from data_migrations.keyset import Keyset
from data_migrations.models import Checkpoint
from tests.data_migrations.factories import ItemFactory
from tests.testapp.management.commands.batch_increment import Command
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def items() -> None:
    """Forty items, four batches of the command that is run here."""
    ItemFactory.create_batch(40)


@pytest.fixture
def long_run(monkeypatch):
    """A run counts as a long one from its first moment on."""
    monkeypatch.setattr(batchrun, "COUNT_SECONDS", 0.0)


@pytest.fixture
def from_third_batch_on(monkeypatch):
    """A run counts as a long one from its third batch on."""
    monkeypatch.setattr(batchrun, "COUNT_SECONDS", 10.0)
    original = Command.perform_batch

    def perform(self, batch):
        if batch.number == 2:
            monkeypatch.setattr(batchrun.time, "monotonic", lambda clock=batchrun.time.monotonic: clock() + 20)
        return original(self, batch)

    monkeypatch.setattr(Command, "perform_batch", perform)


def command(listener, name="batch_increment", **options):
    return executor.run_command(name, reporters=[listener], **options)


def counts(queries):
    return [query["sql"] for query in queries if "COUNT(" in query["sql"].upper()]


def test_a_run_that_is_soon_over_does_not_count(items, listener):
    with CaptureQueriesContext(connection) as queries:
        command(listener)
    assert counts(queries) == []
    # At its end it knows all the same.
    assert listener.of("progress")[0] == (0, None)
    assert listener.of("progress")[-1] == (40, 40)


def test_one_that_goes_on_longer_counts_once(items, listener, long_run):
    with CaptureQueriesContext(connection) as queries:
        command(listener)
    assert len(counts(queries)) == 1
    assert listener.of("progress")[-1] == (40, 40)


def test_batches_that_are_done_belong_to_the_total(items, listener, from_third_batch_on, monkeypatch):
    monkeypatch.setattr(Command, "get_queryset", lambda self: Item.objects.filter(amount=0))
    with pytest.raises(BatchFailed):
        command(listener, values={"fail_at": 4})
    assert Checkpoint.objects.get().total == 40


def test_an_author_who_counts_otherwise_changes_no_total(items, listener, from_third_batch_on, monkeypatch):
    perform = Command.perform_batch

    def half(self, batch):
        perform(self, batch)
        return len(batch) // 2

    monkeypatch.setattr(Command, "perform_batch", half)
    with pytest.raises(BatchFailed):
        command(listener, values={"fail_at": 4})
    stored = Checkpoint.objects.get()
    assert (stored.rows, stored.total) == (15, 40)


def test_rows_that_are_set_aside_belong_to_the_total(listener):
    ItemFactory(name="poison")
    ItemFactory.create_batch(9)
    with pytest.raises(QuarantineNotEmpty):
        command(listener, "batch_poison")
    stored = Checkpoint.objects.get()
    assert (stored.rows, stored.total) == (9, 10)


def test_a_careful_start_counts_at_once(items, run):
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "1")
    stored = Checkpoint.objects.get()
    assert (stored.rows, stored.total) == (10, 40)


def test_a_dry_run_counts_at_once(items, listener):
    assert command(listener, dry_run=True).estimated_seconds is not None
    assert {total for _, total in listener.of("progress")} == {None, 40}


def test_a_count_that_fails_stops_nothing(items, listener, long_run, monkeypatch, amounts):
    def cancelled(self, key):
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(Keyset, "count", cancelled)
    command(listener)
    assert amounts() == [1] * 40
    told = [text for level, text in listener.of("message") if level == "warning"]
    assert told == ["The rows could not be counted, so no total is shown: canceling statement due to statement timeout"]
