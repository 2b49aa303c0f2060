"""What a dry run in batches shows: rows before and after, and how long the whole would take."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from data_migrations import executor
from data_migrations.reporting import OutcomeKind
from data_migrations.samples import LONGEST, plain
from tests.data_migrations.factories import ItemFactory
from tests.testapp.management.commands.batch_increment import Command
from tests.testapp.models import Item, Label, Seat, Token

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
    assert 100 < rehearse().estimated_seconds < 110


def test_where_there_is_nothing_to_measure_nothing_is_estimated(listener):
    outcome = rehearse(reporters=[listener])
    assert outcome.estimated_seconds is None
    assert outcome.samples == ()


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
