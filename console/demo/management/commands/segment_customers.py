"""A data migration that needs another one's work."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Work out each customer's segment from the totals of their orders."
    migration_name = "segment_customers_v1_2026_11_19"
    depends_on = ("backfill_order_totals_v1_2026_11_05", "normalize_customer_emails_v1_2026_11_02")

    limits = (("new", None, Decimal(500)), ("regular", Decimal(500), Decimal(2500)), ("key", Decimal(2500), None))

    def perform_migration(self, dry_run: bool = False) -> int:
        customers = self.get_model("shop.Customer").objects.using(self.using)
        orders = self.get_model("shop.Order").objects.using(self.using)
        spent = (
            orders.filter(customer=OuterRef("pk"))
            .exclude(status="cancelled")
            .order_by()
            .values("customer")
            .annotate(sum=Sum("total"))
            .values("sum")
        )
        # Read first: a table cannot be summed up and changed by one statement on every database.
        totals = dict(customers.annotate(spent=Coalesce(Subquery(spent), Value(Decimal(0)))).values_list("pk", "spent"))
        done = 0
        for segment, low, high in self.limits:
            keys = [
                key for key, total in totals.items() if (low is None or total >= low) and (high is None or total < high)
            ]
            for start in range(0, len(keys), 500):
                done += customers.filter(pk__in=keys[start : start + 500]).update(segment=segment)
                self.progress(done, len(totals))
            self.stdout.write(f"{segment}: {len(keys):,} customers")
        return done
