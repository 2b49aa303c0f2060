"""Prints, then fails."""

from __future__ import annotations

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Print a hundred lines, then fail."
    migration_name = "watch_me_fail_v1_2026_11_20"

    def perform_migration(self, dry_run: bool = False) -> None:
        for number in range(100):
            self.stdout.write(f"before the end: {number}")
        raise ValueError("the data is not as <b>expected</b>")
