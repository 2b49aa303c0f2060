"""Prints in groups, slowly."""

from __future__ import annotations

import time
from typing import Any

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Print in groups, to watch"
    migration_name = "watch_groups_v1_2026_11_21"

    def perform_migration(self, dry_run: bool = False) -> Any:
        with self.log_group("Loading"):
            for number in range(30):
                self.stdout.write(f"loaded {number}")
                time.sleep(0.15)
        with self.log_group("Writing"):
            self.stdout.write("written")
