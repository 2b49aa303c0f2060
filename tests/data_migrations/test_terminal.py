"""What a shell without a terminal is told of a long run."""

from __future__ import annotations

import io

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style

from data_migrations import terminal
from data_migrations.terminal import TerminalReporter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


def told(clock, steps, verbosity=1, stream=None):
    """The lines after steps of (seconds, done, total)."""
    out = io.StringIO()
    reporter = TerminalReporter(OutputWrapper(out), OutputWrapper(stream or io.StringIO()), no_style(), verbosity)
    for seconds, done, total in steps:
        clock.now += seconds
        reporter.progress(done, total)
    return out.getvalue().splitlines()


def test_a_line_at_most_every_half_minute(clock):
    lines = told(clock, [(1, done, 100_000) for done in range(0, 9_500, 100)])
    assert lines == [
        "3 % · 3,000 of 100,000 rows · 100 rows/s · about 16 m 10 s left",
        "6 % · 6,000 of 100,000 rows · 100 rows/s · about 15 m 40 s left",
        "9 % · 9,000 of 100,000 rows · 100 rows/s · about 15 m 10 s left",
    ]


def test_each_tenth_has_a_line_where_they_come_slower_than_every_five_seconds(clock):
    lines = told(clock, [(1, done, 100) for done in range(101)])
    assert [line.split(" · ")[0] for line in lines] == [f"{tenth}0 %" for tenth in range(1, 11)]


def test_a_quick_run_has_none(clock):
    assert told(clock, [(0.04, done, 100) for done in range(101)]) == []


def test_after_a_change_of_pace_the_time_left_is_that_of_the_new_one(clock):
    out = io.StringIO()
    reporter = TerminalReporter(OutputWrapper(out), OutputWrapper(io.StringIO()), no_style(), 1)
    for done in range(20):
        clock.now += 1
        reporter.progress(done * 10, 10_000)
    reporter.pace_changed()
    for done in range(16):
        clock.now += 1
        reporter.progress(200 + done * 500, 10_000)
    assert "12 % · 1,200 of 10,000 rows · 500 rows/s · about 18 s left" in out.getvalue()


def test_without_a_total_there_is_no_end(clock):
    assert told(clock, [(10, done * 1000, None) for done in range(5)]) == ["3,000 rows · 100 rows/s"]


def test_a_silent_run_stays_silent(clock):
    assert told(clock, [(40, done, 100) for done in range(0, 101, 10)], verbosity=0) == []


def test_a_terminal_gets_the_bar_instead(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    assert told(clock, [(40, done, 100) for done in range(50, 101, 10)], stream=stream) == []
    assert "50/100" in stream.getvalue()
