"""Ending a run by force: interrupted again and again, then its process; never a commit, never an idle worker."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from console import forcing
from console.endings import Ending
from console.forcing import ForcedStop
from data_migrations.stopping import StopFlag, StopRequested

SOON = 0.3


class Recorder:
    """Only what a forced stop asks of a recorder."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.note = ""
        self.is_forced = False
        self.control_by = "ana"

    def end(self, ending: Ending) -> None:
        self.ends.append(ending.outcome)
        self.note = ending.fields["note"]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, settings: Any) -> threading.Event:
    """Set instead of the end of this process."""
    event = threading.Event()
    settings.CONSOLE = {**settings.CONSOLE, "FORCE_STOP_SECONDS": SOON}
    monkeypatch.setattr(forcing, "end_process", event.set)
    return event


def begun(stop: StopFlag, *, is_forced: bool = False) -> tuple[ForcedStop, Recorder]:
    forced = ForcedStop(stop)
    recorder = Recorder()
    recorder.is_forced = is_forced
    forced.recorder = recorder  # type: ignore[assignment]
    forced.begin()
    return forced, recorder


def test_what_does_not_stop_is_recorded_and_then_its_process_is_ended(ended: threading.Event) -> None:
    stop = StopFlag()
    interrupted: list[float] = []
    with stop.interruptible(lambda: interrupted.append(time.monotonic())):
        forced, recorder = begun(stop)
        assert ended.wait(5)
    assert interrupted
    assert recorder.ends == ["force stop"]
    assert recorder.note.startswith(
        "Stopped by force, asked for by ana: it came to no safe point, so its worker process"
    )
    with forced.watching():
        pass


def test_what_stops_in_time_keeps_its_process(ended: threading.Event) -> None:
    forced, recorder = begun(StopFlag())
    with forced.watching():
        pass
    assert not ended.wait(SOON * 3)
    assert recorder.ends == []


def test_a_commit_is_waited_for_and_tells_its_end_itself(ended: threading.Event) -> None:
    stop = StopFlag()
    forced = ForcedStop(stop)
    with forced.watching():
        stop.settle()
        forced.recorder = recorder = Recorder()  # type: ignore[assignment]
        forced.begin()
        assert not ended.wait(SOON * 3)
    assert not ended.wait(SOON * 2)
    assert recorder.ends == []


def test_once_its_end_is_recorded_it_commits_nothing_any_more(ended: threading.Event) -> None:
    stop = StopFlag()
    begun(stop)
    assert ended.wait(5)
    with pytest.raises(StopRequested), stop.shield():
        raise AssertionError("it would have committed")
    with pytest.raises(StopRequested):
        stop.settle()
    with stop.shield(commits=False):
        # A line of the log may still be written.
        pass


def test_to_bar_what_is_committing_fails_until_it_is_done() -> None:
    stop = StopFlag()
    with stop.shield():
        assert not stop.bar()
    assert stop.bar()


def test_a_forced_run_is_not_said_to_be_unrecorded(ended: threading.Event) -> None:
    stop = StopFlag()
    with stop.interruptible(lambda: None):
        _, recorder = begun(stop, is_forced=True)
        assert ended.wait(5)
    assert "not recorded as applied" not in recorder.note
    assert "only another forced run goes on" in recorder.note
