"""Adds one to every item, in one transaction, slowly where asked."""

import time

from django.db.models import F

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Add one to the amount of every item"
    migration_name = "increment_items_2026_01_01"

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--before", type=float, default=0.0, help="Seconds to wait before the change.")
        parser.add_argument("--after", type=float, default=0.0, help="Seconds to wait after the change.")
        parser.add_argument("--lines", type=int, default=0, help="Lines to print before the change.")

    def perform_migration(self, dry_run=False):
        for number in range(self.options["lines"]):
            self.stdout.write(f"line {number}")
        self.stdout.write("begun")
        time.sleep(self.options["before"])
        changed = self.get_model("testapp.Item").objects.using(self.using).update(amount=F("amount") + 1)
        self.stdout.write("changed")
        time.sleep(self.options["after"])
        return changed
