"""Going through tables by keys of every kind."""

from __future__ import annotations

import itertools
import random
import uuid

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.sql.compiler import SQLCompiler
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


def pages_of(keyset, sizes):
    """The rows of all pages, loaded with them."""
    key, found = None, []
    sizes = itertools.cycle(sizes)
    while page := keyset.loaded_after(key, next(sizes)):
        assert [row.pk for row in page.instances] == [keyset.loader.key(values) for values in page.values]
        assert page.rows == len(page.instances) == page.queryset.count()
        assert page.last == page.instances[-1].pk
        found += page.instances
        key = page.last
    return found


@pytest.mark.parametrize("sizes", [[7], [5, 5, 5, 9]])
@pytest.mark.parametrize("model", [Item, Token, Label, Seat])
def test_pages_with_their_rows_are_those_that_django_would_load(model, sizes):
    if model is Item:
        Item.objects.bulk_create([Item(name=f"item {n}") for n in range(50)])
    else:
        fill(model)
    found = pages_of(Keyset(model.objects.all(), "default"), sizes)
    expected = list(model.objects.order_by("pk"))
    assert [vars(row) | {"_state": vars(row._state)} for row in found] == [
        vars(row) | {"_state": vars(row._state)} for row in expected
    ]


def test_pages_of_a_filter_with_values_like_those_of_the_key():
    Item.objects.bulk_create([Item(name=f"item {n}") for n in range(60)])
    keys = list(Item.objects.order_by("pk").values_list("pk", flat=True))
    Item.objects.update(amount=keys[19])
    # The key of the second page is also a value of the filter.
    for queryset in (
        Item.objects.filter(amount=keys[19]),
        Item.objects.filter(amount__in=[keys[9], keys[19], keys[29]]),
        Item.objects.filter(pk__lte=keys[49]),
        Item.objects.exclude(name__contains="%s"),
        Item.objects.filter(pk__in=Item.objects.filter(amount=keys[19]).values("pk")),
    ):
        found = pages_of(Keyset(queryset, "default"), [10])
        assert [row.pk for row in found] == list(queryset.order_by("pk").values_list("pk", flat=True))
    assert pages_of(Keyset(Item.objects.none(), "default"), [10]) == []
    assert pages_of(Keyset(Item.objects.filter(pk__in=[]), "default"), [10]) == []


def test_the_query_of_a_page_with_its_rows_is_compiled_once(monkeypatch):
    Item.objects.bulk_create([Item(name=f"item {n}") for n in range(100)])
    compiled = []
    original = SQLCompiler.as_sql
    monkeypatch.setattr(SQLCompiler, "as_sql", lambda self, *a, **k: compiled.append(1) or original(self, *a, **k))
    keyset = Keyset(Item.objects.all(), "default")
    key = None
    counts = []
    while page := keyset.loaded_after(key, 10):
        key = page.last
        counts.append(len(compiled))
    assert counts[2] == counts[-1] > 0


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
