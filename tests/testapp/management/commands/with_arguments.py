"""Takes arguments of every kind and gives them back."""

import json
from datetime import date

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Show the arguments"
    migration_name = "with_arguments_2026_01_09"
    sensitive_arguments = ["password"]

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("country", help="A country code.")
        parser.add_argument("--count", type=int, default=3)
        parser.add_argument("--ratio", type=float)
        parser.add_argument("--mode", choices=["fast", "safe"], default="safe")
        parser.add_argument("--loud", action="store_true")
        parser.add_argument("--since", type=date.fromisoformat)
        parser.add_argument("--tag", action="append")
        parser.add_argument("--pair", nargs=2, type=int)
        parser.add_argument("--extra", type=json.loads)
        parser.add_argument("--password", default="")

    def perform_migration(self, dry_run=False):
        names = ("country", "count", "ratio", "mode", "loud", "since", "tag", "pair", "extra")
        if self.options["password"]:
            self.stdout.write(f"using {self.options['password']}")
        return json.dumps({name: self.options[name] for name in names}, default=str)
