"""Everything in one SQLite file: the log comes late, but it comes, and no run is failed or held up for it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests import databases, processes

pytestmark = [pytest.mark.skipif(databases.chosen() != "sqlite", reason="SQLite only"), pytest.mark.slow]


class SingleFile:
    """A project in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = {
            "SINGLE_FILE": str(path),
            "DJANGO_SETTINGS_MODULE": "tests.console.single_file",
            "TEST_DB_NAMES": "{}",
        }

    def manage(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = processes.run_manage(*arguments, env={**self.env, **env})
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return processes.manage(*arguments, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def lines(self) -> list[str]:
        found = self.rows("SELECT text FROM console_logchunk ORDER BY run_id, first")
        return [line for (text,) in found for line in text.split("\n")]

    def journals(self) -> list[Path]:
        return list(Path(f"{self.path}.spool").glob("*/*"))


@pytest.fixture
def single(tmp_path: Path) -> SingleFile:
    return SingleFile(tmp_path / "one.sqlite3")


@pytest.fixture
def migrated(single: SingleFile) -> SingleFile:
    single.manage("migrate", "--verbosity=0")
    return single


def until(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true")


def test_the_log_of_an_atomic_run_that_held_the_file_is_stored_after_it(migrated: SingleFile) -> None:
    began = time.monotonic()
    migrated.manage("increment", "--lines", "300", "--before", "3")
    # It was not made to wait for a lock that it held itself.
    assert time.monotonic() - began < 25
    assert migrated.rows("SELECT status, door, log_next FROM console_run") == [("succeeded", "shell", 303)]
    assert migrated.lines() == [*(f"line {number}" for number in range(300)), "begun", "changed"]
    assert migrated.journals() == []


def test_the_first_migrate_of_all_records_the_data_migrations_that_it_runs(single: SingleFile) -> None:
    """The console's own tables come in the same command, perhaps after the data migration ran."""
    single.manage("migrate", "--verbosity=0", SINGLE_FILE_MIGRATIONS="tests.data_migrations.run_migrations")
    found = single.rows("SELECT migration, status, door FROM console_run ORDER BY id")
    assert ("increment_items_2026_01_01", "succeeded", "migrate") in found
    assert "line 1" in single.lines()


def test_what_a_killed_run_printed_while_it_held_the_file_is_stored_by_the_next_who_comes(
    migrated: SingleFile,
) -> None:
    run = migrated.start("increment", "--lines", "50", "--before", "60")
    try:
        until(lambda: any('"o", "begun"' in path.read_text() for path in Path(f"{migrated.path}.spool").glob("*/*/0*")))
    finally:
        run.kill()
        run.communicate()
    assert len(migrated.journals()) == 1
    code = (
        "import django; django.setup()\n"
        "from console import presence\n"
        "from data_migrations.processes import Process\n"
        "presence.Presence(Process.current()).tick()\n"
    )
    done = processes.python("-c", code, env=migrated.env)
    _, errors = done.communicate(timeout=60)
    assert done.returncode == 0, errors
    assert migrated.rows("SELECT status FROM console_run") == [("interrupted",)]
    assert migrated.lines()[:51] == [*(f"line {number}" for number in range(50)), "begun"]
    assert migrated.journals() == []


def test_a_worker_carries_a_run_out_and_finishes_it(migrated: SingleFile) -> None:
    code = (
        "import django; django.setup()\n"
        "from console import dispatch, worker\n"
        "run = dispatch.request_run('increment_items_2026_01_01', user='ana', values={'lines': 20, 'before': 2.0})\n"
        "worker.perform(run.pk)\n"
    )
    done = processes.python("-c", code, env=migrated.env)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    assert migrated.rows("SELECT status, log_next FROM console_run") == [("succeeded", 23)]
    assert migrated.lines() == [*(f"line {number}" for number in range(20)), "begun", "changed"]


def test_a_project_in_one_file_is_told_of_it(migrated: SingleFile) -> None:
    code = (
        "import django; django.setup()\n"
        "from console import checks\n"
        "import json; print(json.dumps([each.id for each in checks.check_database(None)]))\n"
    )
    done = processes.python("-c", code, env=migrated.env)
    output, _ = done.communicate(timeout=60)
    assert json.loads(output) == ["console.W003"]
    assert os.path.exists(migrated.path)
