"""Asking a run to stop, and making it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from data_migrations import executor, ledger, stopping
from data_migrations.exceptions import StoppedEarly
from data_migrations.stopping import StopFlag, StopRequested
from data_migrations.undoing import Undoing
from tests.data_migrations.factories import ItemFactory
from tests.testapp.management.commands import increment

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_the_first_reason_stays():
    flag = StopFlag()
    flag.check()
    flag.request("pause")
    flag.request("cancel")
    assert flag.reason == "pause"
    with pytest.raises(StopRequested, match="pause"):
        flag.check()


class Forcing(executor.Reporter):
    """Forces the run to stop from another thread once it hangs, again and again as the console does."""

    def __init__(self, flag: StopFlag) -> None:
        self.flag = flag
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.force, daemon=True)

    def output(self, stream: str, text: str) -> None:
        if "hanging" in text:
            self.thread.start()

    def force(self) -> None:
        while not self.over.wait(0.3):
            self.flag.force("force stop")
        connections.close_all()


@pytest.mark.parametrize("how", ["statement", "loop", "sleep"])
def test_a_forced_stop_ends_what_hangs_and_keeps_nothing(how, items, amounts):
    flag = StopFlag()
    forcing = Forcing(flag)
    try:
        with pytest.raises(StoppedEarly) as caught:
            executor.run_command("hanging", values={"how": how}, stop=flag, reporters=[forcing])
    finally:
        forcing.over.set()
        forcing.thread.join(10)
    assert caught.value.reason == "force stop"
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied("hanging_2026_02_04", "default")
    # The connection is as good as before.
    executor.run_command("increment")
    assert amounts() == [1, 1, 1]


def ctrl_c_twice(flag: StopFlag) -> None:
    for _ in range(2):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interruptions() -> Iterator[None]:
    """Ctrl-C means what it means in a shell, also where pytest has its own."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("stop", [lambda flag: flag.force("force stop"), ctrl_c_twice], ids=["force", "ctrl-c"])
def test_in_the_middle_of_a_rollback_nothing_is_interrupted(items, amounts, monkeypatch, interruptions, stop, dry_run):
    """The console forces again and again, so that it may meet the rollback that it caused."""
    flag = StopFlag()
    connection: Any = connections["default"]
    rollback = connection._rollback
    met: list[bool] = []

    def once():
        if not met:
            met.append(True)
            stop(flag)
        return rollback()

    def work(**kwargs):
        ItemFactory.create(name="made by what is stopped")
        flag.request("force stop")
        flag.check()

    monkeypatch.setattr(connection, "_rollback", once)
    monkeypatch.setattr(increment.Command, "perform_migration", lambda self, dry_run=False: work())
    with stopping.signals(flag, lambda text: None), pytest.raises(StoppedEarly, match="force stop"):
        executor.run_command("increment", stop=flag, dry_run=dry_run)
    assert met
    assert not connection.in_atomic_block
    monkeypatch.undo()
    assert amounts() == [0, 0, 0]
    executor.run_command("increment")
    assert amounts() == [1, 1, 1]


def test_a_dry_run_is_undone_although_it_is_stopped_while_that_begins(items, amounts, monkeypatch):
    flag = StopFlag()
    end = Undoing.end

    def forced(self, error):
        flag.force("force stop")
        return end(self, error)

    monkeypatch.setattr(Undoing, "end", forced)
    executor.run_command("increment", stop=flag, dry_run=True)
    assert not connections["default"].in_atomic_block
    assert amounts() == [0, 0, 0]


def test_what_waits_for_a_commit_is_interrupted_as_ever(items, amounts):
    """It is called by what ends the transaction, but the commit is done by then."""
    flag = StopFlag()

    def hang():
        with stopping.interruptible_thread(flag):
            flag.force("force stop")
            time.sleep(5)

    with pytest.raises(StopRequested), transaction.atomic():
        transaction.on_commit(hang)


def test_what_is_being_committed_is_not_interrupted(items, amounts, monkeypatch):
    flag = StopFlag()
    original = ledger.record

    def record(*args, **kwargs):
        flag.force("force stop")
        time.sleep(0.05)
        return original(*args, **kwargs)

    monkeypatch.setattr(ledger, "record", record)
    executor.run_command("increment", stop=flag)
    assert ledger.is_applied("increment_items_2026_01_01", "default")
    assert amounts() == [1, 1, 1]
