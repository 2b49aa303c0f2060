"""Comes after another data migration and a schema migration."""

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Come after increment"
    migration_name = "dependent_2026_01_04"
    depends_on = ["increment_items_2026_01_01"]
    requires_schema = [("testapp", "0001_initial")]

    def perform_migration(self, dry_run=False):
        return "came after"
