"""Adds one to every item, one by one, without a transaction."""

import time

from django.db.models import F

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Add one to the amount of every item, each on its own"
    migration_name = "increment_items_loose_2026_01_02"
    atomic = False

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--each", type=float, default=0.0, help="Seconds to wait after each item.")
        parser.add_argument("--fail-at", type=int, default=0, help="The number of the item to fail at.")

    def perform_migration(self, dry_run=False):
        items = self.get_model("testapp.Item").objects.using(self.using)
        done = 0
        for item in self.track(list(items.order_by("pk"))):
            items.filter(pk=item.pk).update(amount=F("amount") + 1)
            done += 1
            if done == self.options["fail_at"]:
                raise ValueError(f"item {done} is odd")
            self.stdout.write(f"item {item.pk}")
            time.sleep(self.options["each"])
        return done
