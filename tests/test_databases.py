"""The tests say which databases they run on, and do not pass by leaving one out."""

from __future__ import annotations

import pytest

from tests import databases, everywhere


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
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What would have been run; each run ends well. MariaDB does not answer."""
    started: list[tuple[str, list[str]]] = []

    def run(kind: str, arguments: list[str]) -> tuple[int, str]:
        started.append((kind, arguments))
        return 0, f"=== {len(started)} passed ==="

    def find(kind: str, *, start: bool = True) -> databases.Found:
        if kind == "mariadb":
            raise databases.DatabaseMissing("MariaDB does not answer.")
        return databases.Found(kind, kind.title())

    monkeypatch.setattr(everywhere, "run", run)
    monkeypatch.setattr(databases, "find", find)
    monkeypatch.delenv("CI", raising=False)
    return started


def test_a_database_that_is_missing_is_left_out_and_named(
    runs: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert everywhere.main(["-x"]) == 0
    assert [kind for kind, _ in runs] == ["sqlite", "sqlite", "postgresql", "postgresql"]
    assert all(arguments[-1] == "-x" for _, arguments in runs)
    printed = capsys.readouterr().out
    assert "Sqlite: 1 passed" in printed
    assert "Postgresql: 4 passed" in printed
    assert "mariadb: left out. MariaDB does not answer." in printed
    assert printed.splitlines()[-1].strip() == "The tests ran on: Sqlite, Postgresql, NOT on mariadb."


@pytest.mark.usefixtures("runs")
def test_in_ci_a_database_that_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert everywhere.main([]) == 1


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (5, 0), (1, 1), (2, 1), (4, 1)])
def test_one_run_that_fails_fails_it_all(
    runs: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch, status: int, expected: int
) -> None:
    monkeypatch.setattr(everywhere, "run", lambda kind, arguments: (status if kind == "sqlite" else 0, "closing"))
    assert everywhere.main([]) == expected
