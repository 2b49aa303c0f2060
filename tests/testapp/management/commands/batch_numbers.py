"""Makes items from numbers, a source that is no table."""

from data_migrations.management.commands.base import BatchedCommand


class Command(BatchedCommand):
    help = "Make an item for each number"
    migration_name = "batch_numbers_2026_02_03"
    batch_size = 7

    def get_batches(self, cursor):
        start = cursor or 0
        while start < 30:
            end = min(start + self.batch_size, 30)
            yield list(range(start, end)), end
            start = end

    def count_items(self):
        return 30

    def perform_batch(self, batch):
        item = self.get_model("testapp.Item")
        item.objects.using(self.using).bulk_create([item(name=f"number {number}") for number in batch])
