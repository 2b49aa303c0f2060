"""Needs a second person, is destructive, and works for a minute in the night."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import F, QuerySet

from data_migrations.management.commands.base import BatchedCommand


class Command(BatchedCommand):
    help = "Raise the version of every customer, at night, once somebody has agreed."
    migration_name = "watch_me_wait_v1_2026_11_20"
    requires_approval = True
    destructive = True
    window = ("03:00", "03:01")
    sensitive_arguments = ("token",)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--token", default="", help="Masked wherever it is shown.")

    def get_queryset(self) -> QuerySet[Any]:
        found: QuerySet[Any] = self.get_model("shop.Customer").objects.all()
        return found

    def perform_batch(self, batch: Any) -> int:
        return int(batch.queryset.update(pk=F("pk")))
