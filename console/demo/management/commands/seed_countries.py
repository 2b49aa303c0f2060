"""Reference data, run from a Django migration of the shop."""

from __future__ import annotations

from data_migrations.management.commands.base import IdempotentCommand

from ...generator import COUNTRIES


class Command(IdempotentCommand):
    help = "Fill the table of countries that the shop sends to."
    migration_name = "seed_countries_v1_2026_11_01"

    def perform_migration(self, dry_run: bool = False) -> int:
        countries = self.get_model("shop.Country").objects.using(self.using)
        for code, name in COUNTRIES.items():
            countries.update_or_create(code=code, defaults={"name": name})
        return len(COUNTRIES)

    def reverse_migration(self, dry_run: bool = False) -> int:
        deleted, _ = self.get_model("shop.Country").objects.using(self.using).filter(code__in=COUNTRIES).delete()
        return deleted
