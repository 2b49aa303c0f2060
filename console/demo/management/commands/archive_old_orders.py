"""A data migration without a transaction of its own: each chunk is kept as soon as it is done."""

from __future__ import annotations

from django.core.management.base import CommandParser
from django.db import transaction

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Mark orders of earlier years as archived, in small transactions. Running it twice does no harm."
    migration_name = "archive_old_orders_v1_2026_11_16"
    atomic = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--before-year", type=int, default=2026, help="The first year that is not archived.")
        parser.add_argument("--chunk", type=int, default=5000, help="Orders per transaction.")

    def perform_migration(self, dry_run: bool = False) -> int:
        orders = self.get_model("shop.Order").objects.using(self.using)
        old = orders.filter(archived=False, placed_on__year__lt=self.options["before_year"])
        total, done = old.count(), 0
        while keys := list(old.order_by("pk").values_list("pk", flat=True)[: max(1, self.options["chunk"])]):
            with transaction.atomic(using=self.using):
                done += old.filter(pk__gte=keys[0], pk__lte=keys[-1]).update(archived=True)
            self.stdout.write(f"{done:,} of {total:,} orders archived")
            self.progress(done, total)
        return done
