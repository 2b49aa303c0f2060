"""The system checks of the console."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from console import checks, conf, spool

DOCUMENTED = Path(__file__).parents[2] / "docs" / "console-checks.md"


def ids(found: list[Any]) -> list[str]:
    return [each.id for each in found]


@pytest.fixture
def console(settings: Any) -> Any:
    """Change keys of ``CONSOLE``."""

    def change(**keys: Any) -> None:
        settings.CONSOLE = {**settings.CONSOLE, **keys}

    return change


@pytest.fixture
def q_cluster(settings: Any) -> Any:
    """Change keys of ``Q_CLUSTER``."""

    def change(**keys: Any) -> None:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, **keys}

    return change


@pytest.fixture
def database() -> Iterator[dict[str, Any]]:
    """The settings of the console's database, to change."""
    connection = connections[spool.alias()]
    before = connection.settings_dict
    connection.settings_dict = copy.deepcopy(before)
    yield connection.settings_dict
    connection.settings_dict = before


def test_the_settings_of_the_tests_are_well() -> None:
    assert checks.check_settings(None) == []
    assert checks.check_database(None) == []
    assert checks.check_queue(None) == []
    assert checks.check_spool(None) == []


def test_an_unknown_key_is_an_error(console: Any) -> None:
    console(SPOOLDIR="/x")
    [found] = checks.check_settings(None)
    assert found.id == "console.E001"
    assert "'SPOOLDIR'" in found.msg
    assert "SPOOL_DIR" in str(found.hint)


def test_settings_that_are_no_dict_are_an_error(settings: Any) -> None:
    settings.CONSOLE = ["SPOOL_DIR"]
    assert ids(checks.check_settings(None)) == ["console.E001"]


def test_a_stuck_time_too_short_for_the_heartbeat_is_an_error(console: Any) -> None:
    console(STUCK_SECONDS=10)
    assert ids(checks.check_settings(None)) == ["console.E002"]


@pytest.mark.parametrize("value", [None, 0, -1, 1.5])
def test_a_task_timeout_that_would_kill_workers_is_an_error(console: Any, value: Any) -> None:
    console(TASK_TIMEOUT_SECONDS=value)
    assert ids(checks.check_settings(None)) == ["console.E003"]


def test_a_word_that_record_does_not_take_is_an_error(console: Any) -> None:
    console(RECORD="yes")
    assert ids(checks.check_settings(None)) == ["console.E004"]


def test_an_unknown_database_is_an_error(console: Any) -> None:
    console(DATABASE="nowhere")
    [found] = checks.check_database(None)
    assert found.id == "console.E005"
    assert "default" in str(found.hint)


def test_a_database_without_its_router_is_an_error(console: Any, settings: Any) -> None:
    settings.DATABASE_ROUTERS = []
    console(DATABASE="other")
    [found] = checks.check_database(None)
    assert found.id == "console.E006"
    assert "console.routers.ConsoleRouter" in str(found.hint)


def test_a_retry_no_longer_than_a_run_may_take_is_a_warning(q_cluster: Any, console: Any) -> None:
    console(TASK_TIMEOUT_SECONDS=100)
    q_cluster(timeout=50, retry=100)
    [found] = checks.check_queue(None)
    assert found.id == "console.W001"
    assert "100 s" in found.msg
    q_cluster(retry=101)
    assert checks.check_queue(None) == []


def test_the_default_retry_is_too_short(settings: Any) -> None:
    settings.Q_CLUSTER = {"orm": spool.alias()}
    assert ids(checks.check_queue(None)) == ["console.W001"]


def test_a_guard_cycle_of_ones_own_is_a_warning(q_cluster: Any) -> None:
    q_cluster(guard_cycle=0.7)
    assert ids(checks.check_queue(None)) == ["console.W002"]
    q_cluster(guard_cycle=0.5)
    assert checks.check_queue(None) == []


def test_sqlite_in_one_file_is_a_warning(database: dict[str, Any], settings: Any) -> None:
    if connections[spool.alias()].vendor != "sqlite":
        pytest.skip("not SQLite")
    database["NAME"] = connections["default"].settings_dict["NAME"]
    [found] = checks.check_database(None)
    assert found.id == "console.W003"
    assert "delayed" in found.msg


def test_sqlite_without_immediate_transactions_is_a_warning(database: dict[str, Any]) -> None:
    if connections[spool.alias()].vendor != "sqlite":
        pytest.skip("not SQLite")
    database["OPTIONS"] = {}
    assert ids(checks.check_database(None)) == ["console.W004"]


def test_no_queue_settings_are_a_warning(settings: Any) -> None:
    del settings.Q_CLUSTER
    assert ids(checks.check_queue(None)) == ["console.W005"]


def test_sync_is_a_warning(q_cluster: Any) -> None:
    q_cluster(sync=True)
    assert ids(checks.check_queue(None)) == ["console.W006"]


def test_a_queue_in_another_database_than_the_console_is_a_warning(q_cluster: Any) -> None:
    q_cluster(orm="other")
    [found] = checks.check_queue(None)
    assert found.id == "console.W007"
    assert spool.alias() in str(found.hint)


def test_a_queue_in_no_database_is_an_error(q_cluster: Any) -> None:
    q_cluster(orm="nowhere")
    assert ids(checks.check_queue(None)) == ["console.E007"]


def test_no_place_for_the_spool_is_a_warning(console: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    console(SPOOL_DIR=str(tmp_path / "file"))
    assert ids(checks.check_spool(None)) == ["console.W008"]


def test_every_check_and_every_setting_is_documented() -> None:
    text = DOCUMENTED.read_text()
    used = set(re.findall(r"console\.[EW]\d{3}", Path(checks.__file__).read_text()))
    assert used
    assert used == set(re.findall(r"console\.[EW]\d{3}", text))
    for key in conf.DEFAULTS:
        assert f"`{key}`" in text, key


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "destructive",
        [],
        ["increment_items_2026_01_01"],
        {"destructive", "increment_items_2026_01_01"},
    ],
)
def test_who_needs_approval_can_be_said_in_these_ways(settings: Any, value: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": value}
    assert ids(checks.check_settings(None)) == []
    assert checks.check_unknown_approvals(None) == []


@pytest.mark.parametrize("value", ["all", "increment_items_2026_01_01", 1.5, [None], [""], {"a": 1}])
def test_what_does_not_say_who_needs_approval_is_an_error(settings: Any, value: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": value}
    assert ids(checks.check_settings(None)) == ["console.E011"]


def test_a_name_that_guards_nothing_is_warned_of(settings: Any) -> None:
    settings.CONSOLE = {
        **settings.CONSOLE,
        "REQUIRE_APPROVAL": ["increment", "destructive", "increment_items_2026_01_01"],
    }
    [found] = checks.check_unknown_approvals(None)
    assert found.id == "console.W011"
    assert "'increment'" in found.msg


@pytest.mark.parametrize("hours", [0, -1, "24", None, True, 10**9])
def test_hours_in_which_nothing_could_be_approved_are_an_error(settings: Any, hours: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "APPROVAL_HOURS": hours}
    assert ids(checks.check_settings(None)) == ["console.E012"]
