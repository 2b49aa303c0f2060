"""Loaded rows are written back in bulk exactly as Model.save(update_fields=…) would write them one by one."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
import warnings
import zoneinfo
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.migrations.state import ProjectState
from django.db.models import F, Model, Value
from django.db.models.functions import Lower, Now, Upper
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from data_migrations import bulk
from data_migrations.bulk import columns, writers
from data_migrations.changes import ChangeCounter
from data_migrations.exceptions import InvalidArgument
from data_migrations.reporting import TableChange
from tests.bulkapp.fields import Money
from tests.bulkapp.models import (
    Bar,
    CheapPlace,
    Colour,
    Everything,
    Level,
    Owner,
    OwnerKey,
    PairKey,
    Place,
    Restaurant,
    TextKey,
    UuidKey,
)

pytestmark = pytest.mark.django_db(databases="__all__")

AWKWARD = [
    "",
    " two  spaces ",
    'quo"te',
    "it's",
    "back\\slash",
    "100 % %s",
    "Ünï 😀",
    "tab\tnew\nline",
    "{a,b}",
    "null",
]
INDIAN = dt.timezone(dt.timedelta(hours=5, minutes=30))
AWARE = [
    dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC),
    dt.datetime(2026, 11, 21, 5, 0, 0, 123456, tzinfo=INDIAN),
    dt.datetime(1900, 1, 1, tzinfo=dt.UTC),
    "2026-11-21T05:00:00Z",
]
NAIVE = [dt.datetime(2026, 3, 29, 1, 30), dt.datetime(1900, 1, 1, 0, 0, 0, 5), "2026-11-21T05:00:00"]
# A project without time zones can store no aware moment on SQLite and MariaDB.
MOMENTS = AWARE if settings.USE_TZ else NAIVE
VALUES: dict[str, list[Any]] = {
    "text": [*AWKWARD, 12, True, 1.5, mark_safe("<b>"), gettext_lazy("Yes")],
    "body": [*AWKWARD, "x" * 100_000],
    "email": ["ana@example.com", "Ana <ana@example.com>"],
    "slug": ["a-b"],
    "url": ["https://example.com/?a=b&c='%20'"],
    "integer": [0, -1, 2**31 - 1, -(2**31), "17", True, 3.0],
    "small": [32767, -32768],
    "big": [2**63 - 1, -(2**63), 2**53 + 1],
    "positive": [0, 2**31 - 1],
    "boolean": [True, False, 1, 0, "True"],
    "number": [0.0, -0.5, 0.1, 1e-300, 1.7976931348623157e308, 1 / 3, 5, "2.5"],
    "decimal": [decimal.Decimal(text) for text in ("0", "-0.01", "12345678.90", "1E+2", "1.5")] + [7, "3.25", 2.5],
    "date": [dt.date(2026, 2, 28), dt.date(1, 1, 1), dt.date(9999, 12, 31), "2026-11-21"],
    "time": [dt.time(0), dt.time(23, 59, 59, 999999), "12:30"],
    "moment": MOMENTS,
    "duration": [dt.timedelta(0), dt.timedelta(days=-3, microseconds=7), dt.timedelta(days=400, hours=5)],
    "binary": [b"", b"\x00\xff'\"\\%s", bytes(range(256)), memoryview(b"view"), bytearray(b"array")],
    "uuid": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), "5cd3d3e4-4a05-4d8c-8c7a-3f5b2d1e0f6a"],
    "json": [
        *({}, [], {"a": [1, 2.5, None, True, {"ü": '😀\n\\"'}]}, "text", "", 0, False, 2**60, "it's 100 %s"),
        Value(None, models.JSONField()),
        Value({"b": 1}, models.JSONField()),
    ],
    "json_encoded": [{"at": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "sum": decimal.Decimal("1.10")}],
    "colour": [Colour.RED, "blue"],
    "level": [Level.HIGH, 1],
    "address": ["192.0.2.1", "2001:db8::1", ""],
    "file": ["a/b.txt", ""],
    "loud": ["soft", "Straße"],
    "money": [Money(199), Money(-1), 5],
    "trimmed": ["  inside  "],
    "order": [5],
    "owner": [],
    "by_code": [],
}


def stored(model: type[Model], row: Model, field: str) -> Any:
    """What the database holds, past the field's own conversion, with its type where SQLite has one for each value."""
    column = connection.ops.quote_name(str(model._meta.get_field(field).column))
    table, key = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name(str(model._meta.pk.column))
    what = f"{column}, typeof({column})" if connection.vendor == "sqlite" else column
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {what} FROM {table} WHERE {key} = %s", [row.pk])  # noqa: S608
        return [bytes(value) if isinstance(value, memoryview) else value for value in cursor.fetchone()]


def pairs(count: int, **values: Any) -> list[tuple[Everything, Everything]]:
    """Rows with the same values, two each."""
    rows = [Everything.objects.create(**values) for _ in range(2 * count)]
    loaded = list(Everything.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk"))
    return list(zip(loaded[:count], loaded[count:], strict=True))


def statements(act: Callable[[], Any], word: str = "UPDATE") -> list[str]:
    """The statements with that first word that came while it acted."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return [query["sql"] for query in captured if query["sql"].lstrip("0123456789 times:").startswith(word)]


# --- Every kind of field ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", VALUES)
def test_a_field_is_stored_as_save_stores_it(field: str) -> None:
    owner = Owner.objects.create(name="ana")
    values = VALUES[field] or [owner]
    everyone = pairs(len(values) + 1, text="before", integer=1, owner=owner, by_code=owner)
    for (one, other), value in zip(everyone, [*values, "" if field == "trimmed" else None], strict=True):
        for row in (one, other):
            setattr(row, field, value)
        one.save(update_fields=[field])
    assert bulk.save([other for _, other in everyone], [field], using="default") == len(everyone)
    for one, other in everyone:
        assert stored(Everything, other, field) == stored(Everything, one, field)
        again = Everything.objects.get(pk=other.pk)
        assert getattr(again, field) == getattr(Everything.objects.get(pk=one.pk), field)


def test_every_value_lands_when_its_column_holds_only_such_values() -> None:
    """A column of equal types takes another way than a mixed one."""
    owner = Owner.objects.create(name="ana")
    for field, values in VALUES.items():
        for value in values or [owner]:
            ((one, other),) = pairs(1)
            for row in (one, other):
                setattr(row, field, value)
            one.save(update_fields=[field])
            bulk.save([other], [field], using="default")
            assert stored(Everything, other, field) == stored(Everything, one, field), (field, value)


def test_many_fields_at_once_and_no_others() -> None:
    fields = [field for field in VALUES if field != "trimmed"]
    ((one, other),) = pairs(1)
    for row in (one, other):
        for field in fields:
            setattr(row, field, VALUES[field][0] if VALUES[field] else None)
    one.save(update_fields=fields)
    Everything.objects.filter(pk=other.pk).update(trimmed="theirs")
    assert len(statements(lambda: bulk.save([other], fields, using="default"))) == 1
    for field in fields:
        assert stored(Everything, other, field) == stored(Everything, one, field), field
    assert Everything.objects.get(pk=other.pk).trimmed == "theirs"
    assert stored(Everything, other, "doubled") == stored(Everything, one, "doubled")


def test_none_and_json_null_are_told_apart() -> None:
    everyone = list(Everything.objects.bulk_create([Everything(json={}) for _ in range(3)]))
    rows = list(Everything.objects.filter(pk__in=[row.pk for row in everyone]).order_by("pk"))
    rows[0].json, rows[1].json, rows[2].json = None, Value(None, models.JSONField()), {"null": None}
    assert bulk.save(rows, ["json"], using="default") == 3
    assert list(Everything.objects.order_by("pk").values_list("json", flat=True)) == [None, None, {"null": None}]
    assert Everything.objects.get(json__isnull=True).pk == rows[0].pk
    assert Everything.objects.get(json=Value(None, models.JSONField())).pk == rows[1].pk


@pytest.mark.skipif(not settings.USE_TZ, reason="without time zones naive moments are the right ones")
def test_a_naive_datetime_warns_as_save_does() -> None:
    ((_, row),) = pairs(1)
    row.moment = dt.datetime(2026, 1, 1)
    with pytest.warns(RuntimeWarning, match="naive"):
        bulk.save([row], ["moment"], using="default")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", None])
def test_moments_in_the_time_zone_of_the_database(
    zone: str | None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a zone of its own for the database, and without zones at all (``USE_TZ = False``)."""

    def forget_zone() -> None:
        for name in ("timezone", "timezone_name"):
            connection.__dict__.pop(name, None)

    if zone is None:
        settings.USE_TZ = False
    elif connection.vendor != "postgresql":
        monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", zone)
    forget_zone()
    try:
        moment = dt.datetime(2026, 11, 21, 23, 30, 0, 5)
        for tzinfo in (None, dt.UTC, INDIAN, zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo("Europe/Berlin")):
            ((one, other),) = pairs(1)
            one.moment = other.moment = moment.replace(tzinfo=tzinfo)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                error = error_of(lambda: one.save(update_fields=["moment"]))  # noqa: B023
                other_error = error_of(lambda: bulk.save([other], ["moment"], using="default"))  # noqa: B023
            assert type(other_error) is type(error)
            assert stored(Everything, other, "moment") == stored(Everything, one, "moment")
    finally:
        monkeypatch.undo()
        forget_zone()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("number", float(text)) for text in ("nan", "inf", "-inf")),
        *(("decimal", decimal.Decimal(text)) for text in ("NaN", "Infinity", "0.005", "99999999.999")),
        *(("text", text) for text in ("nul\0", "half \ud800", ["list"], {"a": 1})),
        *(("body", b"bytes"), ("slug", object())),
        *(("big", 2**63), ("integer", 1.9), ("integer", "1.9"), ("boolean", "perhaps"), ("boolean", 2)),
        *(("date", "soon"), ("date", dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)), ("time", "late"), ("duration", 5)),
        *(("json", float("nan")), ("json", {"at": dt.UTC}), ("json", "nul\0"), ("json", [gettext_lazy("Yes")])),
        *(("uuid", "no uuid"), ("uuid", 5), ("binary", "text"), ("address", "nowhere"), ("owner_id", 10**9)),
    ],
)
def test_what_save_refuses_is_refused(field: str, value: Any) -> None:
    """Odd values end as with save(): the same is stored, or nothing is."""
    ((one, other),) = pairs(1)
    name = Everything._meta.get_field(field).name
    for row in (one, other):
        setattr(row, field, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = error_of(lambda: one.save(update_fields=[name]))
        error = error_of(lambda: bulk.save([other], [field], using="default"))
    assert bool(error) == bool(refused), f"{error!r} here, {refused!r} with save()"
    if not error:
        assert str(stored(Everything, other, name)) == str(stored(Everything, one, name))


def error_of(act: Callable[[], Any]) -> Exception | None:
    """The error that it raises, also at the end of the transaction."""
    try:
        with transaction.atomic():
            act()
            connection.check_constraints()
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize(
    ("field", "value"),
    [("text", "x" * 21), ("small", 40_000), ("colour", "x" * 11), ("decimal", decimal.Decimal("123456789.00"))],
)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite takes any length and any number")
def test_what_does_not_fit_is_an_error_and_never_cut(field: str, value: Any) -> None:
    ((one, other),) = pairs(1)
    for row, write in ((one, lambda: one.save(update_fields=[field])), (other, None)):
        setattr(row, field, value)
        with pytest.raises((DatabaseError, decimal.InvalidOperation)), transaction.atomic():
            (write or (lambda: bulk.save([other], [field], using="default")))()


def test_an_error_of_one_value_writes_nothing() -> None:
    (_, good), (_, bad) = pairs(2, integer=1)
    good.integer, bad.integer = 2, "no number"
    with pytest.raises(ValueError, match="Field 'integer' expected a number"):
        bulk.save([good, bad], ["integer"], using="default")
    assert set(Everything.objects.values_list("integer", flat=True)) == {1}


def test_only_known_classes_skip_their_preparation() -> None:
    field: Callable[[str], Any] = Everything._meta.get_field
    for vendor in ("sqlite", "postgresql", "mysql"):
        assert columns.unchanged(field("text"), vendor) == {str, type(None)}
        assert columns.unchanged(field("owner"), vendor) == {int, type(None)}
        for name in ("loud", "money", "decimal", "json", "moment", "file"):
            assert columns.unchanged(field(name), vendor) == set(), name
    assert uuid.UUID not in columns.unchanged(field("uuid"), "sqlite")


# --- Saving as Model.save does ------------------------------------------------------------------------------------


def test_auto_now_is_set_when_named() -> None:
    ((_, row),) = pairs(1)
    long_ago = timezone.now() - dt.timedelta(days=9)
    Everything.objects.update(updated=long_ago, created=long_ago)
    row.refresh_from_db()
    row.text = "changed"
    bulk.save([row], ["text"], using="default")
    assert Everything.objects.get(pk=row.pk).updated == long_ago
    bulk.save([row], ["text", "updated", "created"], using="default")
    again = Everything.objects.get(pk=row.pk)
    assert again.updated == row.updated > long_ago
    assert again.created == long_ago


def test_a_field_prepares_itself_once() -> None:
    ((_, row),) = pairs(1, version=3)
    row.text = Upper(Value("a"))
    bulk.save([row], ["version", "text"], using="default")
    assert row.version == 4
    assert Everything.objects.filter(pk=row.pk, version=4, text="A").exists()


def test_expressions_are_computed_by_the_database() -> None:
    rows = [row for _, row in pairs(6, text="Mixed", integer=5, order=1)]
    rows[0].integer = F("integer") + 1
    rows[1].text = Lower("text")
    rows[2].text = Value("given")
    rows[3].moment = Now()
    rows[4].text = "plain"
    rows[5].order, rows[5].integer = F("integer"), 8
    fields = ["order", "text", "integer", "moment"]
    bulky = statements(lambda: bulk.save(rows, fields, using="default"))
    assert len(bulky) == 6, "five rows with expressions one by one, and one statement for the rest"
    found = {row.pk: row for row in Everything.objects.all()}
    assert [found[row.pk].integer for row in rows] == [6, 5, 5, 5, 5, 8]
    assert [found[row.pk].text for row in rows] == ["Mixed", "mixed", "given", "Mixed", "plain", "Mixed"]
    # All in one UPDATE, in the order of the model's fields: on MariaDB the expression sees the new number.
    assert found[rows[5].pk].order == (8 if connection.vendor == "mysql" else 5)
    assert found[rows[3].pk].moment is not None


def test_foreign_keys_by_name_and_by_column() -> None:
    owners = [Owner.objects.create(name=name) for name in "ab"]
    (_, one), (_, other) = pairs(2)
    one.owner, other.owner_id = owners[0], owners[1].pk
    assert bulk.save([one, other], ["owner", "owner_id"], using="default") == 2
    assert [Everything.objects.get(pk=row.pk).owner for row in (one, other)] == owners


def test_an_unsaved_object_in_a_foreign_key_is_refused() -> None:
    ((_, row),) = pairs(1)
    row.owner = Owner(name="new")
    with pytest.raises(ValueError, match="unsaved related object 'owner'"):
        bulk.save([row], ["owner"], using="default")
    row.owner.save()
    bulk.save([row], ["owner"], using="default")
    assert Everything.objects.get(pk=row.pk).owner == row.owner


def test_a_deferred_field_keeps_its_value() -> None:
    pairs(1, text="kept")
    rows = list(Everything.objects.defer("text"))
    rows[0].text = "new"
    bulk.save(rows, ["text"], using="default")
    assert set(Everything.objects.values_list("text", flat=True)) == {"kept", "new"}


def test_historical_models_are_saved() -> None:
    model = ProjectState.from_apps(apps).apps.get_model("bulkapp", "Everything")
    assert model is not Everything
    pairs(2, text="before", json={"a": 1})
    rows = list(model.objects.all())
    for row in rows:
        row.text, row.json, row.money, row.loud = "after", {"b": {"c": 1}}, Money(3), "loud"
    assert bulk.save(rows, ["text", "json", "money", "loud"], using="default") == 4
    stored_values: set[Any] = set(Everything.objects.values_list("text", "money", "loud"))
    assert stored_values == {("after", Money(3), "LOUD")}
    assert {str(row.json) for row in Everything.objects.all()} == {"{'b': {'c': 1}}"}


# --- Primary keys -------------------------------------------------------------------------------------------------


def test_uuid_keys() -> None:
    rows = [UuidKey.objects.create(value="before") for _ in range(20)]
    for row in rows[:10]:
        row.value = f"after {row.pk.hex[:8]}"
    assert bulk.save(rows[:10], ["value"], using="default") == 10
    for row in rows:
        assert UuidKey.objects.get(pk=row.pk).value == row.value


def test_text_keys() -> None:
    rows = [TextKey.objects.create(code=code, value="before") for code in AWKWARD if code.strip() == code]
    for row in rows:
        row.value = f"of {row.pk!r}"[:20]
    TextKey.objects.create(code="other", value="before")
    assert bulk.save(rows, ["value"], using="default") == len(rows)
    for row in rows:
        assert TextKey.objects.get(pk=row.pk).value == row.value
    assert TextKey.objects.get(pk="other").value == "before"


@pytest.mark.skipif(connection.vendor != "mysql", reason="collations of a connection and a table clash on MariaDB only")
@pytest.mark.parametrize("collation", ["utf8mb4_unicode_ci", "utf8mb4_bin", "latin1_swedish_ci"])
@pytest.mark.django_db(transaction=True)
def test_text_keys_of_any_collation(collation: str) -> None:
    def convert(collation: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"ALTER TABLE bulkapp_textkey CONVERT TO CHARACTER SET {collation.split('_')[0]} COLLATE {collation}"
            )

    rows = [TextKey.objects.create(code=code, value="before") for code in ("a", "é", "z'")]
    convert(collation)
    try:
        for row in rows:
            row.value = "ü"
        assert bulk.save(rows, ["value"], using="default") == 3
        assert set(TextKey.objects.values_list("value", flat=True)) == {"ü"}
        with connection.cursor() as cursor:
            sql = statements(lambda: bulk.save(rows, ["value"], using="default"))[0]
            cursor.execute("EXPLAIN " + sql)
            assert [line[3] for line in cursor.fetchall()] == ["ALL", "eq_ref"], "the table is read by its key"
    finally:
        TextKey.objects.all().delete()
        convert("utf8mb4_general_ci")


def test_foreign_keys_as_primary_keys() -> None:
    rows = [OwnerKey.objects.create(owner=Owner.objects.create()) for _ in range(3)]
    for row in rows:
        row.value = "after"
    assert bulk.save(rows[:2], ["value"], using="default") == 2
    assert OwnerKey.objects.filter(value="after").count() == 2


def test_composite_keys() -> None:
    rows = [PairKey.objects.create(tenant=tenant, code=code) for tenant in (1, 2) for code in ("a", "b'")]
    for number, row in enumerate(rows):
        row.value = str(number)
    assert bulk.save(rows[:3], ["value"], using="default") == 3
    assert list(PairKey.objects.order_by("tenant", "code").values_list("value", flat=True)) == ["0", "1", "2", ""]
    rows[0].value, rows[1].value = Upper(Value("x")), "y"
    assert bulk.save(rows, ["value"], using="default") == 4
    assert list(PairKey.objects.order_by("tenant", "code").values_list("value", flat=True)) == ["X", "y", "2", "3"]
    for name in ("pk", "tenant", "code"):
        with pytest.raises(InvalidArgument, match="primary key"):
            bulk.save(rows, [name], using="default")


def test_of_rows_with_one_key_the_last_counts() -> None:
    ((_, row),) = pairs(1)
    twins = [Everything.objects.get(pk=row.pk) for _ in range(3)]
    for number, twin in enumerate(twins):
        twin.integer = number
    assert bulk.save([*twins, row], ["text"], using="default") == 1
    assert bulk.save(twins, ["integer"], using="default") == 1
    assert Everything.objects.get(pk=row.pk).integer == 2


def test_rows_deleted_meanwhile_stay_deleted() -> None:
    rows = [row for _, row in pairs(5)]
    Everything.objects.filter(pk__in=[rows[0].pk, rows[3].pk]).delete()
    for row in rows:
        row.text = "after"
    rows[3].text = Upper(Value("after"))
    assert bulk.save(rows, ["text"], using="default") == 3
    assert Everything.objects.filter(text="after").count() == 3
    assert not Everything.objects.filter(pk__in=[rows[0].pk, rows[3].pk]).exists()


def test_rows_that_did_not_change_are_counted() -> None:
    rows = [row for _, row in pairs(3, text="same")]
    assert bulk.save(rows, ["text"], using="default") == 3


# --- Inheritance --------------------------------------------------------------------------------------------------


def test_each_field_goes_to_its_own_table() -> None:
    bars = [Bar.objects.create(name="old", stars=1, drinks=1) for _ in range(3)]
    loaded = list(Bar.objects.order_by("pk"))
    for number, bar in enumerate(loaded):
        bar.name, bar.stars, bar.drinks = f"bar {number}", number, 10 * number
    assert bulk.save(loaded[:2], ["drinks", "name", "stars"], using="default") == 2
    assert list(Bar.objects.order_by("pk").values_list("name", "stars", "drinks")) == [
        ("bar 0", 0, 0),
        ("bar 1", 1, 10),
        ("old", 1, 1),
    ]
    assert bulk.save(loaded, ["name"], using="default") == 3
    assert Place.objects.get(pk=bars[2].pk).name == "bar 2"
    for name in ("id", "pk", "place_ptr", "restaurant_ptr", "restaurant_ptr_id"):
        with pytest.raises(InvalidArgument, match="primary key"):
            bulk.save(loaded, [name], using="default")


def test_a_row_that_lost_its_child_does_not_count() -> None:
    rows = [Restaurant.objects.create(name="old") for _ in range(2)]
    rows[0].name = rows[1].name = "new"
    Restaurant.objects.filter(pk=rows[0].pk)._raw_delete("default")
    assert bulk.save(rows, ["name", "stars"], using="default") == 1


def test_proxies_are_the_same_rows() -> None:
    Place.objects.bulk_create([Place(name="a"), Place(name="b")])
    rows = [*CheapPlace.objects.filter(name="a"), *Place.objects.filter(name="b")]
    for row in rows:
        row.name = "after"
    assert bulk.save(rows, ["name"], using="default") == 2
    assert Place.objects.filter(name="after").count() == 2


# --- What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "No fields to save were named"),
        ("text", r'Fields are given as a list: \["text"\]'),
        (["text", "txet"], 'bulkapp.Everything has no field "txet". Nothing was written; it has text, body'),
        (["id"], '"id" is a primary key of bulkapp.Everything, which cannot be changed'),
        (["pk"], "The primary key of bulkapp.Everything cannot be changed"),
        (["doubled"], '"doubled" of bulkapp.Everything is generated by the database'),
        (["owners"], '"owners" has no column in the table of bulkapp.Everything'),
    ],
)
def test_fields_that_cannot_be_saved(fields: Any, message: str) -> None:
    rows = [row for _, row in pairs(1)]
    with pytest.raises(InvalidArgument, match=message):
        bulk.save(rows, fields, using="default")


def test_rows_that_cannot_be_saved() -> None:
    ((_, row),) = pairs(1)
    with pytest.raises(InvalidArgument, match="1 of 2 rows were never saved"):
        bulk.save([row, Everything(pk=999)], ["text"], using="default")
    row.pk = None
    with pytest.raises(InvalidArgument, match="A row has no primary key"):
        bulk.save([row], ["text"], using="default")
    mixed: list[Any] = [Place.objects.create(), Restaurant.objects.create()]
    with pytest.raises(InvalidArgument, match=r"not of bulkapp\.Place and bulkapp\.Restaurant"):
        bulk.save(mixed, ["name"], using="default")
    dicts: list[Any] = [{"name": "a"}]
    with pytest.raises(InvalidArgument, match="Only model instances"):
        bulk.save(dicts, ["name"], using="default")
    assert bulk.save([], ["name"], using="default") == 0


# --- Transactions, statements and limits --------------------------------------------------------------------------


def test_it_is_part_of_the_callers_transaction() -> None:
    rows = [row for _, row in pairs(2, text="before")]
    for row in rows:
        row.text = "after"
    with transaction.atomic():
        bulk.save(rows, ["text"], using="default")
        transaction.set_rollback(True)
    assert set(Everything.objects.values_list("text", flat=True)) == {"before"}


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_without_a_transaction_it_is_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Restaurant.objects.create(name="before", stars=1)
    row.name, row.stars = "after", None  # type: ignore[assignment]
    with pytest.raises(DatabaseError):
        bulk.save([row], ["name", "stars"], using="default")
    assert Place.objects.get(pk=row.pk).name == "before"


def test_another_database() -> None:
    here, there = Place.objects.create(name="before"), Place.objects.using("other").create(name="before")
    there.name = "after"
    assert bulk.save([there], ["name"], using="other") == 1
    assert Place.objects.using("other").get(pk=there.pk).name == "after"
    assert Place.objects.get(pk=here.pk).name == "before"


def test_execute_wrappers_see_one_write() -> None:
    rows = [row for _, row in pairs(50)]
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(wrapper):
        bulk.save(rows, ["text", "integer", "moment"], using="default")
    assert len([sql for sql in seen if not sql.startswith("SELECT")]) == 1
    assert seen[-1].startswith(f"UPDATE {connection.ops.quote_name('bulkapp every-thing')}")


def test_its_rows_are_counted_as_changes() -> None:
    rows = [row for _, row in pairs(7)]
    rows[3].text = Upper(Value("a"))
    with ChangeCounter("default") as counter:
        bulk.save(rows, ["text", "moment"], using="default")
    assert counter.changes() == [TableChange("bulkapp every-thing", updated=7)]


def test_more_rows_than_one_statement_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "ROWS", 7)
    rows = Place.objects.bulk_create([Place(name="before") for _ in range(20)])
    rows = list(Place.objects.all())
    for number, row in enumerate(rows):
        row.name = f"after {number}"
    assert bulk.save(rows, ["name"], using="default") == 20
    assert {row.pk: row.name for row in Place.objects.all()} == {row.pk: row.name for row in rows}


@pytest.mark.slow
def test_more_rows_than_a_statement_has_parameters_for() -> None:
    Place.objects.bulk_create([Place(name="before") for _ in range(70_000)], batch_size=5000)
    rows = list(Place.objects.all())
    for row in rows:
        row.name = f"n{row.pk}"
    assert bulk.save(rows, ["name"], using="default") == 70_000
    assert not Place.objects.filter(name="before").exists()


def test_large_values_are_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB takes no packet over max_allowed_packet, 16 MiB as it comes."""
    rows = [row for _, row in pairs(12)]
    for number, row in enumerate(rows):
        row.body, row.binary = f"{number}" + '"ü\\' * 500_000, bytes([number]) * 500_000
    count = len(statements(lambda: bulk.save(rows, ["body", "binary"], using="default")))
    assert count == {"sqlite": 1, "postgresql": 2, "mysql": 8}[connection.vendor]
    for row in Everything.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk"):
        number = rows.index(row)
        assert row.body == rows[number].body
        assert bytes(row.binary or b"") == rows[number].binary


@pytest.mark.skipif(connection.vendor != "mysql", reason="other databases need no JSON_TABLE")
def test_older_servers_get_one_statement_per_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_writer", lambda connection: writers._execute_many)
    rows = [row for _, row in pairs(3)]
    for number, row in enumerate(rows):
        row.text, row.binary, row.moment = str(number), b"\xff", timezone.now()
    assert bulk.save(rows, ["text", "binary", "moment"], using="default") == 3
    assert set(Everything.objects.filter(pk__in=[r.pk for r in rows]).values_list("text", flat=True)) == set("012")


# --- PostgreSQL's own fields --------------------------------------------------------------------------------------

postgresql_only = pytest.mark.skipif(connection.vendor != "postgresql", reason="fields of PostgreSQL")


@postgresql_only
@isolate_apps("tests.bulkapp")
def test_arrays_and_ranges_are_stored_as_save_stores_them() -> None:
    from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, DecimalRangeField, IntegerRangeField
    from django.db.backends.postgresql.psycopg_any import DateTimeTZRange, NumericRange

    class Special(models.Model):
        numbers = ArrayField(models.IntegerField(null=True), null=True)
        words = ArrayField(models.CharField(max_length=10), null=True)
        nested = ArrayField(ArrayField(models.TextField(null=True)), null=True)
        moments = ArrayField(models.DateTimeField(), null=True)
        choices = ArrayField(models.DecimalField(max_digits=5, decimal_places=2), null=True)
        integers = IntegerRangeField(null=True)
        decimals = DecimalRangeField(null=True)
        span = DateTimeRangeField(null=True)

        class Meta:
            app_label = "bulkapp"

    now = timezone.now()
    values: dict[str, list[Any]] = {
        "numbers": [[], [1, None, -3], None],
        "words": [["a", "", 'q"u', "c,o", "{}", "null", "\\", "😀"], []],
        "nested": [[["a", "b"], ["c", None]], [['"', "'"]], [], None],
        "moments": [[now, now + dt.timedelta(days=1)]],
        "choices": [[decimal.Decimal("1.50"), decimal.Decimal("-0.01")]],
        "integers": [NumericRange(1, 5), NumericRange(None, 5), NumericRange(empty=True), (2, 3), None],
        "decimals": [NumericRange(decimal.Decimal("0.5"), None, "(]")],
        "span": [DateTimeTZRange(now, None), (now, now + dt.timedelta(hours=1))],
    }
    with connection.schema_editor() as editor:
        editor.create_model(Special)
    for field, wanted in values.items():
        for value in wanted:
            one, other = Special._default_manager.create(), Special._default_manager.create()
            setattr(one, field, value)
            setattr(other, field, value)
            one.save(update_fields=[field])
            assert len(statements(lambda: bulk.save([other], [field], using="default"))) == 1  # noqa: B023
            assert getattr(Special._default_manager.get(pk=other.pk), field) == getattr(
                Special._default_manager.get(pk=one.pk), field
            )
            assert stored(Special, other, field) == stored(Special, one, field)
    row = Special._default_manager.create()
    row.words = ["longer than ten"]
    with pytest.raises(DatabaseError, match="too long"), transaction.atomic():
        bulk.save([row], ["words"], using="default")


@postgresql_only
@isolate_apps("tests.bulkapp")
def test_columns_may_have_another_type_than_the_model_says() -> None:
    class Legacy(models.Model):
        code = models.TextField(primary_key=True)
        mood = models.TextField()
        short = models.TextField()

        class Meta:
            app_label = "bulkapp"
            managed = False
            db_table = "bulkapp_legacy"

    key = str(uuid.uuid4())
    with connection.cursor() as cursor:
        cursor.execute("CREATE TYPE bulkapp_mood AS ENUM ('sad', 'happy')")
        cursor.execute("CREATE TABLE bulkapp_legacy (code uuid PRIMARY KEY, mood bulkapp_mood, short char(3))")
        cursor.execute("INSERT INTO bulkapp_legacy VALUES (%s, 'sad', 'abc')", [key])
    row = Legacy._default_manager.get()
    row.mood, row.short = "happy", "xyz"
    assert bulk.save([row], ["mood", "short"], using="default") == 1
    assert Legacy._default_manager.values_list("mood", "short").get() == ("happy", "xyz")


@postgresql_only
def test_a_value_that_the_driver_does_not_know_is_an_error_as_in_save() -> None:
    ((_, row),) = pairs(1)
    row.file = object()
    row.loud = {"a": 1}  # type: ignore[assignment]
    bulk.save([row], ["loud"], using="default")
    assert Everything.objects.get(pk=row.pk).loud == "{'A': 1}"
