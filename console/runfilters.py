"""Filters of the history whose choices are what the newest runs have."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Run

# Choices come from so many runs; looking through all of them for what is there once would take long.
RECENT = 1_000
MOST_CHOICES = 100
_COLUMNS = ("database", "migration", "requested_by", "host")


class ValuesFilter(SimpleListFilter):
    """One of the values that a column has in the newest runs; an address with another one works, too."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """The values, by name; none, which hides the filter, where all runs have the same one."""
        rows = _recent(request)
        are_all = len(rows) < RECENT
        if not are_all:
            self.title = f"{self.title} of the newest {RECENT:,} runs"
        values = dict.fromkeys(row[_COLUMNS.index(self.column)] for row in rows)
        newest = [value for value in values if value][:MOST_CHOICES]
        if chosen := self.value():
            newest = [*dict.fromkeys([*newest, chosen])]
        elif are_all and len(newest) < 2:
            return []
        return [(value, value) for value in sorted(newest)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Those with the chosen value."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


def _recent(request: HttpRequest) -> list[tuple[str, ...]]:
    """What the filters choose from, asked for once for all of them."""
    found: list[tuple[str, ...]] | None = getattr(request, "_console_recent", None)
    if found is None:
        found = list(Run.objects.order_by("-pk").values_list(*_COLUMNS)[:RECENT])
        request._console_recent = found  # type: ignore[attr-defined]
    return found


class DatabaseFilter(ValuesFilter):
    """By the database that it worked on."""

    title = "database"
    parameter_name = column = "database"


class MigrationFilter(ValuesFilter):
    """By data migration."""

    title = "data migration"
    parameter_name = column = "migration"


class RequesterFilter(ValuesFilter):
    """By the person who asked for it."""

    title = "person"
    parameter_name = "by"
    column = "requested_by"


class HostFilter(ValuesFilter):
    """By the host of its worker."""

    title = "host"
    parameter_name = column = "host"
