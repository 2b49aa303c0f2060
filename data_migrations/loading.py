"""Loading rows as model instances: the same instances as Django's, with less in between where nothing is to be done.

``Model.from_db`` and ``Model.__init__`` take most of the time that loading takes, for signals that nobody listens to
and for fields that could be missing. Where a queryset gives whole rows of one table, and the model leaves the making
of its instances to Django, each gets its attributes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django.db.models import Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.query import ModelIterable
from django.db.models.signals import post_init, pre_init

from .prepared import Values

# Where the fields are defined whose values nobody can change in place; those of other modules may give lists.
_MODULES = {"django.db.models.fields", "django.db.models.fields.related", "django.db.models.fields.files"}


class Loader:
    """Loads the rows of a queryset, or of one that was made from it by ``filter()``.

    Attributes:
        names: the attributes of the columns, in the order of the values.
        is_plain: whether rows can be taken as tuples of values and made into instances here.
        is_comparable: whether in addition these tuples stay as they are, whatever is done with the instances.
    """

    def __init__(self, queryset: QuerySet[Any]) -> None:
        self.model: type[Model] = queryset.model
        fields = self.model._meta.concrete_fields
        self.names = tuple(field.attname for field in fields)
        self.is_plain = _is_plain(queryset)
        self.is_comparable = self.is_plain and all(type(field).__module__ in _MODULES for field in fields)
        keys = [field.attname for field in getattr(self.model._meta, "pk_fields", [self.model._meta.pk])]
        self._key_positions = [self.names.index(name) for name in keys] if self.is_plain else []

    def rows(self, queryset: QuerySet[Any]) -> list[Any]:
        """What the queryset gives, loaded now."""
        return self.instances(self.values(queryset), queryset.db)[1] if self.is_plain else list(queryset)

    def values(self, queryset: QuerySet[Any]) -> list[Values]:
        """The values of each row, loaded now. Only where the queryset is plain."""
        return list(queryset.values_list(*self.names))

    def key(self, values: Values) -> Any:
        """The primary key among a row's values."""
        parts = tuple(values[position] for position in self._key_positions)
        return parts if len(parts) > 1 else parts[0]

    def instances(self, rows: Iterable[Values], using: str) -> tuple[list[Values], list[Any]]:
        """The rows' values, and instances with them as ``Model.from_db`` would make them.

        Each is made as its values come, while they are still in the processor's cache.
        """
        model, names, set_attribute = self.model, self.names, setattr
        kept: list[Values] = []
        made: list[Any] = []
        # Django 6.1 tells each instance how its relations are fetched.
        fetch_mode = getattr(QuerySet(model), "_fetch_mode", None)
        known: dict[str, Any] = {} if fetch_mode is None else {"fetch_mode": fetch_mode}
        if pre_init.has_listeners(model) or post_init.has_listeners(model):
            kept = list(rows)
            return kept, [model.from_db(using, names, values, **known) for values in kept]
        keep, add, new = kept.append, made.append, model.__new__
        for values in rows:
            row = new(model)
            row._state = state = ModelState()
            for name, value in zip(names, values):  # noqa: B905  (half a microsecond for each row)
                set_attribute(row, name, value)
            # After the values, as in Django: a model's own __setattr__ may ask whether it is being made.
            state.adding = False
            state.db = using
            if fetch_mode is not None:
                state.fetch_mode = fetch_mode
            keep(values)
            add(row)
        # A version of Django that does more than that is left to do it itself.
        if made and not _same_attributes(made[0], model.from_db(using, names, kept[0], **known)):
            made = [model.from_db(using, names, values, **known) for values in kept]
        return kept, made


def _same_attributes(one: Model, other: Model) -> bool:
    return vars(one).keys() == vars(other).keys() and vars(one._state) == vars(other._state)


def _is_plain(queryset: QuerySet[Any]) -> bool:
    """Whether it gives whole rows of one table, as instances that are made by nobody but Django."""
    query: Any = queryset.query
    model: Any = queryset.model
    rows: Any = queryset
    whole = not (
        query.select_related
        or query.deferred_loading[0]
        or query.annotations
        or query.extra
        or query.distinct
        or query.group_by
        or query.values_select
        or len(query.alias_map) > 1
        or model._meta.concrete_model._meta.parents
    )
    untouched = (
        rows._iterable_class is ModelIterable
        and type(queryset)._fetch_all is QuerySet._fetch_all
        and type(queryset).__iter__ is QuerySet.__iter__
        and type(queryset).values_list is QuerySet.values_list
        and not rows._known_related_objects
        and not rows._prefetch_related_lookups
        # Django 6.1
        and getattr(rows, "_fetch_mode", None) is getattr(QuerySet(model), "_fetch_mode", None)
    )
    by_django = (
        model.__init__ is Model.__init__
        and super(Model, model).__init__ is object.__init__
        and model.from_db.__func__ is cast(Any, Model.from_db).__func__
        and model.__new__ is object.__new__
        and type(model).__call__ is type.__call__
    )
    return bool(whole and untouched and by_django)
