"""run_once, as a context manager and as a decorator."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from data_migrations import ledger
from data_migrations.reporting import Door
from data_migrations.status import State, statuses
from data_migrations.utils.migrations import run_once
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__")


def test_the_block_runs_once(items):
    turns = []
    for _ in range(2):
        with run_once("block_2026_01_01") as first:
            turns.append(first)
            if first:
                Item.objects.update(amount=4)
    assert turns == [True, False]
    assert ledger.get("block_2026_01_01", "default").door == Door.CODE


def test_the_function_runs_once(items):
    calls = []

    @run_once("function_2026_01_01")
    def work(value):
        calls.append(value)
        return value

    assert work(1) == 1
    assert work(2) is None
    assert calls == [1]


def test_an_error_goes_through_and_undoes_everything(items, amounts):
    with pytest.raises(ZeroDivisionError), run_once("block_2026_01_01"):
        Item.objects.update(amount=4)
        1 / 0  # noqa: B018
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied("block_2026_01_01", "default")


def test_it_is_listed_as_applied_though_no_command_has_its_name():
    with run_once("block_2026_01_01"):
        pass
    assert {s.name: s.state for s in statuses("default")}["block_2026_01_01"] == State.APPLIED


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_threads_that_call_it_at_once_run_it_once(items, amounts):
    calls = []

    @run_once("function_2026_01_01")
    def work():
        calls.append(1)

    def call():
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]
