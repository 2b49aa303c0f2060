"""Going through tables by keys of every kind."""

from __future__ import annotations

import random
import uuid

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from data_migrations import executor
from data_migrations.exceptions import Misconfigured, StoppedEarly
from data_migrations.keyset import Keyset
from tests.testapp.models import Item, Label, Seat, Token

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

source = random.Random(5)


def fill(model):
    rows: list[Token] | list[Label] | list[Seat]
    if model is Token:
        rows = [Token(id=uuid.UUID(int=source.getrandbits(128), version=4)) for _ in range(50)]
    elif model is Label:
        names = ["", "ä", "Z", "z z", "🐘", "quote'", 'double"', "back\\slash", "100%", "a/b"]
        rows = [Label(name=name) for name in names] + [Label(name=f"label {n}") for n in range(40)]
    else:
        rows = [Seat(hall=hall, number=number) for hall in "ABC" for number in source.sample(range(-99, 99), 17)]
    model.objects.bulk_create(rows)
    return len(rows)


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("model", [Token, Label, Seat])
def test_every_kind_of_key_is_gone_through_once_also_after_a_stop(model, loaded):
    count = fill(model)
    name = f"batch_{model.__name__.lower()}"
    with pytest.raises(StoppedEarly):
        call_command(name, "--limit-batches", "3", verbosity=0, loaded=loaded)
    assert model.objects.filter(amount=1).count() == 21
    outcome = executor.run_command(name, values={"loaded": loaded})
    assert outcome.result == str(count)
    assert set(model.objects.values_list("amount", flat=True)) == {1}


@pytest.mark.parametrize("model", [Item, Token, Label, Seat])
def test_a_key_survives_json(model):
    if model is Item:
        Item.objects.create(name="one")
    else:
        fill(model)
    keyset = Keyset(model.objects.all(), "default")
    for key in model.objects.values_list("pk", flat=True):
        assert keyset.from_json(keyset.to_json(key)) == key


def test_the_queries_of_a_page_do_not_depend_on_how_far_one_has_come():
    Item.objects.bulk_create([Item(name=f"item {n}") for n in range(500)])
    keyset = Keyset(Item.objects.all(), "default")
    keys = list(Item.objects.order_by("pk").values_list("pk", flat=True))
    shapes = []
    for start in (keys[10], keys[400]):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = keyset.after(start, 50)
        assert page.rows == 50
        shapes.append([query["sql"].replace(str(start), "KEY") for query in queries.captured_queries])
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == 1


def test_the_end_is_found():
    keyset = Keyset(Item.objects.all(), "default")
    assert keyset.after(None, 10) is None
    Item.objects.bulk_create([Item(name=f"item {n}") for n in range(10)])
    page = keyset.after(None, 10)
    assert page.rows == 10
    assert keyset.after(page.last, 10) is None


def test_a_slice_and_a_union_are_refused():
    with pytest.raises(Misconfigured, match="slice"):
        Keyset(Item.objects.all()[:5], "default")
    with pytest.raises(Misconfigured, match="union"):
        Keyset(Item.objects.all().union(Item.objects.all()), "default")
