"""The tests say which databases they run on, and do not pass by leaving one out."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import pytest

from tests import databases, everywhere

pytestmark = pytest.mark.once


def test_a_word_that_names_no_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DB", "oracle")
    with pytest.raises(ValueError, match="choose one of sqlite, postgresql, mariadb"):
        databases.chosen()


def test_a_mariadb_that_does_not_answer_is_said_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pymysql")
    monkeypatch.setenv("MYSQL_PORT", "1")
    with pytest.raises(databases.DatabaseMissing, match="127.0.0.1:1: .* Set MYSQL_HOST, MYSQL_PORT"):
        databases.find("mariadb")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[everywhere.Group]:
    """What would have been run; each run ends well. MariaDB does not answer, and there is no Python 3.14."""
    started: list[everywhere.Group] = []

    def run(group: everywhere.Group, arguments: list[str]) -> tuple[int, str]:
        started.append(group)
        return 0, f"=== {len(arguments)} argument ==="

    def find(kind: str, *, start: bool = True) -> databases.Found:
        if kind == "mariadb":
            raise databases.DatabaseMissing("MariaDB does not answer.")
        return databases.Found(kind, kind.title())

    def environment(version: everywhere.Version, folder: Path) -> str | None:
        return None if version.python == "3.14" else f"{folder}/{version.python}"

    monkeypatch.setattr(everywhere, "run", run)
    monkeypatch.setattr(everywhere, "environment", environment)
    monkeypatch.setattr(databases, "find", find)
    monkeypatch.delenv("CI", raising=False)
    return started


def test_a_database_that_is_missing_is_left_out_and_named(
    runs: list[everywhere.Group], capsys: pytest.CaptureFixture[str]
) -> None:
    assert everywhere.main(["-x"]) == 0
    assert sorted((group.environment["TEST_DB"], group.computes) for group in runs) == [
        ("postgresql", False), ("postgresql", True), ("sqlite", False), ("sqlite", False), ("sqlite", True),
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "Sqlite (lifecycle): 1 argument\n" in printed
    assert "Postgresql (not (lifecycle or browser or site) and not once): 1 argument\n" in printed
    assert "mariadb: left out. MariaDB does not answer." in printed
    assert printed.splitlines()[-1].strip() == "The tests ran on: Sqlite, Postgresql, NOT on mariadb."


def test_other_versions_run_where_they_are_asked_for(
    runs: list[everywhere.Group], capsys: pytest.CaptureFixture[str]
) -> None:
    assert everywhere.main(["--versions"]) == 0
    assert [group.environment["TEST_CONSOLE"] for group in runs if group.where == "the core alone"] == ["0"]
    others = {group.where: group for group in runs if group.python != sys.executable}
    assert list(others) == ["Python 3.12, Django 5.2, USE_TZ=0", "Python 3.13, Django 6.1, USE_TZ=1"]
    assert all(group.python.endswith(group.where[7:11]) for group in others.values())
    assert "Python 3.14, Django 6.1, USE_TZ=1: left out. There is no such Python here." in capsys.readouterr().out


def test_each_test_is_in_a_group_that_runs_it_on_sqlite_and_where_it_looks_at_the_database_on_the_others() -> None:
    """The selections are true of every set of marks: one group of SQLite's, and at most one of another's."""
    marks = ("lifecycle", "browser", "site", "once", "slow")
    for chosen in itertools.product((False, True), repeat=len(marks)):
        has = dict(zip(marks, chosen, strict=True))
        if has["lifecycle"] and (has["browser"] or has["site"]):
            continue
        taken = {
            kind: sum(eval(group.selection, dict(has)) for group in everywhere.on_database(kind, ""))
            for kind in databases.KINDS
        }
        other = int(not (has["browser"] or has["site"] or has["once"]))
        assert taken == {"sqlite": 1, "postgresql": other, "mariadb": other}, has


@pytest.mark.usefixtures("runs")
def test_in_ci_a_database_that_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert everywhere.main([]) == 1


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("status", "expected"), [(0, 0), (5, 0), (1, 1), (2, 1), (4, 1)])
def test_one_run_that_fails_fails_it_all(monkeypatch: pytest.MonkeyPatch, status: int, expected: int) -> None:
    monkeypatch.setattr(
        everywhere, "run", lambda group, arguments: (status if group.selection == "lifecycle" else 0, "closing")
    )
    assert everywhere.main([]) == expected


def test_a_group_is_shown_with_what_it_printed_and_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    group = everywhere.Group("here", "once", {"TEST_DB": "sqlite"}, computes=False)
    assert everywhere.run(group, ["--version"]) == (0, f"pytest {pytest.__version__}")
    printed = capsys.readouterr().out
    assert "-- begun: here (once)\n" in printed
    assert re.search(rf"== here \(once\): \d+:\d\d minutes\npytest {pytest.__version__}\n", printed)
