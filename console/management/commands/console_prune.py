"""``manage.py console_prune``: take away what is old or too much, now."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from console import retention
from console.retention import Limits

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def size(text: str) -> int:
    """Bytes, with K, M, G or T for times of 1024."""
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no size; write it as 5G or 500M.")
    return int(match[1]) * _UNITS[match[2].upper()]


def days(text: str) -> float:
    """Days, not less than none."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 100_000:
        raise ArgumentTypeError(f"{text!r} is no number of days.")
    return value


def count(text: str) -> int:
    """A number of runs, at least one: the newest is never taken away."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of runs; at least 1 is kept.")
    return int(text)


class Command(BaseCommand):
    """Parses, has ``retention`` do it, and says what was done."""

    help = (
        "Take away logs, runs of the history and notices that are older or more than the settings allow. Never the "
        "ledger, marks and unmarks, runs that are not at their end, and the newest run of each data migration."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Each limit can be given in the place of its setting."""
        parser.add_argument("--dry-run", action="store_true", help="Say what would be taken away, and change nothing.")
        parser.add_argument("--logs-days", type=days, metavar="DAYS", help="In the place of KEEP_LOGS_DAYS.")
        parser.add_argument(
            "--logs-bytes", type=size, metavar="SIZE", help="In the place of KEEP_LOGS_BYTES; such as 500M or 5G."
        )
        parser.add_argument("--runs-days", type=days, metavar="DAYS", help="In the place of KEEP_RUNS_DAYS.")
        parser.add_argument("--runs", type=count, metavar="NUMBER", help="In the place of KEEP_RUNS.")
        parser.add_argument("--notices-days", type=days, metavar="DAYS", help="In the place of KEEP_NOTICES_DAYS.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune, or say what would go."""
        names = ("logs_days", "logs_bytes", "runs_days", "runs", "notices_days")
        given = {name: options[name] for name in names if options[name] is not None}
        limits = replace(Limits.from_settings(), **given)
        if options["dry_run"]:
            self.stdout.write(f"Would be taken away: {retention.plan(limits)}. Nothing was changed.")
        else:
            self.stdout.write(f"Taken away: {retention.prune(limits)}.")
