"""Going through a table by its primary key, never by OFFSET from the start.

Keyset pagination ("seek method", M. Winand, use-the-index-luke.com/no-offset): the cost of a
page does not grow with how far one has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from .exceptions import Misconfigured


@dataclass(frozen=True)
class Page:
    """A range of keys, open at its start and closed at its end, and how many rows it had when it was cut."""

    queryset: QuerySet[Any]
    last: Any
    rows: int


class Keyset:
    """The pages of a queryset in the order of its primary key: integer, UUID, text or composite."""

    def __init__(self, queryset: QuerySet[Any], using: str) -> None:
        if queryset.query.is_sliced:
            raise Misconfigured("get_queryset() gives a slice; give all rows, and set batch_size or --limit-batches.")
        if queryset.query.combinator:
            raise Misconfigured("get_queryset() gives a union; give one queryset, or write get_batches().")
        self.queryset = queryset.using(using)
        self.model: type[Model] = queryset.model

    def count(self) -> int:
        """Rows in all, as of now."""
        return self.queryset.order_by().count()

    def after(self, key: Any, size: int) -> Page | None:
        """The next page of at most ``size`` rows after the key (None: from the start), or None at the end."""
        rest = self.queryset if key is None else self.queryset.filter(pk__gt=key)
        keys = rest.order_by("pk").values_list("pk", flat=True)
        # The key of the page's last row: an offset within the page only, without loading the others.
        last = next(iter(keys[size - 1 : size]), None)
        rows = size
        if last is None:
            short = list(keys[:size])
            if not short:
                return None
            last, rows = short[-1], len(short)
        return Page(rest.filter(pk__lte=last), last, rows)

    def only(self, keys: list[Any]) -> QuerySet[Any]:
        """The rows of exactly these keys, whatever the queryset's own filter says of them by now."""
        return self.model._base_manager.using(self.queryset.db).filter(pk__in=keys)

    def to_json(self, key: Any) -> Any:
        """A key as JSON can hold it."""
        if isinstance(key, tuple):
            return [self._plain(field, part) for field, part in zip(self._fields(), key, strict=True)]
        return self._plain(self.model._meta.pk, key)

    def from_json(self, value: Any) -> Any:
        """A key as the database takes it."""
        if value is None:
            return None
        if isinstance(value, list):
            return tuple(field.to_python(part) for field, part in zip(self._fields(), value, strict=True))
        return self.model._meta.pk.to_python(value)

    def _fields(self) -> list[Any]:
        return list(getattr(self.model._meta, "pk_fields", [self.model._meta.pk]))

    @staticmethod
    def _plain(field: Any, value: Any) -> Any:
        if isinstance(value, int | str):
            return value
        holder = type("Holder", (), {field.attname: value})()
        return field.value_to_string(holder)
