"""Adds one to every seat, going by its key."""

from tests.testapp.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Add one to the amount of every seat, in batches"
    migration_name = "batch_seat_2026_02_05"
    model = "testapp.Seat"
