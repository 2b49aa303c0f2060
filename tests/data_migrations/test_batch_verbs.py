"""The verbs of custom_migrations that are about batches."""

from __future__ import annotations

import json

import pytest
from django.core.management.base import CommandError
from django.db import transaction
from django.db.models import F

from data_migrations import checkpoints, ledger, quarantine
from data_migrations.exceptions import BatchFailed, QuarantineNotEmpty, Refused, StoppedEarly, UnknownMigration
from data_migrations.models import Event, LedgerEvent, QuarantinedRow
from tests.data_migrations.factories import ItemFactory
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

INCREMENT = "batch_increment_2026_02_01"
POISON = "batch_poison_2026_02_02"


@pytest.fixture
def poisoned(run) -> list[int]:
    """A run that set two rows aside; their keys."""
    ItemFactory.create_batch(20)
    ItemFactory(name="poison 1")
    ItemFactory(name="poison 2")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    return list(Item.objects.filter(name__startswith="poison").order_by("pk").values_list("pk", flat=True))


def test_the_rows_set_aside_are_listed(poisoned, run):
    output = run("custom_migrations", "quarantine", POISON)
    assert output.splitlines() == [
        f"testapp.item key {poisoned[0]}  ValueError: poison 1 cannot be read",
        f"testapp.item key {poisoned[1]}  ValueError: poison 2 cannot be read",
        f"Quarantined rows of {POISON}: 2.",
    ]
    assert run("custom_migrations", "quarantine", "batch_poison") == output
    output = run("custom_migrations", "quarantine", POISON, "--retry-info")
    assert 'run "manage.py batch_poison" again: it tries these rows first' in output
    assert "in perform_batch" in output


def test_the_list_says_what_to_do_about_rows_set_aside(poisoned, run):
    table = run("custom_migrations", "list", "--name", POISON)
    assert f"quarantined  {POISON}" in table
    assert (
        f"{POISON}: 2 rows are set aside: mend them and run it again, or accept them with "
        f'"manage.py custom_migrations quarantine {POISON} --accept --reason TEXT".'
    ) in table
    assert "did not come to its end" not in table
    assert listed(run)["set_aside"] == 2
    Item.objects.filter(pk=poisoned[0]).update(name="mended")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    assert "1 row is set aside: mend it and run it again, or accept it with " in listed(run)["notes"][0]
    run("custom_migrations", "quarantine", POISON, "--accept", "--reason", "test accounts")
    assert listed(run)["notes"] == ["is through with all its rows, but not recorded as applied; run it again."]
    run("batch_poison")
    assert (listed(run)["state"], listed(run)["notes"]) == ("applied", [])


def test_the_list_says_that_a_run_under_way_has_set_rows_aside(run):
    ItemFactory(name="poison 1")
    ItemFactory.create_batch(60)
    with pytest.raises(StoppedEarly):
        run("batch_poison", "--limit-batches", "1")
    assert listed(run)["state"] == "interrupted"
    assert listed(run)["notes"] == ["began and did not come to its end (1 row set aside so far); run it again."]


def test_a_forced_run_with_rows_set_aside_goes_on_with_force(run):
    ItemFactory.create_batch(3)
    run("batch_poison")
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison", "--force")
    assert listed(run)["state"] == "quarantined"
    assert "mend it and run it again with --force, or accept it with" in listed(run)["notes"][0]


def listed(run) -> dict:
    """What the list has of it."""
    [found] = json.loads(run("custom_migrations", "list", "--name", POISON, "--format", "json"))
    return found


def test_the_rows_set_aside_as_json(poisoned, run):
    rows = json.loads(run("custom_migrations", "quarantine", POISON, "--format", "json"))
    assert [row["key"] for row in rows] == poisoned
    assert rows[0]["error"] == "ValueError: poison 1 cannot be read"
    assert rows[0]["accepted_at"] is None
    assert rows[0]["traceback"].startswith("Traceback")


def test_rows_are_not_accepted_without_its_being_written_down(poisoned, monkeypatch):
    def lost(*args, **kwargs):
        raise RuntimeError("the history cannot be written")

    monkeypatch.setattr("data_migrations.ledger.note_accepted", lost)
    with pytest.raises(RuntimeError, match="cannot be written"):
        quarantine.accept(POISON, "default", by="ana", reason="test accounts")
    assert len(quarantine.rows(POISON, "default")) == 2


def test_accepted_rows_are_kept_with_who_and_why(poisoned, run, monkeypatch):
    monkeypatch.setenv("DATA_MIGRATIONS_ACTOR", "ana")
    for reason in ([], ["--reason", "  "]):
        with pytest.raises(CommandError, match="Say why with --reason TEXT"):
            run("custom_migrations", "quarantine", POISON, "--accept", *reason)
    assert len(quarantine.rows(POISON, "default")) == 2
    output = run("custom_migrations", "quarantine", POISON, "--accept", "--reason", "test accounts")
    assert f"Accepted: 2 rows of {POISON}." in output
    assert 'Run it again, and it counts as applied: "manage.py batch_poison"' in output
    event = LedgerEvent.objects.get(name=POISON)
    # Which rows it is on record without can be read there for good.
    keys = ", ".join(f"key {row.key}" for row in QuarantinedRow.objects.all())
    assert (event.event, event.by, event.reason) == (Event.ACCEPTED, "ana", f"2 rows ({keys}): test accounts")
    (row, _) = json.loads(run("custom_migrations", "quarantine", POISON, "--format", "json"))
    assert (row["accepted_by"], row["accepted_reason"]) == ("ana", "test accounts")
    assert f"Quarantined rows of {POISON}: 0; 2 accepted before." in run("custom_migrations", "quarantine", POISON)
    run("batch_poison")
    assert ledger.is_applied(POISON, "default")
    assert Item.objects.filter(amount=1).count() == 20
    assert "no rows that were set aside to accept" in run(
        "custom_migrations", "quarantine", POISON, "--accept", "--reason", "x"
    )
    assert [event.event for event in ledger.events(POISON, "default")] == [Event.ACCEPTED, Event.APPLIED]


def test_each_database_has_its_own_quarantine(poisoned, run):
    output = run("custom_migrations", "quarantine", POISON, "--database", "other")
    assert f"Quarantined rows of {POISON}: 0." in output
    run("custom_migrations", "quarantine", POISON, "--database", "other", "--accept", "--reason", "x")
    assert len(quarantine.rows(POISON, "default")) == 2


@pytest.mark.parametrize("verb", [("quarantine",), ("tune", "--pause", "1")])
def test_an_unknown_name_is_refused_with_near_matches(run, verb):
    with pytest.raises(UnknownMigration, match=f"Did you mean {POISON}"):
        run("custom_migrations", verb[0], "batch_poison_2026_02_20", *verb[1:])


def test_a_run_under_way_is_tuned(run, monkeypatch):
    ItemFactory.create_batch(100)
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "1")
    output = run("custom_migrations", "tune", "batch_increment", "--batch-size", "45", "--pause", "0.001")
    assert f"{INCREMENT}: batch size 45, pause 0.001 s from its next batches on." in output
    assert checkpoints.wishes(INCREMENT, "default") == (45, 0.001)
    run("custom_migrations", "tune", INCREMENT, "--pause", "0")
    assert checkpoints.wishes(INCREMENT, "default") == (45, 0)
    # It counts from the first batch on, however long it is until the next look.
    monkeypatch.setattr("data_migrations.batchrun.WISHES_SECONDS", 3600)
    assert "Batch size set to 45 from outside." in run("batch_increment")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ((), CommandError, "Say --batch-size ROWS, --pause SECONDS, or both"),
        (("--batch-size", "0"), CommandError, "at least one row"),
        (("--pause", "-1"), CommandError, "a pause is not negative"),
        (("--pause", "1"), Refused, "is not under way in 'default'"),
    ],
)
def test_what_cannot_be_tuned(run, options, error, words):
    with pytest.raises(error, match=words):
        run("custom_migrations", "tune", INCREMENT, *options)


def test_rows_set_aside_are_not_done_twice_after_a_restart(poisoned, run):
    Item.objects.filter(pk__in=poisoned).update(name=F("id"))
    run("batch_poison", "--restart", "--no-input")
    assert ledger.is_applied(POISON, "default")
    # All others were done before, too; that is what a restart asks about.
    assert set(Item.objects.filter(pk__in=poisoned).values_list("amount", flat=True)) == {1}
    assert quarantine.rows(POISON, "default") == []


def test_inside_a_transaction_nothing_is_set_aside(run):
    ItemFactory.create_batch(3)
    ItemFactory(name="poison 1")
    with pytest.raises(BatchFailed, match="poison 1 cannot be read. Nothing was kept"), transaction.atomic():
        run("batch_poison")
    assert set(Item.objects.values_list("amount", flat=True)) == {0}
    assert not ledger.is_applied(POISON, "default")
