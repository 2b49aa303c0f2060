"""Changes something, prints something, and fails."""

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Fail after a change"
    migration_name = "failing_2026_01_03"

    def perform_migration(self, dry_run=False):
        self.get_model("testapp.Item").objects.using(self.using).update(amount=99)
        self.stdout.write("about to fail")
        raise ValueError("the data is not as expected")
