"""Sets every item to what it is told and accepts only seven."""

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Set the amount of every item"
    migration_name = "verified_2026_01_07"

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--amount", type=int, default=7)

    def perform_migration(self, dry_run=False):
        return self.get_model("testapp.Item").objects.using(self.using).update(amount=self.options["amount"])

    def verify(self):
        wrong = self.get_model("testapp.Item").objects.using(self.using).exclude(amount=7).count()
        if wrong:
            raise ValueError(f"{wrong} items are not seven")
