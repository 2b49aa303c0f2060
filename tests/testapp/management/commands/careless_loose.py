"""The same without a transaction."""

from data_migrations.management.commands.base import IdempotentCommand
from tests.testapp.management.commands.careless import Command as Careless


class Command(Careless):
    help = "Ignore that it is a dry run, without a transaction"
    migration_name = "careless_loose_2026_01_11"
    atomic = False


__all__ = ["Command", "IdempotentCommand"]
