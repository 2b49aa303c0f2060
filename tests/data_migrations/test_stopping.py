"""Asking a run to stop, and making it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connections

from data_migrations import executor, ledger
from data_migrations.exceptions import StoppedEarly
from data_migrations.stopping import StopFlag, StopRequested
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


def test_a_forced_stop_in_the_middle_of_a_rollback_leaves_nothing_to_be_committed(items, amounts, monkeypatch):
    """The console forces again and again, so that it may meet the rollback that it caused."""
    flag = StopFlag()
    connection: Any = connections["default"]
    rollback = connection._rollback
    interrupted: list[bool] = []

    def once():
        if not interrupted:
            interrupted.append(True)
            flag.force("force stop")
        return rollback()

    def work(**kwargs):
        ItemFactory.create()
        flag.request("force stop")
        flag.check()

    monkeypatch.setattr(connection, "_rollback", once)
    monkeypatch.setattr(increment.Command, "perform_migration", lambda self, dry_run=False: work())
    with pytest.raises(StoppedEarly, match="force stop"):
        executor.run_command("increment", stop=flag)
    assert interrupted
    monkeypatch.undo()
    assert amounts() == [0, 0, 0]
    executor.run_command("increment")
    assert amounts() == [1, 1, 1]


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
