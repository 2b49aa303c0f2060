"""What is asked for each batch anew, with other keys only, made ready once.

Django takes longer to read a filter and to compile a query than a database takes to find the end of a page. The text of
such a query does not change from batch to batch. So it is looked at twice, with other keys, to see where among its
parameters they stand; after that the next keys are put in their places. Wherever that cannot be told, Django does it
each time.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.models import Field, QuerySet

Values = tuple[Any, ...]

# Values that are what their repr says, and nothing that can be changed in place.
_PLAIN = {type(None), bool, int, float, str, bytes, uuid.UUID, decimal.Decimal}
_PLAIN |= {datetime.date, datetime.datetime, datetime.time, datetime.timedelta}
# So many different changes are known at most: where each batch makes others, none is ever seen twice.
_MOST_KINDS = 16
# Where Django's own expressions are defined, and the fields that some of them are given.
_EXPRESSIONS = ("django.db.models.expressions", "django.db.models.functions.", "django.db.models.fields")


class NotPrepared(Exception):
    """It has to be left to Django each time."""


class Sent(NamedTuple):
    """A statement as Django sends it, and the keys that it was made for."""

    sql: str
    params: tuple[Any, ...]
    keys: tuple[Any, ...]


class Statement:
    """An SQL text, and where among its parameters the keys stand.

    Args:
        using: the database alias.
        key_field: the field of the keys. Composite ones are not prepared.

    Raises:
        NotPrepared: that cannot be told from these two.
    """

    def __init__(self, using: str, key_field: Any, first: Sent, second: Sent) -> None:
        self._connection = connections[using]
        self._key_field = key_field
        self._params = list(second.params)
        if first.sql != second.sql or len(first.params) != len(second.params):
            raise NotPrepared
        if any(isinstance(key, tuple) for key in first.keys + second.keys):
            raise NotPrepared
        self.sql = first.sql
        keys = list(zip(self._values(first.keys), self._values(second.keys), strict=True))
        # A value that differs has to be the same one of the keys in both.
        try:
            self._places = [
                (place, keys.index(values))
                for place, values in enumerate(zip(first.params, second.params, strict=True))
                if values[0] != values[1]
            ]
        except ValueError:
            raise NotPrepared from None
        if {which for _, which in self._places} != set(range(len(keys))):
            raise NotPrepared

    def params(self, keys: tuple[Any, ...]) -> list[Any]:
        """The parameters for these keys."""
        params = list(self._params)
        values = self._values(keys)
        for place, which in self._places:
            params[place] = values[which]
        return params

    def _values(self, keys: tuple[Any, ...]) -> list[Any]:
        return [self._key_field.get_db_prep_value(key, self._connection, prepared=False) for key in keys]


class PreparedQuery:
    """Rows behind a key, as tuples, compiled once for each size that lasts.

    Args:
        queryset_behind: gives the queryset of the rows behind a key, in a page of a size.
        key_field: the field of the key.
    """

    def __init__(self, queryset_behind: Callable[[Any, int], QuerySet[Any, Any]], key_field: Any) -> None:
        self._queryset_behind = queryset_behind
        self._key_field = key_field
        # None where there is none, or not yet; it is tried to make one once for each size.
        self._statement: Statement | None = None
        self._is_tried = False
        # Knows what Python makes of the columns.
        self._compiler: Any = None
        self._is_plain = False
        self._size = 0
        self._key: Any = None

    def rows(self, key: Any, size: int) -> Iterable[Values]:
        """The rows behind the key (None: from the start)."""
        key_before, self._key = self._key, key
        if size != self._size:
            # An adaptive size may be another one each time; then compiling ahead would be for nothing.
            self._size, self._statement, self._is_tried = size, None, False
        elif not self._is_tried and None not in (key_before, key) and key_before != key:
            self._is_tried = True
            self._prepare(key_before, key)
        if self._statement is None or key is None:
            return self._queryset_behind(key, size)
        connection = connections[self._compiler.using]
        with connection.cursor() as cursor:
            cursor.execute(self._statement.sql, self._statement.params((key,)))
            found = cursor.fetchall()
        if self._is_plain and found and type(found[0]) is tuple:
            return found
        rows: Iterable[Values] = self._compiler.results_iter([found], tuple_expected=True)
        return rows

    def _prepare(self, *keys: Any) -> None:
        sent = []
        try:
            for key in keys:
                queryset = self._queryset_behind(key, self._size)
                self._compiler = queryset.query.get_compiler(using=queryset.db)
                sql, params = self._compiler.as_sql()
                sent.append(Sent(sql, params, (key,)))
            self._statement = Statement(self._compiler.using, self._key_field, *sent)
            # Where the driver's values are those of the fields there is no more to be made of them.
            self._is_plain = not self._compiler.get_converters(
                [column for column, *_ in self._compiler.select[: self._compiler.col_count]]
            )
        except (NotPrepared, EmptyResultSet):
            pass


class PreparedRange:
    """``queryset.filter(pk__gt=after, pk__lte=last)``, whose filter Django reads once only."""

    def __init__(self, queryset: QuerySet[Any]) -> None:
        self._queryset = queryset
        self._template: QuerySet[Any] | None = None
        # A query that locks can be compiled within a transaction only.
        self._is_settled = queryset.query.select_for_update

    def between(self, after: Any, last: Any) -> QuerySet[Any]:
        """The rows behind the one key (None: from the start), up to and with the other."""
        if after is None:
            return self._queryset.filter(pk__lte=last)
        if self._template is not None:
            return self._filled(self._template, after, last)
        filtered = self._queryset.filter(pk__gt=after, pk__lte=last)
        if not self._is_settled:
            self._is_settled = True
            self._try(filtered, after, last)
        return filtered

    def _try(self, filtered: QuerySet[Any], after: Any, last: Any) -> None:
        """Take it as the template, if with other keys it becomes what Django makes of these."""
        names = [getattr(child, "lookup_name", "") for child in filtered.query.where.children[-2:]]
        if names != ["gt", "lte"]:
            return
        swapped = self._queryset.filter(pk__gt=last, pk__lte=after)
        try:
            if _compiled(self._filled(filtered, last, after)) == _compiled(swapped):
                self._template = filtered.all()
        except EmptyResultSet:
            pass

    @staticmethod
    def _filled(template: QuerySet[Any], after: Any, last: Any) -> QuerySet[Any]:
        filled = template.all()
        conditions: list[Any] = filled.query.where.children
        conditions[-2:] = [type(old)(old.lhs, key) for old, key in zip(conditions[-2:], (after, last), strict=True)]
        return filled


class PreparedUpdate:
    """``queryset.update(**changes)`` of ranges of keys: seen twice for the same changes, then sent as it was.

    Args:
        using: the database alias.
        key_field: the field of the keys.
    """

    def __init__(self, using: str, key_field: Any) -> None:
        self._using = using
        self._connection = connections[using]
        self._key_field = key_field
        # By what is changed: what was sent for it the last time, or the statement; None where there is none.
        self._known: dict[Any, Sent | Statement | None] = {}

    def run(
        self, between: Callable[[Any, Any], QuerySet[Any]], keys: tuple[Any, Any], changes: Mapping[str, Any]
    ) -> int:
        """Update the rows that ``between`` gives for the keys; gives how many matched.

        It has to give the same queryset each time, but for the keys.
        """
        try:
            kind = tuple((name, _likeness(value)) for name, value in changes.items())
        except NotPrepared:
            return between(*keys).update(**changes)
        known = self._known.get(kind)
        if isinstance(known, Statement):
            with transaction.mark_for_rollback_on_error(self._using), self._connection.cursor() as cursor:
                cursor.execute(known.sql, known.params(keys))
                return int(cursor.rowcount)
        if (known is None and kind in self._known) or None in keys:
            return between(*keys).update(**changes)
        rows, sent = self._watched(between(*keys), keys, changes)
        if kind not in self._known and len(self._known) >= _MOST_KINDS:
            self._known.clear()
        try:
            self._known[kind] = Statement(self._using, self._key_field, known, sent) if known and sent else sent
        except NotPrepared:
            self._known[kind] = None
        return rows

    def _watched(self, queryset: QuerySet[Any], keys: Values, changes: Mapping[str, Any]) -> tuple[int, Sent | None]:
        """Let Django do it, and see what it sends: None where that is more than one statement."""
        seen: list[Sent] = []

        def see(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(Sent(sql, tuple(params or ()), keys))
            return execute(sql, params, many, context)

        # Outermost: what others make of the statement they will make of it again.
        wrappers = self._connection.execute_wrappers
        wrappers.insert(0, see)
        try:
            rows = queryset.update(**changes)
        finally:
            wrappers.remove(see)
        return rows, seen[0] if len(seen) == 1 else None


def _compiled(queryset: QuerySet[Any]) -> Any:
    return queryset.query.get_compiler(using=queryset.db).as_sql()


def _likeness(value: Any) -> Any:
    """Equal for values that Django makes the same statement of; 1, 1.0 and True are not.

    Expressions that are equal by Django's own rule were made with equal arguments. Here these have to be alike as well.
    """
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if not kind.__module__.startswith(_EXPRESSIONS):
        raise NotPrepared
    if isinstance(value, Field):
        return repr(value.deconstruct()[1:])
    if not hasattr(value, "_constructor_args"):
        raise NotPrepared
    args, kwargs = value._constructor_args
    return kind, tuple(map(_likeness, args)), tuple((name, _likeness(arg)) for name, arg in kwargs.items())
