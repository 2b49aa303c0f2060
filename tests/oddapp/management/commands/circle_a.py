from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Depends on b"
    migration_name = "circle_a_2026_01_01"
    depends_on = ["circle_b_2026_01_01"]

    def perform_migration(self, dry_run=False):
        return None
