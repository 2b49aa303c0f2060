from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "One of two"
    migration_name = "twin_2026_01_01"

    def perform_migration(self, dry_run=False):
        return None
