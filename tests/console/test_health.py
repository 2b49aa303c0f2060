"""What is wrong just now, in words."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from console import health, journal, presence, queue, spool
from console.journal import Journal
from tests.console.factories import RunFactory, WorkerFactory

pytestmark = pytest.mark.django_db(databases="__all__")

HEAD = {"key": "k", "attempt": {"number": 1}}


@pytest.fixture(autouse=True)
def fresh() -> None:
    """What an earlier look found does not count."""
    health._tables_well_until.clear()


def ids() -> list[str]:
    return [problem.id for problem in health.problems()]


def only() -> health.Problem:
    [problem] = health.problems()
    return problem


@pytest.fixture
def seen() -> None:
    WorkerFactory.create()


def test_all_is_well(seen: None) -> None:
    assert health.problems() == []


def test_no_worker_seen_is_said_with_the_command_that_starts_one() -> None:
    problem = only()
    assert (problem.id, problem.level) == ("workers", "warning")
    assert problem.text == "No worker was seen for 90 s: runs will wait."
    assert "python manage.py qcluster" in problem.hint


def test_workers_that_are_all_about_to_stop_are_said() -> None:
    WorkerFactory.create(draining=True)
    assert "about to stop" in only().text


def test_a_deep_queue_is_said(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "waiting", lambda: 120)
    assert only().text == "120 messages wait in the queue."


def test_a_queue_that_cannot_be_reached_is_said(seen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise queue.QueueUnreachable("connection refused")

    monkeypatch.setattr(queue, "waiting", refuse)
    problem = only()
    assert (problem.id, problem.level) == ("queue", "error")
    assert "connection refused" in problem.text


def test_runs_that_wait_while_nobody_is_busy_are_said(seen: None) -> None:
    RunFactory.create(enqueued_at=timezone.now() - timedelta(minutes=10))
    problem = only()
    assert problem.id == "waiting"
    assert problem.text == "1 run waiting, and no worker is busy."
    RunFactory.create(running=True)
    assert health.problems() == []


def test_a_log_that_cannot_be_stored_is_said_to_be_delayed(seen: None) -> None:
    written = Journal.create("k-1", HEAD)
    assert health.problems() == []
    mark = written.path / journal.DELAYED
    mark.touch()
    assert health.problems() == []
    os.utime(mark, (time.time() - 60, time.time() - 60))
    problem = only()
    assert problem.id == "delayed"
    assert "Delayed: the log of 1 run" in problem.text


def test_a_log_that_a_dead_process_left_is_said_to_be_delayed(seen: None) -> None:
    written = Journal.create("k-1", HEAD)
    long_ago = (time.time() - 60, time.time() - 60)
    os.utime(written.path, long_ago)
    written.close()
    # It wrote a moment ago.
    assert health.problems() == []
    os.utime(journal.segments(written.path)[-1], long_ago)
    assert only().id == "delayed"
    written.remove()
    assert health.problems() == []


def test_a_log_that_is_being_written_is_not_delayed_however_seldom(seen: None) -> None:
    written = Journal.create("k-1", HEAD)
    for path in (written.path, *journal.segments(written.path)):
        os.utime(path, (time.time() - 60, time.time() - 60))
    assert health.problems() == []
    written.remove()


def test_tables_that_are_not_up_to_date_are_said_with_the_command() -> None:
    MigrationRecorder.Migration.objects.using(spool.alias()).filter(app="console").delete()
    problem = only()
    assert (problem.id, problem.level) == ("tables", "error")
    assert "console.0001_initial" in problem.text
    assert problem.hint.startswith("Run: python manage.py migrate")


def test_a_database_that_does_not_answer_is_a_problem_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> Any:
        raise OperationalError("no such host")

    monkeypatch.setattr(presence, "seen", down)
    assert [problem.id for problem in health.problems() if "no such host" in problem.text] == ["database"]
