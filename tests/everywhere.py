"""``make test``: every test, on every kind of database that this machine has; ``--versions`` adds other Pythons.

``python -m tests.everywhere [--versions] [PYTEST ARGUMENTS]``. SQLite and PostgreSQL always run (PostgreSQL is brought
along); MariaDB runs where one answers. With ``CI=true`` a database that is missing is a failure.

Tests that compute go two groups at a time, each on all processors and behind all others: on a database server they wait
for it half of the time. Tests that start, kill and freeze processes wait more than they compute: three groups of them
go beside those. What a group printed is shown when it has ended.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests import databases

LIFECYCLE = "lifecycle"
PAGES = "browser or site"
# Tests that do not depend on TEST_DB run on SQLite only.
ONCE = f"{PAGES} or once"
QUICK = f"not ({LIFECYCLE} or {PAGES})"
# What takes long and says the same wherever it runs.
REPEATED = "not (slow and once)"

NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Version:
    """Another pair of versions to run on, on SQLite: the oldest and the newest that are supported."""

    python: str
    django: str
    use_tz: str
    selection: str

    def __str__(self) -> str:
        return f"Python {self.python}, Django {self.django}, USE_TZ={self.use_tz}"


VERSIONS = (
    Version("3.12", "5.2", "0", f"{QUICK} and not slow"),
    Version("3.13", "6.1", "1", f"{QUICK} and {REPEATED}"),
    Version("3.14", "6.1", "1", f"{QUICK} and {REPEATED}"),
)


@dataclass(frozen=True)
class Group:
    """Tests that run in one go: where they run, for people, and what they are run with."""

    where: str
    selection: str
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    computes: bool = True
    """Whether it makes use of several processors; else it mostly waits, and runs one test at a time."""

    @property
    def name(self) -> str:
        return f"{self.where} ({self.selection})"


def main(arguments: list[str]) -> int:
    """Run it all. Returns 0 when every test of every group passed."""
    missing: list[str] = []
    ran: list[str] = []
    groups: list[Group] = []
    failed = False
    for kind in databases.KINDS:
        try:
            where = databases.find(kind).where
        except databases.DatabaseMissing as error:
            missing.append(f"{kind}: left out. {error}")
            ran.append(f"NOT on {kind}")
            failed = failed or kind == "postgresql" or os.environ.get("CI") == "true"
            continue
        ran.append(where)
        groups += on_database(kind, where)
    with tempfile.TemporaryDirectory() as folder:
        if "--versions" in arguments:
            arguments = [argument for argument in arguments if argument != "--versions"]
            groups.append(
                Group("the core alone", f"not {LIFECYCLE} and {REPEATED}", {"TEST_DB": "sqlite", "TEST_CONSOLE": "0"})
            )
            for version in VERSIONS:
                python = environment(version, Path(folder))
                if python is None:
                    missing.append(f"{version}: left out. There is no such Python here.")
                else:
                    chosen = {"TEST_DB": "sqlite", "TEST_USE_TZ": version.use_tz}
                    groups.append(Group(str(version), version.selection, chosen, python))
        ended = all_of(groups, lambda group: run(group, arguments))
    failed = failed or any(status not in (0, NOTHING_COLLECTED) for status, _ in ended)
    closing = [f"{group.name}: {last.strip('= ')}" for group, (_, last) in zip(groups, ended, strict=True)]
    print("\nDatabases:\n  " + "\n  ".join([*closing, *missing, f"The tests ran on: {', '.join(ran)}."]), flush=True)
    return int(failed)


def on_database(kind: str, where: str) -> list[Group]:
    """The groups of tests for one kind of database."""
    chosen = {"TEST_DB": kind}
    if kind == "sqlite":
        return [
            Group(where, QUICK, chosen),
            Group(where, PAGES, chosen, computes=False),
            Group(where, LIFECYCLE, chosen, computes=False),
        ]
    return [
        Group(where, f"{QUICK} and not once", chosen),
        Group(where, f"{LIFECYCLE} and not ({ONCE})", chosen, computes=False),
    ]


def environment(version: Version, folder: Path) -> str | None:
    """A Python of that version with that Django, in a virtual environment made in the folder. None: there is none."""
    found = shutil.which(f"python{version.python}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        found = next(iter(glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version.python}.*/bin/python"))), None)
    if found is None:
        return None
    target = folder / version.python
    python = str(target / "bin" / "python")
    subprocess.run([found, "-m", "venv", str(target)], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-e", ".[test]", f"Django~={version.django}.0"], check=True)
    return python


def all_of(groups: list[Group], run: Callable[[Group], tuple[int, str]]) -> list[tuple[int, str]]:
    """Run each; returns what each returned, in their order. Ctrl-C ends those that run and begins no other."""
    with ThreadPoolExecutor(2) as computing, ThreadPoolExecutor(3) as waiting:
        ends: list[Future[tuple[int, str]]] = [
            (computing if group.computes else waiting).submit(run, group) for group in groups
        ]
        try:
            return [end.result() for end in ends]
        except BaseException:
            for end in ends:
                end.cancel()
            raise


_printing = threading.Lock()


def run(group: Group, arguments: list[str]) -> tuple[int, str]:
    """Run pytest for one group and show what it printed. Returns its exit status and closing line."""
    variables = {**os.environ, **group.environment}
    variables.pop("TEST_SESSION", None)
    command = [group.python, "-m", "pytest", "-m", group.selection, *arguments]
    if group.computes:
        command = ["nice", "-n", "10", *command, "-n", str(os.cpu_count() or 1)]
    begun = time.monotonic()
    print(f"-- begun: {group.name}", flush=True)
    done = subprocess.run(
        command,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    with _printing:
        print(f"\n== {group.name}: {minutes}:{seconds:02} minutes\n{done.stdout}", flush=True)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return done.returncode, lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
