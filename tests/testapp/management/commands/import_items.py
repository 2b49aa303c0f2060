"""Makes an item for each row of a CSV file."""

import time

from data_migrations.sources import CsvBatchedCommand


class Command(CsvBatchedCommand):
    help = "Make an item for each row"
    migration_name = "import_items_2026_02_20"
    batch_size = 7
    csv_columns = ("name", "amount")

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--each", type=float, default=0.0, help="Seconds to wait in each batch.")
        parser.add_argument("--sift", action="store_true", help="Set rows aside that fail.")

    def perform_batch(self, batch):
        item = self.get_model("testapp.Item")
        items = [item(name=row["name"], amount=int(row["amount"])) for row in batch]
        item.objects.using(self.using).bulk_create(items)
        self.stdout.write(f"batch {batch.number} from row {batch.start}")
        time.sleep(self.options["each"])

    def accept(self, options):
        super().accept(options)
        self.on_row_error = "quarantine" if options["sift"] else "fail"
