"""A batched data migration that takes its time, sets rows aside when asked to, and hangs when asked to."""

from __future__ import annotations

import time
from typing import Any

from data_migrations.management.commands.base import BatchedCommand


class Command(BatchedCommand):
    help = "Work in batches, to watch"
    migration_name = "watch_batches_v1_2026_11_21"
    batch_size = 5
    pause_seconds = 0.6
    on_row_error = "quarantine"

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.add_argument("--hang-at", type=int, default=0)
        parser.add_argument("--poison", type=int, default=0)

    def get_queryset(self) -> Any:
        return self.get_model("shop.Customer").objects.all()

    def perform_batch(self, batch: Any) -> None:
        for customer in batch:
            if self.options["poison"] and customer.pk % self.options["poison"] == 0:
                raise ValueError(f"customer {customer.pk} <cannot> be read")
            customer.migrated = True
        batch.save(["migrated"])
        self.stdout.write(f"batch {batch.number}")
        if batch.number == self.options["hang_at"]:
            time.sleep(600)
