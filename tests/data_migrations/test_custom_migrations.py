"""The custom_migrations command."""

from __future__ import annotations

import json

import pytest
from django.core.management.base import CommandError

from data_migrations import ledger
from data_migrations.exceptions import AlreadyRunning, InvalidArgument, UnknownMigration
from data_migrations.leases import hold
from data_migrations.models import Event, LedgerEvent
from data_migrations.reporting import Door
from data_migrations.stopping import StopFlag

pytestmark = pytest.mark.django_db(databases="__all__")

INCREMENT = "increment_items_2026_01_01"


def listed(run, *args):
    return {row["name"]: row for row in json.loads(run("custom_migrations", "list", "--format", "json", *args))}


def test_list_shows_pending_and_applied(items, run):
    run("increment")
    rows = listed(run)
    assert rows[INCREMENT]["state"] == "applied"
    assert rows[INCREMENT]["affected_rows"] == 3
    assert rows["failing_2026_01_03"]["state"] == "pending"
    table = run("custom_migrations", "list")
    assert "pending" in table
    assert INCREMENT in table


def test_list_filters_by_name_and_pending(run):
    assert set(listed(run, "--name", "INCREMENT_ITEMS")) == {INCREMENT, "increment_items_loose_2026_01_02"}
    run("custom_migrations", "mark", INCREMENT)
    assert INCREMENT not in listed(run, "--pending")
    assert "No data migrations match." in run("custom_migrations", "list", "--name", "zzz")


def test_check_fails_while_something_is_pending(run):
    with pytest.raises(CommandError, match="1 of these data migrations is not applied") as caught:
        run("custom_migrations", "list", "--name", "failing", "--check")
    assert caught.value.returncode == 1
    run("custom_migrations", "mark", "failing_2026_01_03")
    run("custom_migrations", "list", "--name", "failing", "--check")


def test_mark_and_unmark_write_the_history(run, monkeypatch):
    monkeypatch.setenv("DATA_MIGRATIONS_ACTOR", "ana")
    assert "Marked as applied" in run("custom_migrations", "mark", INCREMENT, "--reason", "done by hand")
    assert "Already applied" in run("custom_migrations", "mark", INCREMENT)
    assert "Record removed" in run("custom_migrations", "unmark", INCREMENT, "--reason", "a mistake")
    assert "Was not applied" in run("custom_migrations", "unmark", INCREMENT)
    history = [(e.event, e.by, e.door, e.reason) for e in ledger.events(INCREMENT, "default")]
    assert history == [
        (Event.MARKED, "ana", "marked", "done by hand"),
        (Event.UNMARKED, "ana", "marked", "a mistake"),
    ]


def test_a_data_migration_is_named_by_its_command_as_well(run):
    assert run("custom_migrations", "mark", "increment").strip() == f"Marked as applied: {INCREMENT}"
    assert run("custom_migrations", "unmark", "increment").strip() == f"Record removed: {INCREMENT}"
    # What is recorded by that very name is meant before any command.
    ledger.record("increment", using="default", by="ana", door=Door.CODE)
    assert run("custom_migrations", "unmark", "increment").strip() == "Record removed: increment"


def test_the_list_calls_an_app_by_its_label_as_the_pages_do(run):
    assert listed(run)[INCREMENT]["app"] == "testapp"


def test_what_is_marked_does_not_run(items, amounts, run):
    run("custom_migrations", "mark", INCREMENT)
    run("increment")
    assert amounts() == [0, 0, 0]


def test_an_unknown_name_is_refused_with_near_matches(run):
    with pytest.raises(UnknownMigration, match=f"Did you mean {INCREMENT}"):
        run("custom_migrations", "mark", "increment_items_2026_01_10")
    assert not LedgerEvent.objects.exists()
    run("custom_migrations", "mark", "elsewhere_2020_01_01", "--allow-unregistered")
    assert listed(run)["elsewhere_2020_01_01"]["state"] == "unregistered"
    run("custom_migrations", "unmark", "elsewhere_2020_01_01")


def test_one_unknown_among_many_changes_none(run):
    with pytest.raises(UnknownMigration):
        run("custom_migrations", "mark", INCREMENT, "nobody")
    assert not ledger.is_applied(INCREMENT, "default")


def test_each_database_has_its_own(run):
    run("custom_migrations", "mark", INCREMENT, "--database", "other")
    assert listed(run)[INCREMENT]["state"] == "pending"
    assert listed(run, "--database", "other")[INCREMENT]["state"] == "applied"
    with pytest.raises(InvalidArgument):
        run("custom_migrations", "list", "--database", "nowhere")


def test_a_changed_source_is_said(items, run, monkeypatch):
    from tests.testapp.management.commands.increment import Command

    monkeypatch.setattr(Command, "source_checksum", lambda self: "0" * 64)
    run("increment")
    assert listed(run)[INCREMENT]["changed_since_applied"]
    assert "changed since" in run("custom_migrations", "list")


def test_a_module_that_cannot_be_imported_is_a_row(odd_app, run):
    rows = listed(run)
    assert rows["cannot_import"]["state"] == "broken"
    assert "a_module_that_is_not_there" in rows["cannot_import"]["notes"][0]
    assert rows[INCREMENT]["state"] == "pending"
    assert "broken" in run("custom_migrations", "list")


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_running_one_is_shown_and_not_marked(run):
    import os

    with hold(INCREMENT, "default", stop=StopFlag()):
        row = listed(run)[INCREMENT]
        assert row["state"] == "running"
        assert f"pid {os.getpid()}" in row["notes"][0]
        with pytest.raises(AlreadyRunning):
            run("custom_migrations", "mark", INCREMENT)
    run("custom_migrations", "mark", INCREMENT)


def test_history_cannot_be_rewritten(run):
    run("custom_migrations", "mark", INCREMENT)
    event = LedgerEvent.objects.get()
    with pytest.raises(TypeError):
        event.delete()
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(TypeError):
        LedgerEvent.objects.all().delete()
    with pytest.raises(TypeError):
        LedgerEvent.objects.update(by="nobody")
