"""What went wrong in a run, as a person reads it: what happened, each thing once, and where in the author's code."""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import data_migrations
from data_migrations.exceptions import DataMigrationError, QuarantineNotEmpty
from data_migrations.registry import RegisteredMigration

from .models import Run

LEFT_ROWS_ASIDE = f"{QuarantineNotEmpty.__module__}.{QuarantineNotEmpty.__qualname__}"
"""The error of a run that did all rows but those that were set aside."""
MOST_HEADING = 150
_FRAME = re.compile(r'^ *File "([^"]+)", line (\d+)(?:, in (.+))?$', re.MULTILINE)
_INSTALLED = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python3[^/]*/|^<")
# Beside ours, the code of Python itself, wherever that is here.
_NOT_THEIRS = tuple(
    f"{path}/"
    for path in (
        sysconfig.get_paths()["stdlib"],
        Path(data_migrations.__file__).parent.as_posix(),
        Path(__file__).parent.as_posix(),
    )
)


@dataclass(frozen=True)
class Told:
    """What happened: a heading of one line, and all that it does not say."""

    heading: str
    detail: str


@dataclass(frozen=True)
class Place:
    """A line of the author's code; ``function`` is empty where it is not known."""

    path: str
    line: int
    function: str


def text(run: Run) -> str:
    """The message, with the class of the error where it does not say that itself."""
    message = run.error_message or run.note
    name = _class(run)
    return message if name in message else f"{name}: {message}"


def told(run: Run) -> Told:
    """The same for the run's own page, which has the name of the data migration for a title."""
    name = _class(run)
    message = (run.error_message or run.note).strip()
    message = message.removeprefix(f"{run.migration} failed: ").removeprefix(f"{name}: ")
    if message.startswith(f"{run.migration} "):
        message = f"It{message.removeprefix(run.migration)}"
    first, _, rest = message.partition("\n")
    if len(first) > MOST_HEADING:
        return Told("It failed" if not name or name in message else name, message)
    if name and name not in first:
        return Told(f"{name}: {first}" if first else name, rest.strip())
    return Told(first or "It failed", rest.strip())


def class_path(run: Run) -> str:
    """Where the class of the author's error is; empty for a builtin one, and for ours."""
    return run.error_class if _class(run) and "." in run.error_class else ""


def left_rows_aside(run: Run) -> bool:
    """Whether all that keeps it from being applied are rows that were set aside."""
    return run.error_class == LEFT_ROWS_ASIDE


def place(run: Run, migration: RegisteredMigration | None) -> Place | None:
    """The last line of the author's own code that its traceback names; None where there is none.

    Args:
        run: the one that failed.
        migration: its code, as far as it is known here.
    """
    module = f"{migration.module_name.replace('.', '/')}.py" if migration is not None else ""
    found = None
    for path, line, function in _FRAME.findall(run.traceback.replace("\\", "/")):
        if module and path.endswith(f"/{module}"):
            found = Place(module, int(line), function)
        elif not _INSTALLED.search(path) and not path.startswith(_NOT_THEIRS):
            found = Place(path, int(line), function)
    return found


def _class(run: Run) -> str:
    """The name of the author's error; ours say in their message all that there is to say."""
    module, _, name = run.error_class.rpartition(".")
    return "" if module == DataMigrationError.__module__ else name
