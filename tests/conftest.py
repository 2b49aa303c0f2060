"""What all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import TransactionTestCase

from tests import databases

TESTS = Path(__file__).parent
MARKED_FOLDERS = ("lifecycle", "browser", "site")

# Without the console in INSTALLED_APPS its modules cannot be imported.
collect_ignore = [] if os.environ.get("TEST_CONSOLE") != "0" else ["console", "browser", "lifecycle", "site"]


def pytest_report_header(config: pytest.Config) -> str:
    """Say which database this session runs on, and which it does not."""
    kind = databases.chosen()
    left_out = [other for other in databases.KINDS if other != kind]
    return f"database: {databases.find(kind).where} (not in this session: {', '.join(left_out)})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of some folders by the folder's name, so that no test is left unmarked by oversight."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove this session's SQLite files; xdist workers leave that to the session that started them."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(databases.scratch_directory(), ignore_errors=True)


@pytest.fixture(autouse=True)
def filled_registry() -> None:
    """No test that replaces a part of a command is the one by whose replacement the registry is filled for all."""
    from data_migrations import registry

    registry.all_migrations()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Besides, tests that commit are cleared up after without ``flush``, and who was killed gets the time to go."""
    # Not before there are apps: it imports models.
    from tests import emptying

    with django_db_blocker.unblock():
        emptying.remember()
    TransactionTestCase._fixture_teardown = emptying.teardown  # type: ignore[attr-defined]
    yield
    with django_db_blocker.unblock():
        emptying.wait_until_alone()
