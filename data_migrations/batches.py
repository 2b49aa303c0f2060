"""A batch, as the author of a batched migration gets it, and where batches come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from django.db import connections
from django.db.models import Model, QuerySet

from . import bulk
from .exceptions import Misconfigured
from .keyset import Keyset, Page, PickedPage
from .loading import Loader, Values
from .words import row_key


class Batch:
    """Some of the rows to work on.

    ``batch.queryset`` is for set-based work; iterating loads the rows once, locked to the end of
    the batch's transaction, and ``batch.save(fields)`` writes them back in one statement.
    """

    def __init__(self, number: int, first: Any, last: Any, size: int) -> None:
        self.number = number
        self.first = first
        self.last = last
        self.size = size

    @property
    def model_label(self) -> str:
        """The model whose primary keys the keys of the batch are, as "shop.customer"; empty where they are none."""
        return ""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    @property
    def items(self) -> Sequence[Any]:
        """What there is to work on."""
        raise NotImplementedError

    def where(self) -> str:
        """The batch in words, for an error message."""
        return f"batch {self.number} ({self.first!r} to {self.last!r})"

    def narrowed(self, keys: Sequence[Any]) -> Batch:
        """The part of the batch that has these keys, to find out which of its rows fails."""
        raise Misconfigured("Rows of this source cannot be quarantined.")

    def keys(self) -> list[Any]:
        """The keys of the batch, JSON-serialisable, in order."""
        raise Misconfigured("Rows of this source cannot be quarantined.")


class QuerysetBatch(Batch):
    """A range of rows of one table."""

    def __init__(self, keyset: Keyset, number: int, page: Page) -> None:
        super().__init__(number, page.first, page.last, page.rows)
        self.keyset = keyset
        self._page = page
        self._rows: list[Model] | None = None
        # Whether it is the batch itself that asks the database right now.
        self.is_loading = False

    @property
    def is_loaded(self) -> bool:
        """Whether somebody asked for its rows."""
        return self._rows is not None

    @property
    def queryset(self) -> QuerySet[Any]:
        """The batch as a queryset, for whatever querysets can do."""
        return self._page.queryset

    @property
    def model_label(self) -> str:
        return str(self.keyset.model._meta.label_lower)

    @property
    def using(self) -> str:
        """The database alias."""
        return self.keyset.queryset.db

    @property
    def items(self) -> Sequence[Any]:
        """The rows, loaded once and locked, so that what is computed from them is still true when it is saved."""
        if self._rows is None:
            with self._loading():
                self._rows = Loader(self.queryset).rows(self._locked())
        return self._rows

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self.is_loading = True
        try:
            yield
        finally:
            self.is_loading = False

    def _locked(self) -> QuerySet[Any]:
        """The rows in order, to be locked as they are loaded."""
        rows = self.queryset.order_by("pk")
        features = connections[self.using].features
        if not features.has_select_for_update or rows.query.distinct:
            return rows
        # Where there is but one table nothing needs to be said, and values alone can say nothing.
        of = ("self",) if features.has_select_for_update_of and not Loader(rows).is_plain else ()
        return rows.select_for_update(of=of)

    def save(self, fields: Sequence[str]) -> int:
        """Write these fields of the loaded rows in one fast statement; gives how many rows there still were.

        Raises:
            InvalidArgument: a field that cannot be written so.
        """
        return bulk.save(self.items, fields, using=self.using)

    def update(self, **changes: Any) -> int:
        """The same as ``batch.queryset.update(…)``, without the time that Django takes to compile it for each batch.

        Gives how many rows matched.
        """
        return self._page.update(changes)

    def delete(self) -> int:
        """Delete the batch's rows, with what hangs on them; gives how many of the rows themselves went."""
        _, deleted = self.queryset.order_by().delete()
        return deleted.get(self.keyset.model._meta.label, 0)

    def narrowed(self, keys: Sequence[Any]) -> QuerysetBatch:
        return QuerysetBatch(self.keyset, self.number, PickedPage.of(self.keyset, self.queryset, keys))

    def keys(self) -> list[Any]:
        return [self.keyset.to_json(key) for key in self.queryset.order_by("pk").values_list("pk", flat=True)]


class LoadAgain(BaseException):
    """Unwinds a batch whose rows were loaded without a lock, to have it done once more with them locked.

    Not an ``Exception``: a command's own ``except Exception`` around each row must not swallow it.

    Args:
        for_good: whether no batch of the run should be loaded without locks again.
    """

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


class AheadBatch(QuerysetBatch):
    """A range of rows that were loaded before the batch's transaction began, and are not locked.

    ``settle`` has to be called before anything is asked of the database in the transaction. From then on it is as if
    they had been locked when they were loaded.
    """

    def __init__(self, keyset: Keyset, number: int, page: Page) -> None:
        super().__init__(keyset, number, page)
        self._ahead: list[Values] | None = page.values

    @property
    def items(self) -> Sequence[Any]:
        """The rows as they were loaded; once the batch is settled, loaded now and locked."""
        if self._rows is None and self._ahead is not None:
            self._rows = self._page.instances
        return super().items

    def settle(self) -> None:
        """Lock the rows that the author has got, and make sure that they are as they were loaded.

        Raises:
            LoadAgain: somebody changed or deleted some of them meanwhile.
        """
        if self._rows is not None and self._ahead is not None:
            loader = self.keyset.loader
            with self._loading():
                now = {loader.key(values): values for values in loader.values(self._locked())}
            if any(now.get(loader.key(values)) != values for values in self._ahead):
                raise LoadAgain(f"rows of {self.where()} were changed by somebody after they had been loaded")
        self._ahead = None
        self._page.instances = []


class ItemsBatch(Batch):
    """Items of any source, as ``get_batches`` gave them."""

    def __init__(self, number: int, items: Sequence[Any], cursor: Any) -> None:
        super().__init__(number, items[0] if items else None, cursor, len(items))
        self._items = items

    @property
    def items(self) -> Sequence[Any]:
        return self._items

    def where(self) -> str:
        return f"batch {self.number} ({len(self)} items up to cursor {self.last!r})"


class Source(Protocol):
    """Where batches come from. ``table`` is the one that they are rows of, None where they are not."""

    @property
    def table(self) -> str | None: ...

    def begin(self, cursor: Any) -> None:
        """Make ready to go on from the cursor; raises one of our errors where that cannot be."""

    def words(self, cursor: Any) -> str:
        """Where the cursor is, for a person."""

    def next(self, cursor: Any, number: int, size: int) -> tuple[Batch, Any] | None:
        """The batch after the cursor and the cursor after it, or None at the end; asked inside the transaction."""

    def count(self) -> int | None:
        """How many items there are in all, where that can be said before the first batch."""

    def count_behind(self, cursor: Any) -> int | None:
        """How many there are behind the cursor, where ``count`` could not say; asked only once it is of use."""


class QuerysetSource:
    """The rows of a queryset in the order of their primary key."""

    def __init__(self, queryset: QuerySet[Any], using: str) -> None:
        self.keyset = Keyset(queryset, using)

    @property
    def table(self) -> str:
        return self.keyset.model._meta.db_table

    def begin(self, cursor: Any) -> None:
        """Nothing: each batch is found from the cursor."""

    def words(self, cursor: Any) -> str:
        return row_key(cursor)

    def next(self, cursor: Any, number: int, size: int) -> tuple[Batch, Any] | None:
        page: Page | None = self.keyset.after(self.keyset.from_json(cursor), size)
        if page is None:
            return None
        return QuerysetBatch(self.keyset, number, page), self.keyset.to_json(page.last)

    def ahead(self, cursor: Any, number: int, size: int) -> tuple[AheadBatch, Any] | None:
        """As ``next``, but with the rows loaded at once, without locks; asked outside of the transaction."""
        page = self.keyset.loaded_after(self.keyset.from_json(cursor), size)
        if page is None:
            return None
        return AheadBatch(self.keyset, number, page), self.keyset.to_json(page.last)

    def count(self) -> int | None:
        # It takes a walk through the whole table, as long as a few batches.
        return None

    def count_behind(self, cursor: Any) -> int | None:
        return self.keyset.count(self.keyset.from_json(cursor))


class GeneratorSource:
    """What an author's ``get_batches(cursor)`` yields: ``(items, next_cursor)``.

    The generator is started anew where the run did not go on from what it yielded last, as after a
    batch that was undone.
    """

    table = None

    def __init__(self, get_batches: Any, count: Any) -> None:
        self.get_batches = get_batches
        self._count = count
        self._iterator: Iterator[tuple[Sequence[Any], Any]] | None = None
        self._at: Any = None

    def begin(self, cursor: Any) -> None:
        """Nothing: the generator is given the cursor."""

    def words(self, cursor: Any) -> str:
        return repr(cursor)

    def next(self, cursor: Any, number: int, size: int) -> tuple[Batch, Any] | None:
        if self._iterator is None or self._at != cursor:
            self._iterator = iter(self.get_batches(cursor))
        try:
            items, after = next(self._iterator)
        except StopIteration:
            return None
        self._at = after
        return ItemsBatch(number, list(items), after), after

    def count(self) -> int | None:
        return self._count()

    def count_behind(self, cursor: Any) -> int | None:
        return None
