"""What may go wrong when a column becomes another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import NOT_PROVIDED, Field, ForeignKey

# Each holds all that those before it hold.
_WIDENING = (
    ("SmallIntegerField", "IntegerField", "BigIntegerField"),
    ("PositiveSmallIntegerField", "PositiveIntegerField", "PositiveBigIntegerField", "BigIntegerField"),
    ("PositiveSmallIntegerField", "IntegerField"),
    ("PositiveIntegerField", "BigIntegerField"),
    ("SmallAutoField", "AutoField", "BigAutoField"),
    ("SlugField", "CharField", "TextField"),
    ("URLField", "CharField", "TextField"),
    ("EmailField", "CharField", "TextField"),
    ("FileField", "CharField", "TextField"),
    ("FilePathField", "CharField", "TextField"),
)
# Texts with a length, which differ for Python only.
_TEXTS = {"CharField", "SlugField", "FileField", "FilePathField", "URLField", "EmailField"}


def why_alter(old: Field[Any, Any], new: Field[Any, Any]) -> Iterator[tuple[str, bool]]:
    """What is to fear of the change, each with whether it is about values and not only about a lock."""
    before, after = old.get_internal_type(), new.get_internal_type()
    if before != after and not {before, after} <= _TEXTS:
        if any(before in row and after in row and row.index(before) < row.index(after) for row in _WIDENING):
            yield f"changes the type from {before} to {after}, which is wider: the table may be rewritten", False
        else:
            yield f"changes the type from {before} to {after}: values that do not fit are lost or stop it", True
    elif _target(old) != _target(new):
        yield f"points to {_target(new)} instead of {_target(old)}: keys that are not there stop it", True
    if after != "TextField":
        yield from _shorter(old, new)
    if old.null and not new.null and not _fills_null(new):
        yield "forbids NULL without a default: rows that have none stop it", True


def _shorter(old: Field[Any, Any], new: Field[Any, Any]) -> Iterator[tuple[str, bool]]:
    is_limited = new.max_length is not None and old.get_internal_type() in _TEXTS
    if is_limited and (old.max_length is None or new.max_length < old.max_length):  # type: ignore[operator]
        before = "no limit" if old.max_length is None else old.max_length
        yield f"shortens max_length from {before} to {new.max_length}: longer values stop it or are cut", True
    if not hasattr(old, "decimal_places") or not hasattr(new, "decimal_places"):
        return
    if None in (old.max_digits, old.decimal_places, new.max_digits, new.decimal_places):  # type: ignore[attr-defined]
        return
    places = (old.decimal_places, new.decimal_places)
    if places[1] < places[0]:
        yield f"keeps {places[1]} instead of {places[0]} decimal places: the values are rounded", True
    if new.max_digits - places[1] < old.max_digits - places[0]:  # type: ignore[attr-defined]
        yield "has fewer digits before the point: larger values stop it", True


def _fills_null(field: Field[Any, Any]) -> bool:
    """Whether Django itself finds a value for the rows that have none."""
    return field.has_default() or field.db_default is not NOT_PROVIDED or (field.blank and field.empty_strings_allowed)


def _target(field: Field[Any, Any]) -> str:
    """The model that a foreign key points to; empty for other fields."""
    if not isinstance(field, ForeignKey):
        return ""
    model: Any = field.remote_field.model
    return str(model if isinstance(model, str) else model._meta.label).lower()


def needs_index(field: Any) -> bool:
    """Whether its column has an index of its own; a many-to-many field has no column."""
    return not field.many_to_many and bool(field.unique or field.db_index)
