"""A data migration with arguments of several types, for the console's form."""

from __future__ import annotations

from datetime import date

from django.core.management.base import CommandParser

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Close orders that nobody touched for long."
    migration_name = "close_stale_orders_v2_2026_11_09"
    destructive = True

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--before", type=date.fromisoformat, default=date(2024, 1, 1), help="Placed before this day (YYYY-MM-DD)."
        )
        parser.add_argument(
            "--to", choices=("cancelled", "shipped"), default="cancelled", help="The status that they get."
        )
        parser.add_argument("--include-paid", action="store_true", help="Also orders that are paid.")

    def perform_migration(self, dry_run: bool = False) -> int:
        statuses = ["open", "paid"] if self.options["include_paid"] else ["open"]
        stale = (
            self.get_model("shop.Order")
            .objects.using(self.using)
            .filter(status__in=statuses, placed_on__lt=self.options["before"])
        )
        for status in statuses:
            self.stdout.write(f"{status}: {stale.filter(status=status).count():,} orders")
        return stale.update(status=self.options["to"])
