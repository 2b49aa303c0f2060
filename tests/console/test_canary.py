"""A message that only has to come through the queue: who sends it, when, and what its answer leaves."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections

from console import canary, presence, queue, rescue, spool
from console.models import Canary
from data_migrations import databases
from data_migrations.processes import Process

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has seen no canary yet."""
    monkeypatch.setattr(canary, "_again", (None, 0.0))
    monkeypatch.setattr(canary, "_pending", None)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is put into the queue."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(queue, "send_canary", lambda *arguments: found.append(arguments))
    return found


def row() -> Canary:
    return Canary.objects.get()


def age(**fields: float) -> None:
    """Move times of the row back by seconds."""
    found = row()
    for name, seconds in fields.items():
        moment = getattr(found, name)
        setattr(found, name, moment - timedelta(seconds=seconds))
    found.save()


def test_the_first_is_sent_at_once_and_the_next_a_minute_after_an_answer(sent: list[tuple[str, str]]) -> None:
    assert canary.send_if_due()
    assert not canary.send_if_due()
    canary.answer(*sent[0])
    assert not canary.send_if_due()
    age(sent_at=61, answered_at=60)
    assert canary.send_if_due()
    assert len(sent) == 2
    assert sent[0] != sent[1]


def test_an_answer_leaves_when_how_long_and_by_whom(sent: list[tuple[str, str]]) -> None:
    canary.send_if_due()
    age(sent_at=5)
    canary.answer(queue.cluster(), row().sent_at.isoformat())
    found: Any = row()
    assert canary.is_answered(found)
    assert 5 <= found.took < 60
    assert found.answered_by == presence.name()


def test_of_many_workers_one_sends(sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    canary.send_if_due()
    canary.answer(*sent.pop())
    age(sent_at=61, answered_at=60)
    barrier = threading.Barrier(4)
    whole = canary.is_answered
    outcomes: list[Any] = []

    def answered(found: Canary) -> bool:
        # Every one of them has read the row before the first writes it.
        barrier.wait(60)
        return whole(found)

    def send() -> None:
        try:
            outcomes.append(canary.send_if_due())
        finally:
            connections.close_all()

    monkeypatch.setattr(canary, "is_answered", answered)
    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 3 + [True]
    assert len(sent) == 1


def test_the_answer_of_an_earlier_one_does_not_count_for_the_one_that_is_on_its_way(
    sent: list[tuple[str, str]],
) -> None:
    canary.send_if_due()
    canary.answer(*sent[0])
    age(sent_at=61, answered_at=60)
    canary.send_if_due()
    canary.answer(*sent[0])
    assert not canary.is_answered(row())
    canary.answer(*sent[1])
    assert canary.is_answered(row())


def test_an_unanswered_one_is_sent_again_seldom_and_by_a_new_worker_at_once(
    sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    canary.send_if_due()
    assert not canary.send_if_due()
    age(sent_at=300)
    monkeypatch.setattr(canary, "_again", (row().sent_at, canary.time.monotonic() + 60))
    # This process has seen it before: it waits.
    assert not canary.send_if_due()
    monkeypatch.setattr(canary, "_again", (None, 0.0))
    assert canary.send_if_due()
    assert not canary.send_if_due()
    # The very same: it is late since it was first sent.
    assert sent[1] == (queue.cluster(), row().sent_at.isoformat())
    monkeypatch.setattr(canary, "_again", (row().sent_at, canary.time.monotonic() - 1))
    assert canary.send_if_due()
    assert len(sent) == 3


def test_one_that_could_not_be_sent_is_not_on_its_way(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def refuse(*arguments: str) -> None:
        raise queue.QueueUnreachable("connection refused")

    monkeypatch.setattr(queue, "send_canary", refuse)
    assert not canary.send_if_due()
    assert row().sent_at is None
    assert "connection refused" in caplog.text


def test_a_broker_that_hangs_does_not_hold_up_the_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(queue.Conf, "ORM", None)
    monkeypatch.setattr(queue, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(queue, "async_task", lambda *arguments, **options: hold.wait(60))
    with pytest.raises(queue.QueueUnreachable, match=r"no answer within 0\.1 s"):
        queue.send_canary("x", "y")
    hold.set()


def test_an_answer_that_cannot_be_written_now_is_written_by_the_next_beat(
    sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(using: str) -> None:
        raise OperationalError("database is locked")

    canary.send_if_due()
    with monkeypatch.context() as patch:
        patch.setattr(databases, "now", locked)
        canary.answer(*sent[0])
    assert not canary.is_answered(row())
    monkeypatch.setattr(rescue, "sweep", lambda: None)
    presence.Presence(Process.current()).tick()
    assert canary.is_answered(row())
    assert canary._pending is None


def test_nothing_leaves_an_answer(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def broken() -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(canary, "settle", broken)
    canary.answer("x", databases.now(spool.alias()).isoformat())
    canary.answer("x", "no time")
    assert "a mistake" in caplog.text


def test_none_is_sent_when_it_is_off_or_by_a_worker_about_to_stop(
    sent: list[tuple[str, str]], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "is_stopping", lambda: True)
    assert not canary.send_if_due()
    monkeypatch.undo()
    settings.CONSOLE = {**settings.CONSOLE, "CANARY_SECONDS": 0}
    assert not canary.send_if_due()
    assert not Canary.objects.exists()


def test_it_comes_through_the_real_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the process itself: what the message names is there and takes what it carries."""
    monkeypatch.setattr(queue.Conf, "SYNC", True)
    try:
        assert canary.send_if_due()
    finally:
        # The queue takes this process for a worker, which would beat on through the tests after this one.
        presence.stop()
    assert canary.is_answered(row())
    assert row().cluster == "data-migrations-tests"


def test_a_beat_sends_it(sent: list[tuple[str, str]]) -> None:
    presence.Presence(Process.current()).tick()
    assert len(sent) == 1
