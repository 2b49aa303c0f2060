"""Chunks in the database: without gaps, under the fence, under the cap."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from console import logs, store
from console.journal import Line
from console.models import Attempt, LogChunk, Run
from tests.console.factories import AttemptFactory, RunFactory

pytestmark = pytest.mark.django_db(databases="__all__")


def lines(*texts: str, start: int = 0) -> list[Line]:
    return [Line(start + number, 1_800_000_000.0, "o", text) for number, text in enumerate(texts)]


def test_numbers_begin_at_one_and_have_no_gap() -> None:
    run = RunFactory.create()
    assert store.append(run.pk, lines("a", "b")) == 1
    assert store.append(run.pk, lines("c")) == 3
    assert [(line.seq, line.text) for line in logs.read(run).lines] == [(1, "a"), (2, "b"), (3, "c")]


def test_an_older_writer_is_turned_away() -> None:
    run = RunFactory.create(running=True, attempt=2)
    with pytest.raises(store.TurnedAway):
        store.append(run.pk, lines("late"), fence=1)
    assert logs.read(run).lines == []
    store.append(run.pk, lines("mine"), fence=2)
    assert [line.text for line in logs.read(run).lines] == ["mine"]


def test_a_run_that_is_gone_turns_everybody_away() -> None:
    with pytest.raises(store.TurnedAway):
        store.append(987654, lines("late"))


def test_the_same_lines_stored_twice_are_there_once() -> None:
    attempt = AttemptFactory.create()
    again = Attempt.objects.get(pk=attempt.pk)
    store.append_once(attempt.run_id, attempt, lines("a", "b"), fence=1)
    with pytest.raises(store.Raced):
        store.append_once(attempt.run_id, again, lines("a", "b"), fence=1)
    assert [line.text for line in logs.read(attempt.run).lines] == ["a", "b"]
    assert attempt.stored == 2
    assert Run.objects.get(pk=attempt.run_id).log_next == 3


def test_lines_lost_before_they_were_stored_leave_a_gap_that_is_said() -> None:
    attempt = AttemptFactory.create()
    store.append_once(attempt.run_id, attempt, lines("a"), fence=1)
    store.append_once(attempt.run_id, attempt, lines("e", start=4), fence=1)
    assert [(line.seq, line.through) for line in logs.read(attempt.run).lines] == [(1, 1), (2, 4), (5, 5)]


def test_a_log_over_its_cap_keeps_head_and_tail(settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "LOG_CAP_BYTES": 10_000}
    run = RunFactory.create()
    for number in range(100):
        store.append(run.pk, lines(*[f"line {number}.{each} " + "x" * 80 for each in range(10)]))
    run.refresh_from_db()
    page = logs.read(run, limit=5000)
    assert page.last == 1000
    assert page.lines[0].text.startswith("line 0.0")
    assert page.lines[-1].text.startswith("line 99.9")
    gaps = [line for line in page.lines if line.through > line.seq]
    assert len(gaps) == 1
    kept = sum(LogChunk.objects.filter(run=run).values_list("bytes", flat=True))
    assert kept == run.log_kept <= 10_000 + 1200
    assert run.log_bytes > 90_000
    # The head is about half of it and does not move.
    assert 3000 < sum(LogChunk.objects.filter(run=run, first__lte=run.log_head).values_list("bytes", flat=True)) <= 5000


def test_a_log_of_empty_lines_comes_under_its_cap_too(settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "LOG_CAP_BYTES": 5000}
    run = RunFactory.create()
    for _ in range(40):
        store.append(run.pk, lines(*[""] * 100))
    assert LogChunk.objects.filter(run=run).count() < 10


def test_the_line_where_an_error_begins_is_noted() -> None:
    run = RunFactory.create()
    store.append(run.pk, lines("fine"))
    store.append(run.pk, [Line(0, 0.0, "o", "fine"), Line(1, 0.0, "r", "Traceback", True), Line(2, 0.0, "r", "x")])
    run.refresh_from_db()
    assert run.error_line == 3


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_writers_at_once_leave_neither_gap_nor_double() -> None:
    run = RunFactory.create()

    def write(name: str) -> None:
        try:
            for number in range(10):
                store.append(run.pk, lines(*[f"{name} {number}.{each}" for each in range(5)]))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = logs.read(run, limit=5000)
    assert [line.seq for line in page.lines] == list(range(1, 201))
    assert len({line.text for line in page.lines}) == 200
    for name in "abcd":
        own = [line.text for line in page.lines if line.text.startswith(name)]
        assert own == [f"{name} {number}.{each}" for number in range(10) for each in range(5)]
