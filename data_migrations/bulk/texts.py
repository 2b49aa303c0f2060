"""Values as they travel in JSON: whole numbers and nulls as they are, all else as the text that a type is read from."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from .columns import NONE, Column

_Converters = dict[type, Callable[[Any], Any]]
_PLAIN: set[type] = {str, int, NONE}
_BINARY: set[type] = {bytes, bytearray, memoryview}


class NotText(Exception):
    """A value that no text stands for."""


@dataclass(slots=True)
class Part:
    """One column of what travels.

    ``hexadecimal``: the texts are bytes in hexadecimal. ``unwritable``: positions of values that no text stands for.
    """

    field: models.Field[Any, Any]
    values: list[Any]
    hexadecimal: bool = False
    unwritable: set[int] = attribute(default_factory=set)

    @property
    def is_text(self) -> bool:
        """Whether there are others than whole numbers."""
        return not set(map(type, self.values)) <= {int, NONE}


def as_texts(column: Column, connection: BaseDatabaseWrapper) -> Part:
    """A column's values as the JSON of PostgreSQL or MariaDB can carry them."""
    kinds = set(map(type, column.values))
    duration = connection.vendor == "postgresql" and isinstance(column.field, models.DurationField)
    if kinds <= _PLAIN and not duration:
        return Part(column.field, column.values)
    converters: _Converters
    if connection.vendor == "postgresql":
        converters, other = _POSTGRESQL_DURATION if duration else _POSTGRESQL, _postgresql_dump(connection)
    elif kinds & _BINARY:
        converters, other = _HEXADECIMAL, _refuse
    else:
        converters, other = _MYSQL, _mysql_subclass
    part = Part(column.field, [], converters is _HEXADECIMAL)
    convert = {kind: converters.get(kind, other) for kind in kinds}
    for position, value in enumerate(column.values):
        try:
            part.values.append(convert[type(value)](value))
        except NotText:
            part.unwritable.add(position)
            part.values.append(None)
    return part


def _same(value: Any) -> Any:
    return value


def _refuse(value: Any) -> Any:
    raise NotText


def _mysql_subclass(value: Any) -> Any:
    """Members of enumerations and the like, as the drivers see them."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    raise NotText


_POSTGRESQL: _Converters = {
    **dict.fromkeys((*_PLAIN, bool), _same),
    float: repr,
    **dict.fromkeys((decimal.Decimal, uuid.UUID, datetime.date, datetime.datetime, datetime.time), str),
    bytes: lambda value: f"\\x{value.hex()}",
}
# The field prepares nothing here, and a number as a text would be read as seconds.
_POSTGRESQL_DURATION: _Converters = {**dict.fromkeys(_POSTGRESQL, _refuse), **dict.fromkeys((str, NONE), _same)}
_MYSQL: _Converters = {
    **dict.fromkeys(_PLAIN, _same),
    bool: int,
    float: repr,
    **dict.fromkeys((decimal.Decimal, uuid.UUID), str),
}
_HEXADECIMAL: _Converters = {
    NONE: _same,
    **dict.fromkeys(_BINARY, lambda value: bytes(value).hex()),
    str: lambda value: value.encode().hex(),
}


def _postgresql_dump(connection: BaseDatabaseWrapper) -> Callable[[Any], Any]:
    """What the driver would send for a value: arrays, ranges, JSON, intervals, networks, and what is registered."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        return _refuse
    import psycopg
    from psycopg.adapt import PyFormat, Transformer

    connection.ensure_connection()
    transformer = Transformer(connection.connection)

    def dump(value: Any) -> Any:
        try:
            dumped = transformer.get_dumper(value, PyFormat.TEXT).dump(value)
        except psycopg.ProgrammingError:
            raise NotText from None
        return None if dumped is None else bytes(dumped).decode()

    return dump
