"""What a dry run in batches shows: rows before and after, and how long the whole would take."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from data_migrations import executor, quarantine
from data_migrations.exceptions import QuarantineNotEmpty, StoppedEarly
from data_migrations.reporting import OutcomeKind
from data_migrations.samples import LONGEST, plain
from tests.data_migrations.factories import ItemFactory
from tests.testapp.management.commands.batch_increment import Command
from tests.testapp.management.commands.batch_poison import Command as Poison
from tests.testapp.models import Item, Label, Seat, Token

POISON = Poison.migration_name

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def many() -> list[int]:
    """A hundred items; their keys."""
    ItemFactory.create_batch(100)
    return list(Item.objects.order_by("pk").values_list("pk", flat=True))


def rehearse(name="batch_increment", reporters=(), **options):
    return executor.run_command(name, dry_run=True, reporters=reporters, **options)


@pytest.mark.parametrize("loaded", [True, False])
def test_the_first_rows_before_and_after(many, listener, amounts, loaded):
    outcome = rehearse(reporters=[listener], values={"loaded": loaded})
    expected = [{"key": key, "before": {"amount": 0}, "after": {"amount": 1}} for key in many[:5]]
    assert list(outcome.samples) == expected
    assert json.loads(json.dumps(outcome.samples)) == expected
    (told,) = [text for _, text in listener.of("message") if "before" in text]
    assert told.splitlines() == ["Rows before → after:", *[f"  {key}: amount 0 → 1" for key in many[:5]]]
    assert amounts() == [0] * 100


def test_deleted_rows_are_said(many, monkeypatch, listener):
    monkeypatch.setattr(Command, "perform_batch", lambda self, batch: batch.delete())
    outcome = rehearse(reporters=[listener])
    names = list(Item.objects.order_by("pk").values_list("name", flat=True)[:5])
    assert outcome.samples[0] == {
        "key": many[0],
        "before": {"id": many[0], "name": names[0], "amount": 0, "owner_id": None},
        "after": None,
    }
    assert len(outcome.samples) == 5
    assert f"  {many[0]}: deleted (id {many[0]}, name '{names[0]}', amount 0, owner_id None)" in "".join(
        text for _, text in listener.of("message")
    )


def test_rows_that_stay_as_they_are_are_not_shown(many, monkeypatch):
    changed = many[23]

    def perform(self, batch):
        batch.queryset.filter(pk=changed).update(name="new", amount=0)

    monkeypatch.setattr(Command, "perform_batch", perform)
    old = Item.objects.get(pk=changed).name
    # The first two batches change nothing.
    assert list(rehearse().samples) == [{"key": changed, "before": {"name": old}, "after": {"name": "new"}}]


def test_a_command_may_keep_its_rows_to_itself(many, monkeypatch, listener):
    monkeypatch.setattr(Command, "dry_run_samples", 0)
    assert rehearse(reporters=[listener]).samples == ()
    assert not any("before" in text for _, text in listener.of("message"))


def test_the_whole_is_estimated(many, listener, monkeypatch):
    outcome = rehearse(reporters=[listener], values={"each": 0.05})
    # Three batches of ten rows at 0.05 s each were done; there are a hundred rows.
    assert outcome.kind == OutcomeKind.DRY_RUN
    assert 0.5 <= outcome.estimated_seconds < 3
    assert any(
        text.startswith("All 100 rows would take about ") and text.endswith(" rows/s of these 30.")
        for _, text in listener.of("message")
    )
    monkeypatch.setattr(Command, "pause_seconds", 10)
    outcome = rehearse(reporters=[listener])
    assert 100 < outcome.estimated_seconds < 110
    # What is told of the speed is without the pauses, so they have to be named.
    assert outcome.estimated_pauses == 100
    assert any(
        text.startswith("All 100 rows would take about 1 m 4")
        and text.endswith(" rows/s of these 30, and with 10 pauses of 10 s after batches of 10 rows.")
        for _, text in listener.of("message")
    )


def test_the_pauses_are_those_after_batches_whose_size_adapts(many, listener, monkeypatch):
    monkeypatch.setattr(Command, "pause_seconds", 10)
    # A row takes next to nothing, so that each batch is four times the one before: 10, 40 and the other 50.
    monkeypatch.setattr(Command, "target_batch_seconds", 1000.0)
    outcome = rehearse(reporters=[listener])
    assert outcome.estimated_pauses == 30
    assert any(
        text.endswith(" of these 100, and with 3 pauses of 10 s after batches that go from 10 to 160 rows.")
        for _, text in listener.of("message")
    )


def test_what_an_earlier_run_did_is_not_estimated_again(many, run, listener):
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "6")
    outcome = rehearse(reporters=[listener], values={"each": 0.2})
    # Four batches of the ten.
    assert 0.8 <= outcome.estimated_seconds < 2
    assert any(text.startswith("The 40 rows left would take about ") for _, text in listener.of("message"))
    assert listener.of("progress")[-1] == (90, 100)


def test_where_there_is_nothing_to_measure_nothing_is_estimated(listener):
    outcome = rehearse(reporters=[listener])
    assert outcome.estimated_seconds is None
    assert outcome.samples == ()


@pytest.fixture
def poisoned(many) -> list[int]:
    """The keys of the rows, seven of them, that ``batch_poison`` fails on."""
    keys = many[3:10]
    for key in keys:
        Item.objects.filter(pk=key).update(name=f"poison {key}")
    return keys


def mend(keys: list[int]) -> None:
    """Have ``batch_poison`` not fail on these."""
    for key in keys:
        Item.objects.filter(pk=key).update(name=f"mended {key}")


def test_a_dry_run_says_which_rows_would_be_set_aside(poisoned, listener, run):
    outcome = rehearse("batch_poison", reporters=[listener])
    assert (outcome.set_aside.count, list(outcome.set_aside.keys)) == (7, [f"key {key}" for key in poisoned[:5]])
    # They were tried as well.
    assert listener.of("progress")[-1] == (100, 100)
    told = [text for _, text in listener.of("message")]
    assert f"Would be set aside (key {poisoned[0]}): ValueError: poison {poisoned[0]} cannot be read" in told
    named = ", ".join(f"key {key}" for key in poisoned[:5])
    *_, last = run("batch_poison", "--dry-run").strip().splitlines()
    assert last.endswith(f" s; 7 rows ({named}, …) would be set aside. Nothing was kept.")
    mend(poisoned[1:])
    *_, last = run("batch_poison", "--dry-run").strip().splitlines()
    assert last.endswith(f" s; 1 row (key {poisoned[0]}) would be set aside. Nothing was kept.")
    mend(poisoned)
    assert "set aside" not in run("batch_poison", "--dry-run")


def test_the_time_to_find_rows_that_fail_is_not_taken_for_that_of_every_batch(many, poisoned, listener):
    rehearse("batch_poison", reporters=[listener])
    # Of its two batches the second one came through at once.
    (told,) = [text for _, text in listener.of("message") if text.startswith("All 100 rows would take")]
    assert told.endswith(" rows/s of these 50; looking for rows that fail comes on top.")


def test_where_every_batch_has_rows_that_fail_it_is_all_there_is_to_go_by(many, listener):
    for key in (many[3], many[70]):
        Item.objects.filter(pk=key).update(name=f"poison {key}")
    rehearse("batch_poison", reporters=[listener])
    (told,) = [text for _, text in listener.of("message") if text.startswith("All 100 rows would take")]
    assert told.endswith(" rows/s of these 100.")


def test_what_would_be_set_aside_keeps_a_dry_run_from_being_verified_as_it_does_a_real_one(poisoned, monkeypatch):
    def verify(self):
        assert not Item.objects.filter(amount=0).exists()

    monkeypatch.setattr(Poison, "verify", verify, raising=False)
    assert rehearse("batch_poison").set_aside.count == 7


def test_a_dry_run_tries_the_rows_in_quarantine_as_a_real_one_would(poisoned, listener, run):
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    mend(poisoned[2:])
    outcome = rehearse("batch_poison", reporters=[listener])
    assert outcome.set_aside.count == 2
    assert outcome.result == "5"
    assert [change.updated for change in outcome.changes] == [5]
    assert [sample["key"] for sample in outcome.samples] == poisoned[2:7]
    assert listener.of("progress")[-1] == (100, 100)
    assert len(quarantine.rows(POISON, "default")) == 7
    assert set(Item.objects.filter(pk__in=poisoned).values_list("amount", flat=True)) == {0}


def test_a_shell_shows_them_once(many, run):
    output = run("batch_increment", "--dry-run")
    assert output.count(f"  {many[0]}: amount 0 → 1") == 1
    assert output.count("All 100 rows would take about") == 1


def test_a_real_run_looks_at_no_row_twice(many, listener):
    outcome = executor.run_command("batch_increment", reporters=[listener])
    assert outcome.samples == ()
    assert outcome.estimated_seconds is None
    assert not any("before" in text for _, text in listener.of("message"))


@pytest.mark.parametrize(
    ("model", "rows", "key"),
    [
        (Token, [{"id": UUID(int=7)}], "00000000-0000-0000-0000-000000000007"),
        (Label, [{"name": "back\\slash"}], "back\\slash"),
        (Seat, [{"hall": "A", "number": 3}, {"hall": "A", "number": 4}], ["A", 3]),
    ],
)
def test_rows_with_other_keys(model, rows, key):
    model.objects.bulk_create([model(**row) for row in rows])
    outcome = rehearse(f"batch_{model.__name__.lower()}")
    assert len(outcome.samples) == len(rows)
    assert outcome.samples[0] == {"key": key, "before": {"amount": 0}, "after": {"amount": 1}}
    json.dumps(outcome.samples)


def test_other_migrations_have_none(items):
    outcome = rehearse("increment")
    assert (outcome.samples, outcome.estimated_seconds) == ((), None)


def test_values_as_json_can_hold_them():
    values = [
        None,
        True,
        3,
        1.5,
        "text",
        b"123",
        Decimal("1.50"),
        date(2026, 1, 31),
        UUID(int=5),
        {"a": date(2026, 1, 1)},
    ]
    assert [plain(value) for value in values] == [
        None,
        True,
        3,
        1.5,
        "text",
        "3 bytes",
        "1.50",
        "2026-01-31",
        "00000000-0000-0000-0000-000000000005",
        '{"a": "2026-01-01"}',
    ]
    assert len(plain("x" * 1000)) == LONGEST
