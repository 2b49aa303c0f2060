"""A data migration that fails until somebody puts the data right."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db.models import Count, F

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Copy each product's article number into the unique column."
    migration_name = "fill_unique_skus_v1_2026_11_12"

    def perform_migration(self, dry_run: bool = False) -> int:
        products = self.get_model("shop.Product").objects.using(self.using)
        shared = products.values("sku").order_by("sku").annotate(uses=Count("pk")).filter(uses__gt=1)
        if skus := [row["sku"] for row in shared]:
            for product in products.filter(sku__in=skus).order_by("sku", "pk"):
                self.stderr.write(f"{product.sku}: {product.name} (product {product.pk})")
            raise CommandError(
                f"{len(skus)} article numbers are used by more than one product: {', '.join(skus)}. "
                "Give each product its own in Demo shop › Products, then run this again."
            )
        return products.update(unique_sku=F("sku"))
