from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Has a long name"
    migration_name = "x" * 201

    def perform_migration(self, dry_run=False):
        return None
