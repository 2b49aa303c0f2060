"""What many ask for who follow a log without a stream is read once, and is what each would have read."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from console import logs, polling
from console.models import LogChunk, Run
from tests.console.pages import a_run, print_lines

pytestmark = pytest.mark.django_db(databases="__all__")
LONG = 3600.0


@pytest.fixture
def run() -> Run:
    run = a_run(status="running", finished_at=None)
    print_lines(run, *(f"line {number}" for number in range(1, 101)))
    return run


def numbers(page: logs.LogPage) -> list[int]:
    return [line.seq for line in page.lines]


def queries() -> CaptureQueriesContext:
    return CaptureQueriesContext(connections[LogChunk.objects.db])


def test_in_the_same_moment_nothing_is_read_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MOMENT", LONG)
    polling.read(run.pk, 90, 500)
    print_lines(run, "one more")
    with queries() as asked:
        assert numbers(polling.read(run.pk, 95, 500)) == [96, 97, 98, 99, 100]
        assert numbers(polling.read(run.pk, 100, 500)) == []
        assert numbers(polling.read(run.pk, 90, 3)) == [91, 92, 93]
    assert len(asked) == 0
    assert numbers(polling.read(run.pk, 80, 500)) == list(range(81, 102)), "who is further behind is not left without"


def test_who_knows_of_later_lines_is_not_told_of_an_earlier_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MOMENT", LONG)
    polling.read(run.pk, 90, 500)
    print_lines(run, "one more")
    page = polling.read(run.pk, 101, 500)
    assert (page.next, page.last) == (101, 101)
    assert numbers(polling.read(run.pk, 99, 500)) == [100, 101]


def test_after_the_moment_only_what_is_new_is_read(run: Run) -> None:
    polling.read(run.pk, 0, 500)
    print_lines(run, "one more")
    with queries() as asked:
        page = polling.read(run.pk, 98, 500)
    assert numbers(page) == [99, 100, 101]
    assert not any("line 5" in str(query) for query in asked)
    Run.objects.filter(pk=run.pk).update(status="succeeded")
    assert polling.read(run.pk, 101, 500).ended is True
    assert polling.read(run.pk, 90, 5).ended is False, "lines are left"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_each_answer_is_the_one_that_the_database_gives(run: Run, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(polling, "KEPT_LINES", 40)
    monkeypatch.setattr(polling, "KEPT_CHARACTERS", 1500)
    chance = random.Random(seed)
    for _ in range(60):
        if chance.random() < 0.4:
            print_lines(run, *("x" * chance.choice([1, 10, 300]) for _ in range(chance.choice([1, 3, 30, 60]))))
        last = Run.objects.get(pk=run.pk).log_next - 1
        after = max(0, last - chance.choice([0, 1, 5, 30, 90, 200])) + chance.choice([0, 0, 0, 3])
        limit = chance.choice([1, 10, 500])
        assert polling.read(run.pk, after, limit) == logs.read(run, after=after, limit=limit)


def test_what_is_kept_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "KEPT_CHARACTERS", 600)
    polling.read(run.pk, 0, 500)
    kept = polling._logs[run.pk]._page
    assert 500 < sum(len(line.text) for line in kept.lines) <= 600
    assert kept.lines[-1].seq == 100
    for _ in range(20):
        print_lines(run, "x" * 300)
        polling.read(run.pk, Run.objects.get(pk=run.pk).log_next - 2, 500)
    assert len(polling._logs[run.pk]._page.lines) == 2


def test_logs_that_nobody_asks_for_are_forgotten(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = a_run(status="running", finished_at=None)
    polling.read(run.pk, 0, 500)
    polling._logs[run.pk].read_at -= polling.FORGOTTEN + 1
    polling.read(other.pk, 0, 500)
    assert list(polling._logs) == [other.pk]


def test_what_was_kept_long_ago_is_not_told_any_more(run: Run) -> None:
    """The database may be another one by now."""
    polling.read(run.pk, 0, 500)
    polling._logs[run.pk].read_at -= polling.FORGOTTEN + 1
    LogChunk.objects.filter(run_id=run.pk).delete()
    Run.objects.filter(pk=run.pk).update(log_next=1)
    print_lines(run, *(f"another {number}" for number in range(1, 151)))
    assert [line.text for line in polling.read(run.pk, 99, 2).lines] == ["another 100", "another 101"]
    assert polling.read(run.pk, 98, 2).lines[0].text == "another 99"


@pytest.mark.parametrize("status", ["succeeded", "paused"])
def test_of_a_run_that_is_over_nothing_is_kept(run: Run, status: str) -> None:
    polling.read(run.pk, 0, 500)
    Run.objects.filter(pk=run.pk).update(status=status)
    assert polling.read(run.pk, 99, 500).ended is True
    assert not polling._logs
    polling.read(run.pk, 0, 500)
    assert not polling._logs
    # As retention does it.
    LogChunk.objects.filter(run_id=run.pk).delete()
    assert polling.read(run.pk, 0, 500) == logs.read(run, after=0)


def test_a_log_without_its_last_lines_is_not_kept(run: Run) -> None:
    """They were taken away between the look at the run and the look at its lines."""
    LogChunk.objects.filter(run_id=run.pk).delete()
    assert polling.read(run.pk, 0, 500) == logs.read(run, after=0)
    assert not polling._logs
    print_lines(run, "one more")
    page = polling.read(run.pk, 0, 500)
    assert [(line.seq, line.through) for line in page.lines] == [(1, 100), (101, 101)]


def test_a_hole_at_the_end_does_not_stay(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    polling.read(run.pk, 90, 500)
    print_lines(run, "lost")
    original = logs.read

    def trimmed(*args: Any, **options: Any) -> logs.LogPage:
        page = original(*args, **options)
        return replace(page, lines=[line for line in page.lines if line.text != "lost"])

    with monkeypatch.context() as patch:
        patch.setattr(logs, "read", trimmed)
        assert numbers(polling.read(run.pk, 98, 500)) == [99, 100]
    print_lines(run, "after it")
    assert numbers(polling.read(run.pk, 98, 500)) == [99, 100, 101, 102]


def test_who_has_a_part_of_what_is_not_kept_is_told_of_the_rest_of_it_only(run: Run) -> None:
    print_lines(run, "one more")
    LogChunk.objects.filter(run_id=run.pk, first=1).delete()
    assert [(line.seq, line.through) for line in polling.read(run.pk, 0, 500).lines] == [(1, 100), (101, 101)]
    assert polling.read(run.pk, 50, 500) == logs.read(run, after=50)


def test_a_run_that_is_gone_is_not_answered_from_memory(run: Run) -> None:
    polling.read(run.pk, 90, 500)
    Run.objects.filter(pk=run.pk).delete()
    with pytest.raises(Run.DoesNotExist):
        polling.read(run.pk, 95, 500)


def test_a_log_that_is_not_the_one_it_was_begins_anew(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    polling.read(run.pk, 0, 500)
    LogChunk.objects.filter(run_id=run.pk).delete()
    Run.objects.filter(pk=run.pk).update(log_next=1)
    print_lines(run, "another log")
    assert [line.text for line in polling.read(run.pk, 0, 500).lines] == ["another log"]
    monkeypatch.setattr(polling, "MOMENT", LONG)
    with queries() as asked:
        assert len(polling.read(run.pk, 0, 500).lines) == 1
    assert len(asked) == 0


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_twenty_at_once_read_it_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    polling.read(run.pk, 0, 500)
    print_lines(run, "one more")
    monkeypatch.setattr(polling, "MOMENT", 5.0)
    polling._logs[run.pk].read_at -= 6
    asked: list[int] = []
    began = threading.Barrier(20)

    def read(*args: Any, **options: Any) -> logs.LogPage:
        asked.append(1)
        return original(*args, **options)

    original = logs.read
    monkeypatch.setattr(logs, "read", read)

    def poll(_: int) -> list[int]:
        began.wait(30)
        try:
            return numbers(polling.read(run.pk, 100, 500))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(poll, range(20))) == [[101]] * 20
    assert len(asked) == 1


def test_when_more_came_than_is_kept_those_who_wait_do_not_all_read_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    polling.read(run.pk, 0, 500)
    monkeypatch.setattr(polling, "KEPT_LINES", 5)
    print_lines(run, *("x" * 10,) * 20)
    newest = polling._logs[run.pk]
    assert newest.read(100, 500) is None
    polling.read(run.pk, 100, 500)
    kept = polling._logs[run.pk]
    assert kept is not newest
    # One who had waited for the old one.
    with queries() as asked:
        assert newest.read(100, 500) is None
    assert len(asked) == 0
    assert polling._logs[run.pk] is kept


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_database_that_hangs_for_one_does_not_hold_up_the_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    polling.read(run.pk, 0, 500)
    print_lines(run, "one more")
    monkeypatch.setattr(polling, "PATIENCE", 0.1)
    original = logs.read
    hangs, answers = threading.Event(), threading.Event()

    def read(*args: Any, **options: Any) -> logs.LogPage:
        if threading.current_thread() is first:
            hangs.set()
            assert answers.wait(60)
        return original(*args, **options)

    def poll() -> None:
        polling.read(run.pk, 100, 500)
        connections.close_all()

    monkeypatch.setattr(logs, "read", read)
    first = threading.Thread(target=poll)
    first.start()
    try:
        assert hangs.wait(30)
        assert numbers(polling.read(run.pk, 100, 500)) == [101]
    finally:
        answers.set()
        first.join(30)
