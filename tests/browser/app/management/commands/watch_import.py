"""Reads a CSV file, to watch a file on its way."""

from __future__ import annotations

from typing import Any

from data_migrations.sources import CsvBatchedCommand


class Command(CsvBatchedCommand):
    help = "Read names from a file"
    migration_name = "watch_import_v1_2026_11_21"
    csv_columns = ("email", "name")
    batch_size = 2

    def perform_batch(self, batch: Any) -> None:
        for row in batch:
            self.stdout.write(f"{row['email']}: {row['name']}")
