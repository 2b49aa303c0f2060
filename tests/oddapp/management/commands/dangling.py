from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Depends on nothing known"
    migration_name = "dangling_2026_01_01"
    depends_on = ["nobody_2026_01_01"]

    def perform_migration(self, dry_run=False):
        return None
