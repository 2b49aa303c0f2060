"""Works through items with progress, and can be stopped between two of them."""

import time

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Work through a hundred steps"
    migration_name = "tracked_2026_01_12"

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--steps", type=int, default=100)
        parser.add_argument("--each", type=float, default=0.0)

    def perform_migration(self, dry_run=False):
        self.get_model("testapp.Item").objects.using(self.using).update(amount=3)
        for step in self.track(range(self.options["steps"])):
            self.stdout.write(f"step {step}")
            try:
                time.sleep(self.options["each"])
            except Exception:
                self.stdout.write("swallowed")
        return self.options["steps"]
