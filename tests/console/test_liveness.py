"""What is said of a run that is silent, or whose lines are late."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import journal, liveness
from console.journal import Journal
from console.models import Run
from tests.console.factories import RunFactory
from tests.console.pages import ana, client_of_ana, run_address  # noqa: F401

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def run() -> Run:
    return RunFactory.create(running=True)


@pytest.fixture
def written(run: Run) -> Iterator[Journal]:
    writer = Journal.create(f"{run.key}-{run.attempt}", {"key": run.key, "attempt": {"number": 1}})
    writer.line("o", "one")
    yield writer
    writer.remove()


def delayed(writer: Journal, seconds: float) -> None:
    mark = writer.path / journal.DELAYED
    mark.touch()
    os.utime(mark, (time.time() - seconds,) * 2)


def silent(run: Run, seconds: float) -> Run:
    run.heartbeat_at = timezone.now() - timedelta(seconds=seconds)
    run.save()
    return run


def test_a_minute_without_a_sign_of_life_is_told(run: Run, settings: Any) -> None:
    assert liveness.of(silent(run, 50)).silent_for is None
    found = liveness.of(silent(run, 75)).silent_for
    assert found is not None
    assert 74 < found.total_seconds() < 90
    # Where signs of life are rare, a minute says nothing.
    settings.CONSOLE = {**settings.CONSOLE, "HEARTBEAT_SECONDS": 30}
    assert liveness.of(run).silent_for is None


def test_only_of_a_run_that_is_running(run: Run, written: Journal) -> None:
    delayed(written, 60)
    run.status = "succeeded"
    assert liveness.of(silent(run, 500)) == liveness.Liveness()


def test_lines_that_wait_while_the_process_is_there(run: Run, written: Journal) -> None:
    assert not liveness.of(run).delayed_for
    delayed(written, 60)
    found = liveness.of(run)
    assert 59 < found.delayed_for < 80
    assert found.has_writer


def test_lines_that_wait_for_a_worker_because_their_process_is_gone(run: Run, written: Journal) -> None:
    written.close()
    for path in (written.path, *journal.segments(written.path)):
        os.utime(path, (time.time() - 60,) * 2)
    found = liveness.of(run)
    assert found.delayed_for
    assert not found.has_writer


def test_the_page_says_delayed_rather_than_stuck_while_the_process_is_known_to_be_there(
    client_of_ana: Client,  # noqa: F811
    run: Run,
    written: Journal,
) -> None:
    silent(run, 300)
    html = client_of_ana.get(run_address(run)).content.decode()
    assert "Possibly stuck: no sign of life for 5 m" in html
    delayed(written, 90)
    html = client_of_ana.get(run_address(run)).content.decode()
    assert "Possibly stuck" not in html
    assert "Delayed: its process is there, but the console's database has not taken what it printed for 1 m 3" in html
