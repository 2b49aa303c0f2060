"""The groups of a log."""

from __future__ import annotations

import time

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from console import outline, spool, store
from console.journal import Line
from console.models import Run
from console.states import Status
from tests.console.factories import RunFactory, write_log

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def run() -> Run:
    return RunFactory.create(running=True)


def write(run: Run, *lines: str) -> None:
    """Lines of one chunk, each with its letter in front."""
    store.append(run.pk, [Line(0, time.time(), line[0], line[2:]) for line in lines])


def seen(run: Run) -> list[tuple[int, int | None, str, int, bool]]:
    return [(each.first, each.last, each.title, each.depth, each.failed) for each in outline.read(run).groups]


def test_groups_have_their_lines_and_may_be_nested(run: Run) -> None:
    write(run, "o before", "g Loading", "o a", "g Users", "o b", "h Users: 1 s")
    write(run, "o c", "h Loading: 2 s", "o after", "g Writing", "o d")
    assert seen(run) == [
        (2, 8, "Loading", 0, False),
        (4, 6, "Users", 1, False),
        (10, None, "Writing", 0, False),
    ]


def test_an_error_marks_the_groups_around_it_and_no_other(run: Run) -> None:
    write(run, "g One", "g Inner", "h Inner", "h One", "g Two", "g Inner")
    write(run, "r it broke", "r again")
    write(run, "h Inner", "h Two", "r outside", "g Three", "x Three: failed")
    assert [(group[0], group[4]) for group in seen(run)] == [
        (1, False), (2, False), (5, True), (6, True), (12, True)
    ]  # fmt: skip


def test_every_attempt_is_a_group_and_cuts_off_what_was_open(run: Run) -> None:
    write(run, "o a", "g Loading", "o b")
    write(run, "a Attempt 2, on host two", "g Loading", "h Loading: 1 s", "h stray", "o c")
    write(run, "a Attempt 3, on host one", "r failed")
    assert seen(run) == [
        (1, 3, "Attempt 1", 0, False),
        (2, 3, "Loading", 1, False),
        (4, 8, "Attempt 2, on host two", 0, False),
        (5, 6, "Loading", 1, False),
        (9, None, "Attempt 3, on host one", 0, True),
    ]


def test_the_end_of_the_run_ends_what_is_open(run: Run) -> None:
    write(run, "g Loading", "o a")
    Run.objects.filter(pk=run.pk).update(status=Status.FAILED)
    assert seen(run) == [(1, 2, "Loading", 0, False)]


def test_an_end_without_a_beginning_is_nothing(run: Run) -> None:
    write(run, "h stray", "g Loading", "h Loading", "h stray", "x stray")
    assert seen(run) == [(2, 3, "Loading", 0, False)]


def test_a_log_without_groups_costs_two_queries(run: Run) -> None:
    write_log(run, ["line"] * 3000, level="r", size=10)
    with CaptureQueriesContext(connections[spool.alias()]) as queries:
        assert outline.read(run).groups == []
    assert len(queries) == 2


def test_too_many_groups_are_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "MOST_GROUPS", 3)
    write(run, *["g Again", "h Again"] * 5)
    found = outline.read(run)
    assert (len(found.groups), found.is_capped) == (3, True)
