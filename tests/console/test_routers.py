"""The router keeps the console's tables in their own database, and everything else out of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from console.models import Run
from console.routers import ConsoleRouter
from tests.testapp.models import Item

router = ConsoleRouter()


@pytest.fixture
def two_files(settings: Any) -> None:
    settings.CONSOLE = {"DATABASE": "console"}


def test_without_an_alias_it_has_no_opinion(settings: Any) -> None:
    settings.CONSOLE = {}
    assert router.db_for_read(Run) is None
    assert router.db_for_write(Run) is None
    assert router.allow_migrate("default", "console") is None
    assert router.allow_relation(Run(), Item()) is None
    del settings.CONSOLE
    assert router.db_for_read(Run) is None


@pytest.mark.usefixtures("two_files")
def test_the_consoles_tables_are_read_written_and_made_there_alone() -> None:
    assert router.db_for_read(Run) == router.db_for_write(Run) == "console"
    assert [router.allow_migrate(alias, "console") for alias in ("console", "default")] == [True, False]
    assert [router.allow_migrate(alias, "django_q") for alias in ("console", "default")] == [True, False]


@pytest.mark.usefixtures("two_files")
def test_other_apps_stay_out_of_it_and_are_left_to_other_routers_elsewhere() -> None:
    assert router.db_for_read(Item) is None
    assert [router.allow_migrate(alias, "testapp") for alias in ("console", "default")] == [False, None]


@pytest.mark.usefixtures("two_files")
def test_no_relation_crosses_the_border() -> None:
    assert router.allow_relation(Run(), Run()) is True
    assert router.allow_relation(Run(), Item()) is False
    assert router.allow_relation(Item(), Item()) is None


def test_the_apps_that_live_there_can_be_chosen(settings: Any) -> None:
    settings.CONSOLE = {"DATABASE": "console", "DATABASE_APPS": ("console", "django_q", "auth")}
    assert router.db_for_read(User) == "console"
    assert router.allow_migrate("default", "auth") is False


@pytest.mark.django_db(databases="__all__")
@pytest.mark.skipif("console" not in connections, reason="the console has a database of its own on SQLite only")
def test_each_table_exists_in_one_of_the_two_databases() -> None:
    tables = {alias: set(connections[alias].introspection.table_names()) for alias in ("default", "console")}
    assert tables["default"] & tables["console"] == {"django_migrations"}
    assert "console_run" in tables["console"]
    assert "data_migrations_appliedmigration" in tables["default"]
