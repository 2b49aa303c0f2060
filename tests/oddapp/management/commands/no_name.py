from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Has no name"
    # The name was forgotten.

    def perform_migration(self, dry_run=False):
        return None
