"""Going through a table by its primary key, never by OFFSET from the start.

Keyset pagination ("seek method", M. Winand, use-the-index-luke.com/no-offset): the cost of a
page does not grow with how far one has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet

from .exceptions import Misconfigured
from .loading import Loader, NotPrepared, PageStatement, Values


@dataclass
class Page:
    """A range of keys, open at its start and closed at its end, and how many rows it had when it was cut.

    ``behind`` gives all rows behind its start. ``values`` and ``instances`` are those of its own rows, where they were
    loaded with it.
    """

    behind: Callable[[], QuerySet[Any]]
    last: Any
    rows: int
    values: list[Values] = field(default_factory=list)
    instances: list[Any] = field(default_factory=list)

    @cached_property
    def queryset(self) -> QuerySet[Any]:
        """The rows of the range."""
        return self.behind().filter(pk__lte=self.last)


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
        # The statement for pages of one size; None where there is none, or not yet.
        self._statement: PageStatement | None = None
        self._statement_size = 0
        self._key_before: Any = None

    @property
    def can_load_ahead(self) -> bool:
        """Whether pages can be loaded outside of a transaction, and compared with what their rows are later."""
        return self.loader.is_comparable and not self.queryset.query.select_for_update

    def count(self) -> int:
        """Rows in all, as of now."""
        return self.queryset.order_by().count()

    def after(self, key: Any, size: int) -> Page | None:
        """The next page of at most ``size`` rows after the key (None: from the start), or None at the end."""
        rest = self._behind(key)
        keys = rest.order_by("pk").values_list("pk", flat=True)
        # The key of the page's last row: an offset within the page only, without loading the others.
        last = next(iter(keys[size - 1 : size]), None)
        rows = size
        if last is None:
            short = list(keys[:size])
            if not short:
                return None
            last, rows = short[-1], len(short)
        return Page(lambda: rest, last, rows)

    def loaded_after(self, key: Any, size: int) -> Page | None:
        """The next page with its rows, in one query. Only where the loader is plain."""
        values, instances = self.loader.instances(self._rows_behind(key, size), self.queryset.db)
        if not values:
            return None
        return Page(lambda: self._behind(key), self.loader.key(values[-1]), len(values), values, instances)

    def _rows_behind(self, key: Any, size: int) -> Iterable[Values]:
        """The values of the first rows behind the key."""

        def behind(key: Any) -> QuerySet[Any]:
            return self._behind(key).order_by("pk")[:size]

        before, self._key_before = self._key_before, key
        if size != self._statement_size and None not in (before, key) and before != key and not isinstance(key, tuple):
            self._statement_size = size
            try:
                self._statement = PageStatement(self.loader, behind, (before, key))
            except NotPrepared:
                self._statement = None
        if self._statement is None or size != self._statement_size or key is None:
            return self.loader.values(behind(key))
        return self._statement.rows(key)

    def _behind(self, key: Any) -> QuerySet[Any]:
        return self.queryset if key is None else self.queryset.filter(pk__gt=key)

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
