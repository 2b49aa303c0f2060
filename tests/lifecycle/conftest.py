"""Real processes on the test databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from tests import processes


class Child:
    """One run in a process of its own; what it prints is in a file, so that nothing blocks it."""

    def __init__(self, nursery: Nursery, pid: int, output: Path) -> None:
        self.nursery = nursery
        self.pid = pid
        self.output = output
        self.status: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal, if it is still to be waited for."""
        if self.status is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        if self.status is None:
            self.status = self.nursery.wait(self.pid)
        return self.status

    def text(self) -> str:
        """What it printed so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def until(self, text: str, seconds: float = 60) -> None:
        """Wait until it has printed something."""
        end = time.monotonic() + seconds
        while text not in self.text():
            if time.monotonic() > end:
                raise AssertionError(f"no {text!r} within {seconds} s, but:\n{self.text()}")
            time.sleep(0.01)


class Nursery:
    """Forks runs off a process that has Django loaded already."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        self.directory = directory
        self.count = 0
        with (directory / "nursery.err").open("w") as errors:
            self.process = processes.python(
                "-m", "tests.lifecycle.nursery", env=env, stdin=subprocess.PIPE, stderr=errors
            )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        assert self._line() == "ready"
        self.children: list[Child] = []

    def _line(self) -> str:
        line = self.stdout.readline().strip()
        if not line:
            raise AssertionError(f"the nursery ended: {(self.directory / 'nursery.err').read_text()}")
        return line

    def start(self, *arguments: str) -> Child:
        """Start ``manage.py ARGUMENTS``."""
        self.count += 1
        output = self.directory / f"{self.count}.txt"
        self.stdin.write(json.dumps([str(output), *arguments]) + "\n")
        child = Child(self, int(self._line()), output)
        self.children.append(child)
        return child

    def wait(self, pid: int) -> int:
        """The exit status of a child."""
        self.stdin.write(f"wait {pid}\n")
        return int(self._line())

    def close(self) -> None:
        """End it and every child that is left."""
        for child in self.children:
            if child.status is None:
                child.signal(signal.SIGKILL)
                child.wait()
        self.stdin.close()
        self.process.wait(timeout=20)
        self.stdout.close()


@pytest.fixture(autouse=True)
def spool_dir(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A spool folder of the test's own: killed runs leave lines behind, which another test would find there."""
    folder = tmp_path / "spool"
    monkeypatch.setenv("TEST_SPOOL_DIR", str(folder))
    settings.CONSOLE = {**settings.CONSOLE, "SPOOL_DIR": str(folder)}
    return folder


@pytest.fixture
def nurseries(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Nursery]]:
    """Make nurseries; keyword arguments are DATA_MIGRATIONS settings of their children."""
    made: list[Nursery] = []

    def make(env: dict[str, str] | None = None, **settings: Any) -> Nursery:
        directory = tmp_path / f"nursery{len(made)}"
        directory.mkdir()
        nursery = Nursery(
            directory, {"TEST_DATA_MIGRATIONS": json.dumps({"POLL_SECONDS": 0.05, **settings}), **(env or {})}
        )
        made.append(nursery)
        return nursery

    yield make
    for nursery in made:
        nursery.close()
    for connection in connections.all():
        connection.close()
