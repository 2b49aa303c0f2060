"""A data migration in batches: pause it, resume it, kill its worker; every customer is worked on once."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from data_migrations.management.commands.base import BatchedCommand


class Command(BatchedCommand):
    help = "Move customers to the new accounts, batch by batch; those without a usable e-mail address are set aside."
    migration_name = "migrate_customers_v1_2026_11_21"
    batch_size = 200
    target_batch_seconds = 0.05
    # Only so that there is something to watch; change it on the run's page.
    pause_seconds = 1.0
    on_row_error = "quarantine"

    def get_queryset(self) -> QuerySet[Any]:
        # The update makes the filter false: what is done is not looked at again.
        return self.get_model("shop.Customer").objects.filter(needs_migration=True)

    def perform_batch(self, batch: Any) -> None:
        for customer in batch:
            if "@" not in customer.email:
                raise ValueError(f"{customer.email!r} is no e-mail address")
            customer.needs_migration = False
            customer.migrated = True
        batch.save(["needs_migration", "migrated"])
        self.stdout.write(f"{len(batch):,} customer{'' if len(batch) == 1 else 's'} moved")
