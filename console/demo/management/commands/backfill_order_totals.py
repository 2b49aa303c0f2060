"""A slow data migration that tells what it does, to watch live."""

from __future__ import annotations

import logging
import time
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import DecimalField, ExpressionWrapper, F, Value

from data_migrations.management.commands.base import IdempotentCommand

logger = logging.getLogger(__name__)


class Command(IdempotentCommand):
    help = "Fill the new column total (a decimal) of every order from total_cents."
    migration_name = "backfill_order_totals_v1_2026_11_05"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--country", metavar="CODE", help="Only orders of customers in this country, such as DE.")
        parser.add_argument("--chunk", type=int, default=1000, help="Orders per UPDATE.")
        parser.add_argument("--pause", type=float, default=0.05, help="Seconds to wait after each UPDATE.")

    def perform_migration(self, dry_run: bool = False) -> int:
        orders = self.get_model("shop.Order").objects.using(self.using).filter(total=None)
        if country := self.options["country"]:
            orders = orders.filter(customer__country=country)
        keys = list(orders.order_by("pk").values_list("pk", flat=True))
        self.stdout.write(f"{len(keys):,} orders have no total yet.")
        filled, size = 0, max(1, self.options["chunk"])
        for start in range(0, len(keys), size):
            chunk = keys[start : start + size]
            filled += self._fill(chunk[0], chunk[-1], country)
            self.stdout.write(f"orders {chunk[0]}–{chunk[-1]}: {len(chunk)} totals filled")
            if start // size % 25 == 24:
                logger.info("%s of %s orders done", filled, len(keys))
            self.progress(filled, len(keys))
            time.sleep(self.options["pause"])
        return filled

    def verify(self) -> None:
        orders = self.get_model("shop.Order").objects.using(self.using)
        wrong = orders.exclude(total=None).exclude(total=_euros()).count()
        if wrong:
            raise ValueError(f"{wrong} orders have a total that is not total_cents / 100.")

    def _fill(self, first: int, last: int, country: str | None) -> int:
        orders = self.get_model("shop.Order").objects.using(self.using)
        orders = orders.filter(total=None, pk__gte=first, pk__lte=last)
        if country:
            orders = orders.filter(customer__country=country)
        return orders.update(total=_euros())


def _euros() -> Any:
    amount = F("total_cents") * Value(Decimal("0.01"))
    return ExpressionWrapper(amount, output_field=DecimalField(max_digits=12, decimal_places=2))
