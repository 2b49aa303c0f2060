"""System checks, by their ids and texts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core.checks import run_checks
from django.db.backends.postgresql.psycopg_any import IsolationLevel

from data_migrations import checks
from data_migrations.checks import CONVENTION, circles


def messages(prefix: str = "data_migrations") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for message in run_checks(tags=[prefix]):
        found.setdefault(str(message.id), []).append(f"{message.msg} {message.hint or ''}")
    return found


def test_the_testapp_is_clean():
    assert messages() == {}


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("data_migrations.E001", "tests.oddapp.management.commands.no_name.Command has no migration_name"),
        ("data_migrations.E002", "twin_a and tests.oddapp.management.commands.twin_b have the same migration_name"),
        ("data_migrations.E003", "long_name has 201 characters"),
        ("data_migrations.E004", "depends on 'nobody_2026_01_01', which is no data migration"),
        ("data_migrations.E005", "circle_a_2026_01_01 -> circle_b_2026_01_01 -> circle_a_2026_01_01"),
        ("data_migrations.W001", "does not follow the convention"),
        ("data_migrations.W002", "a_module_that_is_not_there"),
    ],
)
def test_what_is_wrong_is_said_with_its_id(odd_app, id, words):
    assert len(messages()[id]) == 1
    assert words in messages()[id][0]


@pytest.mark.parametrize(
    ("given", "id", "words"),
    [
        ({"LEASE": 3}, "data_migrations.E006", "unknown key 'LEASE'"),
        ({"LEASE_SECONDS": 10, "HEARTBEAT_SECONDS": 6}, "data_migrations.E007", "more than half"),
        ({"AUDIT_CONTEXT_MANAGERS": ["nowhere.off"]}, "data_migrations.E009", "cannot be imported"),
        ({"MASK": ["("]}, "data_migrations.E008", "no regular expression"),
        ({"THROTTLE": [5]}, "data_migrations.E010", "['THROTTLE'] is not a dict"),
        ({"THROTTLE": {"lag": 5}}, "data_migrations.E010", "unknown key 'lag'. The known keys are replication_lag"),
        ({"THROTTLE": {"unreadable": "wait"}}, "data_migrations.E010", "has 'wait' for 'unreadable'"),
        ({"THROTTLE": {"replicas": ["nowhere"]}}, "data_migrations.E010", "a list of aliases of DATABASES"),
        ({"THROTTLE": {"replicas": "other"}}, "data_migrations.E010", "has 'other' for 'replicas'"),
        ({"THROTTLE": {"vacuum": 5}}, "data_migrations.E010", "It takes True or None"),
        ({"THROTTLE": {"replication_lag": "10"}}, "data_migrations.E010", "a number that is not negative"),
        ({"THROTTLE": {"oldest_transaction": True}}, "data_migrations.E010", "has True for 'oldest_transaction'"),
    ],
)
def test_settings_that_cannot_work(settings, given, id, words):
    settings.DATA_MIGRATIONS = given
    assert words in messages()[id][0]


def test_limits_that_work(settings):
    settings.DATA_MIGRATIONS = {
        "THROTTLE": {
            "replication_lag": 0.5,
            "blocked_sessions": None,
            "oldest_transaction": 3600,
            "vacuum": True,
            "replicas": ["other"],
            "unreadable": "stop",
        }
    }
    assert messages() == {}


@pytest.mark.parametrize(
    ("vendor", "options", "warned"),
    [
        ("postgresql", {}, False),
        ("postgresql", {"isolation_level": IsolationLevel.READ_COMMITTED}, False),
        ("postgresql", {"isolation_level": IsolationLevel.REPEATABLE_READ}, True),
        ("postgresql", {"isolation_level": int(IsolationLevel.SERIALIZABLE)}, True),
        ("postgresql", {"options": "-c default_transaction_isolation=serializable"}, True),
        ("postgresql", {"options": r"-c default_transaction_isolation=repeatable\ read"}, True),
        ("postgresql", {"options": r"-c default_transaction_isolation=read\ committed"}, False),
        # InnoDB's locking reads see what is committed now, whatever the snapshot is.
        ("mysql", {"isolation_level": "repeatable read"}, False),
    ],
)
def test_an_isolation_level_at_which_a_renewed_lease_stops_the_commit(monkeypatch, vendor, options, warned):
    database = SimpleNamespace(vendor=vendor, settings_dict={"OPTIONS": options})
    monkeypatch.setattr(checks, "connections", {"default": database})
    found = [message.id for message in checks.check_isolation(None)]
    assert found == ["data_migrations.W004"] * warned


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        ("migrate_user_data_v1_2024_11_21", True),
        ("backfill_team_settings_2024_12_01", True),
        ("backfill_2024_13_01", False),
        ("Backfill_2024_12_01", False),
        ("backfill", False),
        ("2024_12_01", False),
    ],
)
def test_the_convention(name, follows):
    assert bool(CONVENTION.fullmatch(name)) is follows


def test_circles_are_found_once():
    graph = {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["d"], "e": ["a"]}
    assert circles(graph) == [["a", "b", "c", "a"], ["d", "d"]]
