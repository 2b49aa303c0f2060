"""Going through a table by its primary key, never by OFFSET from the start.

Keyset pagination ("seek method", M. Winand, use-the-index-luke.com/no-offset): the cost of a
page does not grow with how far one has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet

from .exceptions import Misconfigured
from .loading import Loader
from .prepared import PreparedQuery, PreparedRange, PreparedUpdate, Values


@dataclass
class Page:
    """A range of keys, open at its start and closed at its end, and how many rows it had when it was cut.

    ``values`` and ``instances`` are those of its rows, where they were loaded with it.
    """

    keyset: Keyset
    first: Any
    last: Any
    rows: int
    values: list[Values] = field(default_factory=list)
    instances: list[Any] = field(default_factory=list)

    @cached_property
    def queryset(self) -> QuerySet[Any]:
        """The rows of the range."""
        return self.keyset.between(self.first, self.last)

    def update(self, changes: Mapping[str, Any]) -> int:
        """``queryset.update(**changes)``."""
        return self.keyset.update(self, changes)


class PickedPage(Page):
    """Rows of a queryset by their keys, wherever between the others they are."""

    @classmethod
    def of(cls, keyset: Keyset, queryset: QuerySet[Any], keys: Sequence[Any]) -> PickedPage:
        """Those of these keys, which are as JSON holds them."""
        found = [keyset.from_json(key) for key in keys]
        page = cls(keyset, found[0], found[-1], len(found))
        page.queryset = queryset.filter(pk__in=found)
        return page

    def update(self, changes: Mapping[str, Any]) -> int:
        return self.queryset.update(**changes)


class Keyset:
    """The pages of a queryset in the order of its primary key: integer, UUID, text or composite."""

    def __init__(self, queryset: QuerySet[Any], using: str) -> None:
        if queryset.query.is_sliced:
            raise Misconfigured("get_queryset() gives a slice; give all rows, and set batch_size or --limit-batches.")
        if queryset.query.combinator:
            raise Misconfigured("get_queryset() gives a union; give one queryset, or write get_batches().")
        self.queryset = queryset.using(using)
        self.model: type[Model] = queryset.model
        self.loader = Loader(self.queryset)
        key_field = self.model._meta.pk
        self._ends = PreparedQuery(lambda key, size: self._keys_behind(key)[size - 1 : size], key_field)
        self._rows = PreparedQuery(self._rows_behind, key_field)
        self._range = PreparedRange(self.queryset)
        self._update = PreparedUpdate(using, key_field)

    @property
    def can_load_ahead(self) -> bool:
        """Whether pages can be loaded outside of a transaction, and compared with what their rows are later."""
        return self.loader.is_comparable and not self.queryset.query.select_for_update

    def count(self, key: Any) -> int:
        """Rows behind the key (None: in all), as of now."""
        return self._behind(key).order_by().count()

    def after(self, key: Any, size: int) -> Page | None:
        """The next page of at most ``size`` rows after the key (None: from the start), or None at the end."""
        # The key of the page's last row: an offset within the page only, without loading the others.
        ends = list(self._ends.rows(key, size))
        if ends:
            return Page(self, key, ends[0][0], size)
        short = list(self._keys_behind(key)[:size])
        return Page(self, key, short[-1][0], len(short)) if short else None

    def loaded_after(self, key: Any, size: int) -> Page | None:
        """The next page with its rows, in one query. Only where the loader is plain."""
        values, instances = self.loader.instances(self._rows.rows(key, size), self.queryset.db)
        if not values:
            return None
        return Page(self, key, self.loader.key(values[-1]), len(values), values, instances)

    def between(self, first: Any, last: Any) -> QuerySet[Any]:
        """The rows behind the one key (None: from the start), up to and with the other."""
        return self._range.between(first, last)

    def update(self, page: Page, changes: Mapping[str, Any]) -> int:
        """Update a page; gives how many rows matched."""
        return self._update.run(self.between, (page.first, page.last), changes)

    def _keys_behind(self, key: Any) -> QuerySet[Any, Any]:
        return self._behind(key).order_by("pk").values_list("pk")

    def _rows_behind(self, key: Any, size: int) -> QuerySet[Any, Any]:
        return self._behind(key).order_by("pk")[:size].values_list(*self.loader.names)

    def _behind(self, key: Any) -> QuerySet[Any]:
        return self.queryset if key is None else self.queryset.filter(pk__gt=key)

    @property
    def unfiltered(self) -> QuerySet[Any]:
        """All rows of the model, whatever the queryset's own filter says of them by now."""
        return self.model._base_manager.using(self.queryset.db)

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
