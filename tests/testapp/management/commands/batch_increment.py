"""Adds one to every item, batch by batch: twice worked on would show."""

import time

from django.db.models import F

from data_migrations.management.commands.base import BatchedCommand


class Command(BatchedCommand):
    help = "Add one to the amount of every item, in batches"
    migration_name = "batch_increment_2026_02_01"
    batch_size = 10

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--each", type=float, default=0.0, help="Seconds to wait in each batch.")
        parser.add_argument("--loaded", action="store_true", help="Load the rows and save them.")
        parser.add_argument("--every", type=int, default=0, help="Load all rows, change only each so-manieth key.")
        parser.add_argument("--hang-at", type=int, default=0, help="The number of the batch to hang in.")
        parser.add_argument("--fail-at", type=int, default=0, help="The number of the batch to fail in.")

    def get_queryset(self):
        return self.get_model("testapp.Item").objects.all()

    def perform_batch(self, batch):
        if batch.number == self.options["fail_at"]:
            raise ValueError("this batch is odd")
        if self.options["every"]:
            chosen = [item for item in batch if item.pk % self.options["every"] == 0]
            for item in chosen:
                item.amount += 1
            if chosen:
                batch.save(["amount"])
        elif self.options["loaded"]:
            for item in batch:
                item.amount += 1
            batch.save(["amount"])
        else:
            batch.queryset.update(amount=F("amount") + 1)
        self.stdout.write(f"batch {batch.number}")
        time.sleep(600 if batch.number == self.options["hang_at"] else self.options["each"])
