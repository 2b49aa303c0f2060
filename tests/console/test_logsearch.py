"""Searching a log."""

from __future__ import annotations

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from console import logsearch, spool
from console.logs import LEVEL_SETS
from console.models import Run
from tests.console.factories import RunFactory, write_log

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def run() -> Run:
    run = RunFactory.create(running=True)
    write_log(run, [f"line {number}" for number in range(1, 101)], size=7)
    return run


def test_it_finds_lines_in_the_whole_log_whatever_their_case(run: Run) -> None:
    found = logsearch.search(run, "LINE 10")
    assert (found.numbers, found.through, found.is_done) == ([10, 100], 100, True)
    assert logsearch.search(run, "LINE 10", exact=True).numbers == []
    assert logsearch.search(run, "line 10", exact=True).numbers == [10, 100]


def test_it_goes_on_after_a_number_and_says_where_it_stopped(run: Run) -> None:
    found = logsearch.search(run, "line", after=90, limit=3)
    assert (found.numbers, found.through, found.is_done) == ([91, 92, 93], 93, False)
    assert logsearch.search(run, "line", after=93).numbers == list(range(94, 101))
    assert logsearch.search(run, "line", after=100).numbers == []
    assert logsearch.search(run, "line", after=10**15).is_done


def test_it_goes_down_from_a_number(run: Run) -> None:
    found = logsearch.search(run, "line", before=10, limit=3)
    assert (found.numbers, found.through, found.is_done) == ([9, 8, 7], 7, False)
    found = logsearch.search(run, "line 1", before=12)
    assert (found.numbers, found.is_done) == ([11, 10, 1], True)
    assert logsearch.search(run, "line", before=1).numbers == []
    assert logsearch.search(run, "line", before=10**15, limit=1).numbers == [100]


def test_wildcards_and_accents_are_taken_as_they_are() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["100% done", "100 done", "ÜBER", "über", "a_b", "axb", "back\\slash"], size=1)
    assert logsearch.search(run, "100%").numbers == [1]
    assert logsearch.search(run, "über").numbers == [3, 4]
    assert logsearch.search(run, "über", exact=True).numbers == [4]
    assert logsearch.search(run, "a_b").numbers == [5]
    assert logsearch.search(run, "k\\s").numbers == [7]
    assert logsearch.search(run, "").numbers == []


def test_only_lines_of_some_levels_are_searched() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["a word"] * 3)
    write_log(run, ["a word"], level="w")
    write_log(run, ["a word"] * 3)
    write_log(run, ["a word"], level="r")
    assert logsearch.search(run, "word", levels=LEVEL_SETS["problems"]).numbers == [4, 8]
    assert logsearch.search(run, "word", levels=LEVEL_SETS["errors"]).numbers == [8]
    assert logsearch.search(run, "word", levels=LEVEL_SETS["errors"], before=9).numbers == [8]


@pytest.mark.parametrize("down", [False, True])
def test_one_question_takes_a_bounded_time_and_the_next_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, down: bool
) -> None:
    monkeypatch.setattr(logsearch, "SPAN", 3)
    seen: list[int] = []
    place, questions = (101 if down else 0), 0
    while True:
        found = logsearch.search(run, "line", before=place if down else None, after=0 if down else place, seconds=0)
        seen += found.numbers
        questions += 1
        if found.is_done:
            break
        assert found.through < place if down else found.through > place
        place = found.through
    assert seen == (list(range(100, 0, -1)) if down else list(range(1, 101)))
    assert questions >= 5


def test_lines_that_are_not_kept_do_not_stop_it() -> None:
    run = RunFactory.create(running=True)
    write_log(run, ["a word", "2"])
    run.log_next = 800
    write_log(run, ["8", "a word"])
    assert logsearch.search(run, "word", seconds=0).numbers == [1, 801]
    assert logsearch.search(run, "word", after=400).numbers == [801]
    assert logsearch.search(run, "word", before=400).numbers == [1]


def test_a_word_that_is_nowhere_takes_few_queries_and_fetches_no_chunk(run: Run) -> None:
    with CaptureQueriesContext(connections[spool.alias()]) as queries:
        assert logsearch.search(run, "nowhere").numbers == []
    assert len(queries) <= 6
