"""Adds one to every item, and fails on those whose name says so."""

from data_migrations.management.commands.base import BatchedCommand


class Command(BatchedCommand):
    help = "Set poison rows aside"
    migration_name = "batch_poison_2026_02_02"
    batch_size = 50
    on_row_error = "quarantine"

    def get_queryset(self):
        return self.get_model("testapp.Item").objects.all()

    def perform_batch(self, batch):
        for item in batch:
            if item.name.startswith("poison"):
                raise ValueError(f"{item.name} cannot be read")
            item.amount += 1
        batch.save(["amount"])
