"""Needs a schema migration that nobody has."""

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Need a schema that is not there"
    migration_name = "needs_schema_2026_01_05"
    requires_schema = [("testapp", "9999_future")]

    def perform_migration(self, dry_run=False):
        return "never"
