"""Adds one to every token, going by its key."""

from tests.testapp.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Add one to the amount of every token, in batches"
    migration_name = "batch_token_2026_02_05"
    model = "testapp.Token"
