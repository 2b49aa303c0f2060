"""Rows are loaded as Django loads them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import F, Model, QuerySet
from django.db.models.signals import post_init
from django.test.utils import isolate_apps

from data_migrations import clock
from data_migrations.loading import Loader
from tests.bulkapp.models import Bar, CheapPlace, Everything, Owner, OwnerKey, PairKey, Place, Restaurant, UuidKey
from tests.testapp.models import Item, User

pytestmark = pytest.mark.django_db(databases="__all__")


def state(row: Any) -> dict[str, Any]:
    """All that a row is."""
    held = vars(row)
    return {**held, "_state": vars(held["_state"]), "class": type(row)}


def same(queryset: QuerySet[Any]) -> None:
    """What the loader gives is what Django gives."""
    ordered = queryset.order_by("pk")
    loaded, expected = Loader(queryset).rows(ordered), list(ordered)
    assert expected
    assert list(map(state, loaded)) == list(map(state, expected))


@pytest.fixture
def everything() -> None:
    owner = Owner.objects.create(name="one")
    Everything.objects.create(
        text="a",
        decimal="1.50",
        moment=clock.stored(datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)),
        json={"a": [1]},
        binary=b"\x00\x01",
        file="somewhere.txt",
        owner=owner,
        by_code=owner,
        small=4,
    )
    Everything.objects.create()


def test_a_row_with_every_field(everything: None) -> None:
    assert Loader(Everything.objects.all()).is_plain
    same(Everything.objects.all())
    row = Loader(Everything.objects.all()).rows(Everything.objects.order_by("pk"))[0]
    assert row.owner.name == "one"
    assert row.file.name == "somewhere.txt"
    row.text = "b"
    row.save()
    assert Everything.objects.get(pk=row.pk).text == "b"


def test_values_that_can_be_changed_in_place_are_not_compared(everything: None) -> None:
    assert not Loader(Everything.objects.all()).is_comparable
    assert Loader(Item.objects.all()).is_comparable


def test_every_kind_of_key() -> None:
    UuidKey.objects.create()
    OwnerKey.objects.create(owner=Owner.objects.create())
    PairKey.objects.create(tenant=1, code="a")
    for model in (UuidKey, OwnerKey, PairKey):
        loader = Loader(model._default_manager.all())
        assert loader.is_plain
        same(model._default_manager.all())
        row = model._default_manager.get()
        assert [loader.key(values) for values in loader.values(model._default_manager.all())] == [row.pk]


def test_a_proxy() -> None:
    Place.objects.create(name="here")
    assert Loader(CheapPlace.objects.all()).is_plain
    same(CheapPlace.objects.all())


@pytest.fixture
def owned() -> User:
    owner = User.objects.create(email="ana@example.com")
    Item.objects.create(name="one", owner=owner)
    return owner


def test_what_is_not_plain_is_left_to_django(owned: User) -> None:
    Restaurant.objects.create(name="here", stars=2)
    Bar.objects.create(name="there", drinks=2)
    for queryset in (
        Item.objects.select_related("owner"),
        Item.objects.only("name"),
        Item.objects.defer("name"),
        Item.objects.annotate(more=F("amount") + 1),
        Item.objects.prefetch_related("owner"),
        Item.objects.filter(owner__email="ana@example.com"),
        Item.objects.distinct(),
        Item.objects.extra(select={"more": "amount + 1"}),
        owned.item_set.all(),
        Restaurant.objects.all(),
        Bar.objects.all(),
    ):
        assert not Loader(queryset).is_plain, queryset.query
        same(queryset)
    assert Loader(Item.objects.values("name")).rows(Item.objects.values("name")) == [{"name": "one"}]


def test_a_listener_hears_of_every_row(owned: User) -> None:
    heard: list[Any] = []

    def hear(instance: Model, **kwargs: Any) -> None:
        heard.append(instance)

    loader = Loader(Item.objects.all())
    post_init.connect(hear, sender=Item)
    try:
        rows = loader.rows(Item.objects.all())
    finally:
        post_init.disconnect(hear, sender=Item)
    assert [id(row) for row in heard] == [id(row) for row in rows]


@isolate_apps("tests.testapp")
def test_a_model_that_notes_what_is_set_after_it_was_loaded_does_not_note_the_loading() -> None:
    noted: list[str] = []

    class Noting(models.Model):
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "testapp"
            db_table = "testapp_item"

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "name" and not self._state.adding:
                noted.append(value)

    Item.objects.create(name="one")
    same(Noting._default_manager.all())
    row = Loader(Noting._default_manager.all()).rows(Noting._default_manager.all())[0]
    assert noted == []
    row.name = "two"
    assert noted == ["two"]


@isolate_apps("tests.testapp")
def test_a_class_of_classes_that_makes_the_instances_does() -> None:
    made: list[Any] = []

    class Base(models.base.ModelBase):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            made.append(super().__call__(*args, **kwargs))
            return made[-1]

    class Made(models.Model, metaclass=Base):
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "testapp"
            db_table = "testapp_item"

    Item.objects.create(name="one")
    Item.objects.create(name="two")
    made.clear()
    assert Loader(Made._default_manager.all()).rows(Made._default_manager.all()) == made
    assert len(made) == 2


def test_a_queryset_that_changes_what_it_gives_is_left_to_itself(owned: User) -> None:
    class Marking(QuerySet[Any]):
        def __iter__(self) -> Any:
            for row in super().__iter__():
                vars(row)["marked"] = True
                yield row

    assert not Loader(Marking(Item)).is_plain
    same(Marking(Item))


@isolate_apps("tests.testapp")
def test_a_model_that_makes_its_own_instances_does() -> None:
    class Counted(models.Model):
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "testapp"
            db_table = "testapp_item"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.counted = True

    class Remembering(models.Model):
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "testapp"
            db_table = "testapp_item"

        @classmethod
        def from_db(cls, *args: Any, **kwargs: Any) -> Any:
            row = super().from_db(*args, **kwargs)
            vars(row)["remembered"] = row.name
            return row

    class Mixin:
        def __init__(self) -> None:
            self.mixed = True

    class Mixed(models.Model, Mixin):
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "testapp"
            db_table = "testapp_item"

    Item.objects.create(name="one")
    for model in (Counted, Remembering, Mixed):
        assert not Loader(model._default_manager.all()).is_plain
        same(model._default_manager.all())


def test_a_version_of_django_that_does_more_is_left_to_do_it(owned: User, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Model.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._news = "something"

    monkeypatch.setattr(Model, "__init__", init)
    assert Loader(Item.objects.all()).is_plain
    same(Item.objects.all())


def test_no_more_queries_than_rows_need(owned: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1, connection=connection):
        Loader(Item.objects.all()).rows(Item.objects.all())
