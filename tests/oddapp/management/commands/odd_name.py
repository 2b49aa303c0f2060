from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Has an odd name"
    migration_name = 'Fix "it" / 🐘'

    def perform_migration(self, dry_run=False):
        return None
