"""Adds one to every label, going by its key."""

from tests.testapp.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Add one to the amount of every label, in batches"
    migration_name = "batch_label_2026_02_05"
    model = "testapp.Label"
