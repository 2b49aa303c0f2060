"""Reading a log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from console import logs, passages, spool, store
from console.journal import Line
from console.logs import Wanted
from console.models import LogChunk, Run
from console.states import Status
from tests.console.factories import RunFactory, write_log

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def run() -> Run:
    run = RunFactory.create(running=True)
    write_log(run, [f"line {number}" for number in range(1, 101)], size=7)
    return run


def seqs(page: logs.LogPage) -> list[int]:
    return [line.seq for line in page.lines]


def test_a_page_from_the_beginning(run: Run) -> None:
    page = logs.read(run, limit=10)
    assert seqs(page) == list(range(1, 11))
    assert page.lines[0].text == "line 1"
    assert (page.next, page.first, page.last, page.status, page.ended) == (10, 1, 100, "running", False)


def test_pages_follow_each_other_without_a_gap_or_a_double(run: Run) -> None:
    seen: list[int] = []
    after = 0
    while True:
        page = logs.read(run, after=after, limit=13)
        if not page.lines:
            break
        seen += seqs(page)
        after = page.next
    assert seen == list(range(1, 101))


def test_lines_before_a_number(run: Run) -> None:
    assert seqs(logs.read(run, before=50, limit=5)) == [45, 46, 47, 48, 49]
    assert seqs(logs.read(run, before=3, limit=5)) == [1, 2]
    assert seqs(logs.read(run, before=1, limit=5)) == []


def test_lines_around_a_number(run: Run) -> None:
    assert seqs(logs.read(run, around=50, limit=5)) == [48, 49, 50, 51, 52]
    assert seqs(logs.read(run, around=2, limit=5)) == [1, 2, 3, 4, 5]
    assert seqs(logs.read(run, around=100, limit=5)) == [96, 97, 98, 99, 100]
    assert seqs(logs.read(run, around=100_000, limit=5)) == [96, 97, 98, 99, 100]


def test_the_last_lines(run: Run) -> None:
    assert seqs(logs.read(run, tail=3)) == [98, 99, 100]
    assert seqs(logs.read(run, tail=1000)) == list(range(1, 101))


def test_an_empty_log() -> None:
    run = RunFactory.create(running=True)
    page = logs.read(run)
    assert (page.lines, page.next, page.first, page.last, page.ended) == ([], 0, 0, 0, False)
    assert logs.read(run, tail=10).lines == []
    assert list(logs.download(run)) == []


def test_no_request_gets_more_than_the_limit_of_limits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LIMIT", 20)
    assert len(logs.read(run, limit=1_000_000).lines) == 20
    assert len(logs.read(run, tail=1_000_000).lines) == 20


def test_lines_that_came_after_the_page_began_are_left_for_the_next(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_more(*args: Any) -> Any:
        write_log(run, ["line 101"])
        return original(*args)

    original = passages.forward
    monkeypatch.setattr(passages, "forward", one_more)
    page = logs.read(run, after=98)
    assert seqs(page) == [99, 100]
    assert page.last == 100


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (Status.SUCCEEDED, True),
        (Status.FAILED, True),
        (Status.CANCELLED, True),
        (Status.PAUSED, True),
        (Status.INTERRUPTED, False),
        (Status.ENQUEUED, False),
    ],
)
def test_ended_is_said_on_the_last_page_only(run: Run, status: str, ended: bool) -> None:
    Run.objects.filter(pk=run.pk).update(status=status)
    assert logs.read(run, limit=10).ended is False
    assert logs.read(run, after=90).ended is ended
    assert logs.read(run, after=100).ended is ended


def test_levels_and_times_come_back_with_the_lines() -> None:
    run = RunFactory.create(running=True)
    at = 1_800_000_000.25
    store.append(run.pk, [Line(0, at, "o", "out"), Line(1, at + 1.5, "r", "err\u2028or")])
    out, error = logs.read(run).lines
    assert (out.level, out.at.timestamp()) == ("o", at)
    assert (error.level, error.at.timestamp(), error.text) == ("r", at + 1.5, "err\u2028or")


def test_a_stretch_that_is_not_kept_is_one_line_that_stands_for_it() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["1", "2"])
    run.log_next = 8
    write_log(run, ["8", "9"])
    page = logs.read(run)
    assert [(line.seq, line.through) for line in page.lines] == [(1, 1), (2, 2), (3, 7), (8, 8), (9, 9)]
    assert "lines 3 to 7 are not kept" in page.lines[2].text
    assert page.next == 9
    # Also when one asks from within it.
    assert [(line.seq, line.through) for line in logs.read(run, after=4).lines] == [(5, 7), (8, 8), (9, 9)]
    assert logs.read(run, after=2, limit=1).next == 7
    assert "".join(logs.download(run)).split("\n")[2] == page.lines[2].text


def levelled() -> Run:
    """Every tenth line a warning, line 55 an error."""
    run = RunFactory.create(running=True)
    letters = ["r" if number == 55 else "w" if number % 10 == 0 else "o" for number in range(1, 101)]
    for start in range(0, 100, 7):
        part = letters[start : start + 7]
        store.append(run.pk, [Line(0, 1.8e9, letter, f"line {start + at}") for at, letter in enumerate(part, 1)])
    return run


def test_only_the_lines_of_some_levels_and_which_numbers_they_stand_for() -> None:
    run = levelled()
    problems, errors = (Wanted(logs.LEVEL_SETS[name]) for name in ("problems", "errors"))
    page = logs.read(run, wanted=problems)
    assert seqs(page) == [10, 20, 30, 40, 50, 55, 60, 70, 80, 90, 100]
    assert (page.start, page.next) == (1, 100)
    page = logs.read(run, wanted=problems, after=15, limit=3)
    assert (seqs(page), page.start, page.next) == ([20, 30, 40], 16, 40)
    page = logs.read(run, wanted=problems, before=56, limit=2)
    assert (seqs(page), page.start, page.next) == ([50, 55], 50, 55)
    page = logs.read(run, wanted=problems, tail=2)
    assert (seqs(page), page.start, page.next) == ([90, 100], 90, 100)
    page = logs.read(run, wanted=problems, around=52, limit=4)
    assert (seqs(page), page.start, page.next) == ([40, 50, 55, 60], 40, 60)
    page = logs.read(run, wanted=errors, around=99, limit=4)
    assert (seqs(page), page.start, page.next) == ([55], 1, 100)
    page = logs.read(run, wanted=Wanted(frozenset("d")), around=99)
    assert (seqs(page), page.start, page.next, page.ended) == ([], 1, 100, False)


def test_skipped_ranges_are_left_out_without_being_fetched() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["x"] * 50_000)
    wanted = Wanted(skipped=((3, 20_000), (20_003, 49_998)))
    with CaptureQueriesContext(connections[spool.alias()]) as queries:
        page = logs.read(run, wanted=wanted)
    assert seqs(page) == [1, 2, 20_001, 20_002, 49_999, 50_000]
    assert (page.start, page.next) == (1, 50_000)
    assert len(queries) <= 7
    assert seqs(logs.read(run, wanted=wanted, before=20_003, limit=3)) == [2, 20_001, 20_002]
    assert seqs(logs.read(run, wanted=wanted, around=20_001, limit=4)) == [1, 2, 20_001, 20_002]
    assert seqs(logs.read(run, wanted=wanted, after=4, limit=1)) == [20_001]
    assert seqs(logs.read(run, wanted=wanted, after=40_000)) == [49_999, 50_000]


@pytest.mark.parametrize("ask", [{"after": 0}, {"before": 101}, {"around": 50}, {"tail": 100}])
def test_long_lines_make_fewer_of_them(ask: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_CHARACTERS", 10_000)
    run = RunFactory.create(running=True)
    write_log(run, ["x" * 1000] * 100, size=7)
    page = logs.read(run, **ask)
    expected = {"after": (1, 10), "before": (91, 100), "around": (45, 54), "tail": (91, 100)}[next(iter(ask))]
    assert seqs(page) == list(range(expected[0], expected[1] + 1))
    assert (page.start, page.next) == expected
    monkeypatch.setattr(logs, "MAX_CHARACTERS", 10)
    assert len(logs.read(run, **ask).lines) in (1, 2)


def test_the_lines_before_a_number_are_as_many_as_asked_for_also_behind_a_gap() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["1", "2"])
    run.log_next = 800
    write_log(run, ["800", "801"])
    page = logs.read(run, before=801, limit=3)
    assert [(line.seq, line.through) for line in page.lines] == [(2, 2), (3, 799), (800, 800)]
    assert [(line.seq, line.through) for line in logs.read(run, before=500).lines] == [(1, 1), (2, 2), (3, 499)]


def test_a_log_that_was_pruned_is_empty_and_ends() -> None:
    run = RunFactory.create(finished=True, log_next=5000)
    asks: list[dict[str, Any]] = [{"after": 0}, {"tail": 10}, {"around": 400}, {"before": 300}]
    for ask in asks:
        assert logs.read(run, **ask).lines == []
    assert logs.read(run, after=0).ended


def test_the_whole_log_can_be_downloaded(run: Run) -> None:
    text = "".join(logs.download(run))
    assert text == "".join(f"line {number}\n" for number in range(1, 101))


def test_any_line_of_a_long_log_is_reached_with_few_queries_and_few_chunks() -> None:
    run = RunFactory.create(running=True)
    LogChunk.objects.bulk_create(
        LogChunk(
            run=run,
            first=1 + 500 * number,
            count=500,
            bytes=1,
            at=run.requested_at,
            text="\n".join(["x"] * 500),
            meta=json.dumps([[0, "o"]] * 500),
        )
        for number in range(400)
    )
    Run.objects.filter(pk=run.pk).update(log_next=200_001)
    places: list[dict[str, Any]] = [
        {"after": 0},
        {"after": 150_000},
        {"around": 199_000},
        {"before": 100_000},
        {"tail": 500},
    ]
    for ask in places:
        with CaptureQueriesContext(connections[spool.alias()]) as queries:
            page = logs.read(run, **ask)
        assert len(page.lines) == 500
        assert len(queries) <= 3


def test_a_page_of_many_small_chunks_takes_few_queries() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["x"] * 600, size=1)
    with CaptureQueriesContext(connections[spool.alias()]) as queries:
        assert len(logs.read(run, after=50, limit=500).lines) == 500
    assert len(queries) <= 15
