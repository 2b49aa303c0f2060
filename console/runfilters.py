"""Filters of the history: each offers what there are runs of, and is hidden where that is one thing alone."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet, Subquery
from django.http import HttpRequest

from . import words
from .appearance import breakable
from .history import DATE
from .models import Run

# Choices come from so many runs; looking through all of them for what is there once would take long.
RECENT = 1_000
MOST_CHOICES = 100
# Their values are few and known beforehand, so that older runs can be asked for each of them through its index.
_KNOWN = {
    "status": dict(Run._meta.get_field("status").flatchoices),
    "kind": dict(Run._meta.get_field("kind").flatchoices),
    "door": {value: words.door(value) for value, _ in Run._meta.get_field("door").flatchoices},
}
_COLUMNS = ("database", "migration", "requested_by", "host", *_KNOWN)


class ColumnFilter(SimpleListFilter):
    """One of the values of a column; an address with another one works, too."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """The values and their words; none, which hides the filter, where there is nothing to choose."""
        found = self.values(request)
        chosen = self.value()
        if chosen:
            found = [*dict.fromkeys([*found, chosen])]
        elif len(found) < 2 and self.is_complete(request):
            return []
        return self.worded(found)

    def values(self, request: HttpRequest) -> list[str]:
        """What there are runs of."""
        raise NotImplementedError

    def is_complete(self, request: HttpRequest) -> bool:
        """Whether ``values`` left out nothing."""
        return True

    def worded(self, values: list[str]) -> list[tuple[str, str]]:
        """The values with their words, in the order in which they are offered."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Those with the chosen value."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ValuesFilter(ColumnFilter):
    """One of the values that a column has in the newest runs."""

    def values(self, request: HttpRequest) -> list[str]:
        """The newest ones."""
        if not self.is_complete(request):
            self.title = f"{self.title} of the newest {RECENT:,} runs"
        return [value for value in _recent(request)[self.column] if value][:MOST_CHOICES]

    def is_complete(self, request: HttpRequest) -> bool:
        """Whether all runs were looked at."""
        return _are_all(request)

    def worded(self, values: list[str]) -> list[tuple[str, str]]:
        """By name."""
        return [(value, value) for value in sorted(values)]


class KnownFilter(ColumnFilter):
    """One of the values that a column may have, as far as there are runs with it."""

    def values(self, request: HttpRequest) -> list[str]:
        """Those of the newest runs, and of the others those that an older run has."""
        return list(_present(request)[self.column])

    def worded(self, values: list[str]) -> list[tuple[str, str]]:
        """In the order of the model."""
        words = {**_KNOWN[self.column], **{value: value for value in values if value not in _KNOWN[self.column]}}
        return [(value, str(word)) for value, word in words.items() if value in values]


def _recent(request: HttpRequest) -> dict[str, list[str]]:
    """The values of the newest runs by column, each once; asked for once for all filters."""
    found: dict[str, list[str]] | None = getattr(request, "_console_recent", None)
    if found is None:
        rows = list(Run.objects.order_by("-pk").values_list(*_COLUMNS)[:RECENT])
        found = {column: [*dict.fromkeys(row[place] for row in rows)] for place, column in enumerate(_COLUMNS)}
        request._console_recent = found  # type: ignore[attr-defined]
        request._console_recent_are_all = len(rows) < RECENT  # type: ignore[attr-defined]
    return found


def _are_all(request: HttpRequest) -> bool:
    _recent(request)
    return bool(request._console_recent_are_all)  # type: ignore[attr-defined]


def _present(request: HttpRequest) -> dict[str, list[str]]:
    """Of the columns with known values those that runs have: one query more where there are older runs."""
    found: dict[str, list[str]] | None = getattr(request, "_console_present", None)
    if found is not None:
        return found
    recent = _recent(request)
    found = {column: [*recent[column]] for column in _KNOWN}
    if not _are_all(request):
        wanted = [(column, value) for column, known in _KNOWN.items() for value in known if value not in recent[column]]
        # By the time, along the index of each column; each probe ends at the first run that it meets.
        probes = {
            f"p{number}": Subquery(Run.objects.filter(**{column: value}).order_by(DATE).values("pk")[:1])
            for number, (column, value) in enumerate(wanted)
        }
        row = Run.objects.order_by("-pk").annotate(**probes).values(*probes)[:1].first() or {}
        for number, (column, value) in enumerate(wanted):
            if row.get(f"p{number}"):
                found[column].append(value)
    request._console_present = found  # type: ignore[attr-defined]
    return found


class StatusFilter(KnownFilter):
    """By where it is, or how it ended."""

    title = "status"
    parameter_name = "status__exact"
    column = "status"


class KindFilter(KnownFilter):
    """By what was asked for."""

    title = "kind"
    parameter_name = "kind__exact"
    column = "kind"


class DoorFilter(KnownFilter):
    """By the door that it came through."""

    title = "where it was asked for"
    parameter_name = "door__exact"
    column = "door"


class DatabaseFilter(ValuesFilter):
    """By the database that it worked on."""

    title = "database"
    parameter_name = column = "database"


class MigrationFilter(ValuesFilter):
    """By data migration."""

    title = "data migration"
    parameter_name = column = "migration"

    def worded(self, values: list[str]) -> list[tuple[str, str]]:
        """By name; the place for them is narrow."""
        return [(value, breakable(value)) for value, _ in super().worded(values)]


class RequesterFilter(ValuesFilter):
    """By the person who asked for it."""

    title = "person"
    parameter_name = "by"
    column = "requested_by"


class HostFilter(ValuesFilter):
    """By the host of its worker."""

    title = "host"
    parameter_name = column = "host"
