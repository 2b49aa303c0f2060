import a_module_that_is_not_there  # noqa: F401

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    migration_name = "cannot_import_2026_01_01"
