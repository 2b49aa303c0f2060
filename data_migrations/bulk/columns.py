"""A field's values of all rows, prepared for the database as ``Model.save(update_fields=…)`` prepares them."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations

NONE = type(None)

_TEXTS = (models.CharField, models.TextField, models.EmailField, models.SlugField, models.URLField)
_INTEGERS = (
    *(models.AutoField, models.BigAutoField, models.SmallAutoField),
    *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
    *(models.PositiveIntegerField, models.PositiveBigIntegerField, models.PositiveSmallIntegerField),
)
# Fields whose preparation changes nothing that the database would see in values of exactly these types.
_SAME: dict[type, set[type]] = {
    **{kind: {str} for kind in _TEXTS},
    **{kind: {int} for kind in _INTEGERS},
    models.BooleanField: {bool},
    models.FloatField: {float},
    models.BinaryField: {bytes},
}
_SAME_IN_POSTGRESQL: dict[type, set[type]] = {
    models.UUIDField: {uuid.UUID},
    models.DateField: {datetime.date},
    models.TimeField: {datetime.time},
    models.DurationField: {datetime.timedelta},
}
_PRE_SAVE_OF_TIMES = {models.DateField.pre_save, models.DateTimeField.pre_save, models.TimeField.pre_save}
_PLACEHOLDERS = ("get_placeholder", "get_placeholder_sql")
# What these put around their placeholder is a cast, which the writers do in their own way. By the names of their
# modules, because those of PostgreSQL can be imported only where its driver is installed.
_KNOWN_PLACEHOLDERS = {
    "django.db.models.fields",
    "django.contrib.postgres.fields.array",
    "django.contrib.postgres.fields.ranges",
}


def _short_datetimes(field: Any, ops: BaseDatabaseOperations, prepare: Callable[[Any], Any]) -> dict[type, Any]:
    adapt = ops.adapt_datetimefield_value
    if settings.USE_TZ and adapt(_IN_UTC) == str(_IN_UTC)[:-6]:
        # A text without the offset, "+00:00", is what SQLite and MariaDB store of UTC.
        return {datetime.datetime: lambda value: str(value)[:-6] if value.tzinfo is datetime.UTC else prepare(value)}
    # The field itself warns of naive ones.
    return {datetime.datetime: lambda value: prepare(value) if value.utcoffset() is None else adapt(value)}


def _short_decimals(field: Any, ops: BaseDatabaseOperations, prepare: Callable[[Any], Any]) -> dict[type, Any]:
    # The field itself refuses infinity.
    adapt, digits, places = ops.adapt_decimalfield_value, field.max_digits, field.decimal_places
    return {decimal.Decimal: lambda value: adapt(value, digits, places) if value.is_finite() else prepare(value)}


_IN_UTC = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
# The same steps as the field takes, past those that find nothing to do in values of exactly these types.
_SHORTER: dict[type, Callable[[Any, BaseDatabaseOperations, Callable[[Any], Any]], dict[type, Any]]] = {
    models.DateTimeField: _short_datetimes,
    models.DecimalField: _short_decimals,
    models.DateField: lambda field, ops, prepare: {datetime.date: ops.adapt_datefield_value},
    models.TimeField: lambda field, ops, prepare: {datetime.time: ops.adapt_timefield_value},
    models.JSONField: lambda field, ops, prepare: dict.fromkeys(
        (dict, list), lambda value: ops.adapt_json_value(value, field.encoder)
    ),
}


@dataclass(slots=True)
class Column:
    """One field's values in the order of the rows.

    ``assigned`` are as the rows have them, ``values`` as the driver takes them. ``odd`` are the positions of SQL
    expressions, which a bulk statement cannot carry; in ``values`` they are None.
    """

    field: models.Field[Any, Any]
    assigned: list[Any]
    values: list[Any]
    odd: set[int] = attribute(default_factory=set)


def read(field: models.Field[Any, Any], rows: list[Any], connection: BaseDatabaseWrapper) -> Column:
    """Take a field's values from the rows; like ``Model.save()``, this sets ``auto_now`` fields on them."""
    if field.is_relation:
        _check_related(field, rows)
    plain = _is_plain(field)
    values = list(map(attrgetter(field.attname), rows)) if plain else [field.pre_save(row, False) for row in rows]
    kinds = set(map(type, values))
    if kinds <= unchanged(field, connection.vendor):
        return Column(field, values, values)
    odd = _positions(values, kinds)
    if odd and plain:
        # The field may put the expression of a database default in the value's place.
        values = [field.pre_save(row, False) for row in rows]
        kinds = set(map(type, values))
    convert = _converters(field, kinds, connection)
    prepared = [convert[type(value)](value) for value in values]
    for position in _positions(prepared, set(map(type, prepared))):
        odd.add(position)
        prepared[position] = None
    return Column(field, values, prepared, odd)


def has_own_placeholder(field: models.Field[Any, Any]) -> bool:
    """Whether the field wraps its value in SQL that a bulk statement does not know."""
    methods = (getattr(type(field), name, None) for name in _PLACEHOLDERS)
    return any(method is not None and method.__module__ not in _KNOWN_PLACEHOLDERS for method in methods)


def unchanged(field: models.Field[Any, Any], vendor: str) -> set[type]:
    """The types whose values reach the driver as they are; a subclass of a field may do anything, so it has none."""
    while type(field) in (models.ForeignKey, models.OneToOneField):
        field = field.target_field  # type: ignore[attr-defined]
    same = _SAME.get(type(field))
    if same is None and vendor == "postgresql":
        same = _SAME_IN_POSTGRESQL.get(type(field))
    return {NONE, *same} if same else set()


def _converters(
    field: models.Field[Any, Any], kinds: set[type], connection: BaseDatabaseWrapper
) -> dict[type, Callable[[Any], Any]]:
    """What prepares a value of each type: the field itself, or a shorter way to the same."""

    def prepare(value: Any) -> Any:
        return field.get_db_prep_save(value, connection=connection)

    shorter: dict[type, Callable[[Any], Any]] = dict.fromkeys(unchanged(field, connection.vendor), lambda value: value)
    if type(field) in _SHORTER:
        shorter = {NONE: lambda value: value, **_SHORTER[type(field)](field, connection.ops, prepare)}
    return {kind: (lambda value: None) if _is_expression(kind) else shorter.get(kind, prepare) for kind in kinds}


def _is_plain(field: models.Field[Any, Any]) -> bool:
    """Whether what is saved is just the row's attribute."""
    pre_save = type(field).pre_save
    return pre_save is models.Field.pre_save or (
        pre_save in _PRE_SAVE_OF_TIMES and not field.auto_now  # type: ignore[attr-defined]
    )


def _positions(values: list[Any], kinds: set[type]) -> set[int]:
    """Where the SQL expressions are."""
    expressions = {kind for kind in kinds if _is_expression(kind)}
    if not expressions:
        return set()
    return {position for position, value in enumerate(values) if type(value) in expressions}


def _check_related(field: models.Field[Any, Any], rows: list[Any]) -> None:
    """Have Django look at the objects in foreign keys: unsaved ones, and those saved since they were assigned."""
    for row in rows:
        if field.is_cached(row):  # type: ignore[attr-defined]
            row._prepare_related_fields_for_save("save", fields=[field])


def _is_expression(kind: type) -> bool:
    return any(hasattr(kind, name) for name in ("resolve_expression", "as_sql", "prepare_database_save"))
