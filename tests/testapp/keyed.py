"""What the commands that go through tables by keys of other kinds have in common."""

from django.db.models import F

from data_migrations.management.commands.base import BatchedCommand


class KeyedCommand(BatchedCommand):
    """Adds one to every row of a model, in small batches."""

    model = ""
    batch_size = 7

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--loaded", action="store_true", help="Load the rows and save them.")

    def get_queryset(self):
        return self.get_model(self.model).objects.all()

    def perform_batch(self, batch):
        if self.options["loaded"]:
            for row in batch:
                row.amount += 1
            batch.save(["amount"])
        else:
            batch.queryset.update(amount=F("amount") + 1)
