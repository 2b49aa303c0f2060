"""Filters of the history whose choices are what is there."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Run

MOST_CHOICES = 100


class ValuesFilter(SimpleListFilter):
    """One of the values that a column has; an address with another one works, too."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """The values, by name."""
        values = Run.objects.order_by(self.column).values_list(self.column, flat=True).distinct()
        return [(value, value) for value in values[:MOST_CHOICES] if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Those with the chosen value."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class MigrationFilter(ValuesFilter):
    """By data migration."""

    title = "data migration"
    parameter_name = column = "migration"


class RequesterFilter(ValuesFilter):
    """By the person who asked for it."""

    title = "person"
    parameter_name = "by"
    column = "requested_by"
