"""Prints a line every now and then, among them what a browser must not take for markup."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Print lines slowly."
    migration_name = "watch_me_v1_2026_11_20"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--lines", type=int, default=40, help="How many lines.")
        parser.add_argument("--pause", type=float, default=0.1, help="Seconds between two lines.")
        parser.add_argument("--token", default="", help="A secret.")

    sensitive_arguments = ("token",)

    def perform_migration(self, dry_run: bool = False) -> Any:
        customers = self.get_model("shop.Customer").objects.using(self.using).filter(pk__lte=7)
        customers.update(name="watched")
        self.stdout.write(
            "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title='taken'\">"
        )
        self.stdout.write("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m")
        for number in self.track(range(self.options["lines"])):
            self.stdout.write(f"step {number} of {self.options['lines']}")
            time.sleep(self.options["pause"])
        return "watched"
