"""What is prepared once for all batches does what Django would have done for each."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Case, CharField, F, JSONField, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Cast, Concat, Lower, Now, Upper
from django.db.models.sql.compiler import SQLUpdateCompiler

from data_migrations.batches import QuerysetBatch, QuerysetSource
from data_migrations.prepared import PreparedQuery
from tests.bulkapp.models import Bar, Everything, Owner, OwnerKey
from tests.data_migrations.factories import ItemFactory
from tests.testapp.models import Item, Label, Seat, Token, User

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The UPDATE statements that Django compiled."""
    seen: list[str] = []
    as_sql = SQLUpdateCompiler.as_sql

    def see(self: Any) -> Any:
        sql, params = as_sql(self)
        seen.append(sql)
        return sql, params

    monkeypatch.setattr(SQLUpdateCompiler, "as_sql", see)
    return seen


def batches(queryset: Any, size: int = 10) -> Iterator[QuerysetBatch]:
    """The batches as a run would get them."""
    source = QuerysetSource(queryset, "default")
    cursor, number = None, 1
    while True:
        with transaction.atomic():
            found = source.next(cursor, number, size)
            if found is None:
                return
            batch, cursor = found
            assert isinstance(batch, QuerysetBatch)
            number += 1
            yield batch


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def rows_of(model: Any) -> list[dict[str, Any]]:
    return list(model.objects.order_by("pk").values())


CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "an expression": lambda: {"amount": F("amount") + 1},
    "a column": lambda: {"amount": F("owner_id")},
    "a value": lambda: {"amount": 5},
    "several": lambda: {"amount": F("amount") * 2, "name": Concat("name", Value("%s!"))},
    "a function": lambda: {"name": Upper("name")},
    "null": lambda: {"owner": None},
    "a condition": lambda: {"amount": Case(When(Q(name__contains="1"), then=Value(1)), default=Value(2))},
    "a query": lambda: {"amount": Subquery(User.objects.order_by("-pk").values("pk")[:1])},
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("filtered", ["all", "by a value", "by another table", "by a key"])
def test_the_same_rows_are_changed_as_by_django(kind, filtered):
    owners = [User.objects.create(email=f"{n}@example.com") for n in range(3)]
    for number in range(67):
        ItemFactory(name=f"Item {number}", amount=number % 3, owner=owners[number % 3])
    keys = list(Item.objects.order_by("pk").values_list("pk", flat=True))
    queryset = {
        "all": Item.objects.all(),
        "by a value": Item.objects.exclude(amount__in=[keys[9], keys[19], 2]),
        "by another table": Item.objects.filter(owner__email__lt="2"),
        "by a key": Item.objects.filter(Q(pk__lte=keys[49]) | Q(pk__gte=keys[55])),
    }[filtered]
    changes = CHANGES[kind]
    with undone():
        by_django = sum(batch.queryset.update(**changes()) for batch in batches(queryset, 7))
        expected = rows_of(Item)
    with undone():
        assert sum(batch.update(**changes()) for batch in batches(queryset, 7)) == by_django
        assert rows_of(Item) == expected


def test_it_is_compiled_for_two_batches_only(compiled):
    ItemFactory.create_batch(60)
    for batch in batches(Item.objects.all()):
        assert batch.update(amount=F("amount") + 1, name=Lower("name")) == 10
    # The first batch has no key before it.
    assert len(compiled) == 3
    assert set(Item.objects.values_list("amount", flat=True)) == {1}


def test_other_changes_are_other_statements(compiled):
    ItemFactory.create_batch(120)
    for batch in batches(Item.objects.all()):
        batch.update(amount=F("amount") + (batch.number % 2))
        batch.update(amount=F("amount") + 10)
    assert sorted(Item.objects.values_list("amount", flat=True)) == [10] * 60 + [11] * 60
    assert len(compiled) < 10


@pytest.mark.parametrize("wrapped", [False, True])
def test_values_that_are_equal_but_not_alike_are_not_taken_for_each_other(wrapped):
    values = [1] * 5 + [True] * 5 + [1.0] * 5
    for _ in values:
        Everything.objects.create()
    for batch, value in zip(batches(Everything.objects.all(), 1), values, strict=True):
        batch.update(json=Value(value, JSONField()) if wrapped else value)
    assert [repr(value) for value in Everything.objects.order_by("pk").values_list("json", flat=True)] == [
        repr(value) for value in values
    ]


def test_the_time_of_the_database_and_dates_are_kept():
    for _ in range(12):
        Everything.objects.create()
    for batch in batches(Everything.objects.all(), 2):
        batch.update(moment=Now(), date=datetime.date(2026, 1, batch.number), duration=datetime.timedelta(batch.number))
    assert [row.date.day for row in Everything.objects.order_by("pk")] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert all(row.moment is not None for row in Everything.objects.all())


@pytest.mark.parametrize("model", [Token, Label, Seat])
def test_every_kind_of_key(model, compiled):
    for number in range(30):
        key: Any = {Token: {}, Label: {"name": f"{number}%s"}, Seat: {"hall": "A", "number": number}}[model]
        model.objects.create(**key)
    for batch in batches(model.objects.all(), 5):
        assert batch.update(amount=F("amount") + 1) == 5
    assert set(model.objects.values_list("amount", flat=True)) == {1}
    assert len(compiled) == (6 if model is Seat else 3)


def test_rows_of_several_tables_are_left_to_django():
    for number in range(30):
        Bar.objects.create(name=f"bar {number}")
    for batch in batches(Bar.objects.all(), 5):
        assert batch.update(name=Upper("name")) == 5
    assert Bar.objects.filter(name__startswith="BAR").count() == 30


def test_an_instance_as_a_value_is_left_to_django(compiled):
    owners = [User.objects.create(email="a"), User.objects.create(email="b")]
    ItemFactory.create_batch(40)
    for batch in batches(Item.objects.all()):
        batch.update(owner=owners[batch.number % 2])
    assert [item.owner_id for item in Item.objects.order_by("pk")][::10] == [owners[n % 2].pk for n in (1, 2, 3, 4)]
    assert len(compiled) == 4


def test_narrowed_batches_change_their_rows_only():
    ItemFactory.create_batch(50)
    for batch in batches(Item.objects.all()):
        batch.update(amount=F("amount") + 1)
        assert batch.narrowed(batch.keys()[:2]).update(amount=F("amount") + 1) == 2
    assert sorted(Item.objects.values_list("amount", flat=True)) == [1] * 40 + [2] * 10


def test_an_error_breaks_the_transaction_as_django_s_does():
    for number in range(40):
        ItemFactory(amount=number if number < 35 else 1000)
    for batch in batches(Item.objects.all()):
        if batch.number < 4:
            batch.update(name=Cast("amount", CharField(max_length=100)))
            continue
        # What was prepared meets two names that are the same.
        with pytest.raises(IntegrityError):
            batch.update(name=Cast("amount", CharField(max_length=100)))
        with pytest.raises(transaction.TransactionManagementError):
            Item.objects.count()
        break


def test_a_wrapper_around_statements_is_asked_each_time_and_once():
    ItemFactory.create_batch(60)
    sent: list[str] = []

    def comment(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        return execute(f"{sql} /* seen */", params, many, context)

    with connection.execute_wrapper(comment):
        for batch in batches(Item.objects.all()):
            batch.update(amount=F("amount") + 1)
    updates = [sql for sql in sent if sql.startswith("UPDATE")]
    assert len(updates) == 6
    assert not any("/*" in sql for sql in sent)
    assert set(Item.objects.values_list("amount", flat=True)) == {1}


def test_queries_of_a_manager_that_adds_to_each_filter():
    class Narrow(QuerySet[Item]):
        def filter(self, *args: Any, **kwargs: Any) -> Any:
            return super().filter(*args, **kwargs).exclude(name="left out") if kwargs else super().filter(*args)

    ItemFactory.create_batch(30)
    ItemFactory(name="left out")
    ItemFactory.create_batch(30)
    for batch in batches(Narrow(Item)):
        assert batch.queryset.count() == len(batch)
        batch.update(amount=F("amount") + 1)
    assert Item.objects.get(name="left out").amount == 0
    assert Item.objects.filter(amount=1).count() == 60


def test_keys_that_are_foreign_keys(compiled):
    for _ in range(30):
        OwnerKey.objects.create(owner=Owner.objects.create(), value="a")
    for batch in batches(OwnerKey.objects.all(), 5):
        assert batch.update(value=Upper("value")) == 5
    assert set(OwnerKey.objects.values_list("value", flat=True)) == {"A"}
    assert len(compiled) == 3


def test_changes_that_are_others_in_each_batch_are_not_kept():
    """As when each batch writes the time: a run of a million batches must not hold a million statements."""
    ItemFactory.create_batch(60)
    for number, batch in enumerate(batches(Item.objects.all(), 2)):
        assert batch.update(amount=number + 1) == 2
        assert len(batch.keyset._update._known) <= 16
    assert sorted(set(Item.objects.values_list("amount", flat=True))) == list(range(1, 31))


def test_what_cannot_be_prepared_is_tried_once_for_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        Seat.objects.create(hall="A", number=number)
    tried = []
    prepare = PreparedQuery._prepare

    def see(self: PreparedQuery, *keys: Any) -> None:
        tried.append(keys)
        prepare(self, *keys)

    monkeypatch.setattr(PreparedQuery, "_prepare", see)
    assert sum(len(batch) for batch in batches(Seat.objects.all(), 2)) == 12
    assert len(tried) == 1
