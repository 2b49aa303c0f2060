"""Prints lines that say when they were printed, and measures how long each of them took."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from data_migrations.management.commands.base import IdempotentCommand

FILLER = "x" * 60


class Command(IdempotentCommand):
    help = "Print lines, for the measurements."
    migration_name = "print_lines_2026_11_21"
    atomic = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--lines", type=int, default=100)
        parser.add_argument("--rate", type=float, default=0, help="Lines a second; 0: as many as the work allows.")
        parser.add_argument("--work", type=int, default=0, help="How much is computed for each line.")
        parser.add_argument("--report", default="", help="A file for what was measured.")

    def perform_migration(self, dry_run: bool = False) -> Any:
        count, rate, work = (self.options[name] for name in ("lines", "rate", "work"))
        held: list[float] = []
        longest_step = 0.0
        body = b"x" * 64
        began, used = time.perf_counter(), time.process_time()
        for number in range(1, count + 1):
            step = time.perf_counter()
            for _ in range(work):
                hashlib.sha256(body).digest()
            if rate:
                ahead = began + number / rate - time.perf_counter()
                if ahead > 0.002:
                    time.sleep(ahead)
                    step = time.perf_counter()
            before = time.perf_counter()
            self.stdout.write(f"{number} {time.time():.4f} {FILLER}")
            after = time.perf_counter()
            held.append(after - before)
            longest_step = max(longest_step, after - step)
        took = time.perf_counter() - began
        if self.options["report"]:
            held.sort()
            found = {
                "took": took,
                "cpu": time.process_time() - used,
                "longest_step": longest_step,
                "longest": held[-1],
                "p999": held[int(len(held) * 0.999) - 1],
            }
            Path(self.options["report"]).write_text(json.dumps(found))
        return count
