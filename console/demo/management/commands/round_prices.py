"""A data migration that one person alone cannot start from the console."""

from __future__ import annotations

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Round each product's price up to ten cents. Customers see it at once, so a second person has to agree."
    migration_name = "round_prices_v1_2026_11_20"
    requires_approval = True

    def perform_migration(self, dry_run: bool = False) -> int:
        products = list(self.get_model("shop.Product").objects.using(self.using).order_by("pk"))
        rounded = [product for product in products if product.price_cents % 10]
        for product in rounded:
            before, product.price_cents = product.price_cents, -(-product.price_cents // 10) * 10
            self.stdout.write(f"{product.name}: {before / 100:.2f} → {product.price_cents / 100:.2f}")
        return int(self.get_model("shop.Product").objects.using(self.using).bulk_update(rounded, ["price_cents"]))
