"""Switching auditing off: without any library, with context managers of one's own, and with the real libraries."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from data_migrations import audit
from data_migrations.exceptions import Misconfigured

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARIES = ("auditlog", "field_audit", "simple_history", "easyaudit", "pghistory", "pgtrigger")

told: list[str] = []


class quiet:
    """No generator: that would be left when it is thrown away, too."""

    def __init__(self, using: str) -> None:
        self.using = using

    def __enter__(self) -> None:
        told.append(f"off on {self.using}")

    def __exit__(self, *error: object) -> None:
        told.append("on again")


@contextmanager
def swallowing(using: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        told.append("swallowed")


@contextmanager
def failing_at_the_end(using: str) -> Iterator[None]:
    try:
        yield
    finally:
        raise RuntimeError("cannot switch on again")


def not_enterable(using: str) -> Any:
    raise RuntimeError("no license")


def own(settings: Any, *names: str) -> None:
    settings.DATA_MIGRATIONS = {"AUDIT_CONTEXT_MANAGERS": [f"{__name__}.{name}" for name in names]}


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    told.clear()


def test_without_a_library_nothing_is_switched_off() -> None:
    assert audit.active_adapters() == []
    with audit.disabled("default") as states:
        assert states == []


def test_a_context_manager_of_ones_own_is_entered_and_left(settings: Any) -> None:
    own(settings, "quiet")
    with audit.disabled("default") as states:
        assert told == ["off on default"]
        (state,) = states
        assert (state.library, state.off, state.level) == (f"{__name__}.quiet", True, "info")
        assert str(state).startswith(f"{__name__}.quiet: off. ")
    assert told == ["off on default", "on again"]


def test_it_is_left_after_an_error(settings: Any) -> None:
    own(settings, "quiet")
    with pytest.raises(ZeroDivisionError), audit.disabled("default"):
        raise ZeroDivisionError
    assert told[-1] == "on again"


def test_it_cannot_swallow_an_error_of_the_run(settings: Any) -> None:
    own(settings, "swallowing")
    with pytest.raises(ZeroDivisionError), audit.disabled("default"):
        raise ZeroDivisionError
    assert told == ["swallowed"]


def test_it_cannot_hide_an_error_of_the_run_behind_its_own(settings: Any, caplog: Any) -> None:
    own(settings, "quiet", "failing_at_the_end")
    with pytest.raises(ZeroDivisionError), audit.disabled("default"):
        raise ZeroDivisionError
    assert told[-1] == "on again"
    assert "cannot switch on again" in caplog.text


def test_its_error_at_the_end_of_good_work_is_an_error(settings: Any) -> None:
    own(settings, "quiet", "failing_at_the_end")
    with pytest.raises(RuntimeError, match="cannot switch on again"), audit.disabled("default"):
        pass
    assert told[-1] == "on again"


def test_one_that_cannot_be_imported_is_said_before_anything_runs(settings: Any) -> None:
    own(settings, "quiet", "queit")
    with pytest.raises(Misconfigured, match=r"queit.*cannot be imported.*Nothing was run"), audit.disabled("default"):
        pytest.fail("it ran")
    assert told == []


def test_one_that_cannot_be_entered_is_said_and_the_others_are_left(settings: Any) -> None:
    own(settings, "quiet", "not_enterable")
    with pytest.raises(Misconfigured, match=r"not_enterable.*RuntimeError: no license"), audit.disabled("default"):
        pytest.fail("it ran")
    assert told == ["off on default", "on again"]


def test_no_library_is_imported_unless_it_is_installed() -> None:
    code = (
        "import django; from django.conf import settings; settings.configure(); django.setup()\n"
        "import sys; from data_migrations import audit\n"
        "with audit.disabled('default'): pass\n"
        f"print([name for name in {LIBRARIES!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.skipif(
    not all(importlib.util.find_spec(library) for library in LIBRARIES), reason="the audit libraries are not installed"
)
@pytest.mark.slow
def test_the_real_libraries_are_switched_off_and_on() -> None:
    """Runs tests/auditapp/suite.py on this session's kind of database, with the libraries installed."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("TEST_DB_NAMES", "PYTEST_ADDOPTS")},
        "DJANGO_SETTINGS_MODULE": "tests.settings_audit",
        # Databases of its own: those of this session are in use.
        "TEST_SESSION": f"{os.environ.get('TEST_SESSION', 'x')}_{os.getpid()}_audit",
    }
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    arguments = ["-q", "-p", "no:cacheprovider", "--no-migrations", "tests/auditapp/suite.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
