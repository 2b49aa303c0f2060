"""Prints in groups, one of them within another, and fails in it when asked to."""

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Print in groups"
    migration_name = "grouped_2026_01_20"

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--broken", action="store_true")

    def perform_migration(self, dry_run=False):
        self.stdout.write("before")
        with self.log_group("Loading"):
            self.stdout.write("loading")
            with self.log_group("Users\n of  the shop"):
                self.stdout.write("half a line", ending="")
                if self.options["broken"]:
                    raise ValueError("no users")
        self.stdout.write("after")
