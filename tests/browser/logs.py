"""Logs of any length and kind, put straight into the console's tables of a site: ``python -m tests.browser.logs``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

from tests.browser.site import ROOT, Site

CHUNK = 500
LEVELS = {10_007: "w", 100_003: "r"}
HOSTILE = (
    "<img src=x onerror=\"document.title='taken over'\">",
    "\x1b[31mred\x1b[0m \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07",
    "\x1b[38;5;196;constructor;__proto__m<b>bold</b>",
    "evil \u202etxt.exe",
    "bell \x07 back \x08 line\u2028separator",
    "👩‍👩‍👧‍👦 שלום",
    "javascript:alert(1) {{ 7*7 }} ${7*7} </script><script>document.title = 'taken over'</script>",
)


def plain(number: int) -> tuple[str, str]:
    """A line of ordinary length; a few are warnings and errors."""
    level = next((level for every, level in LEVELS.items() if number % every == 0), "o")
    return level, f"step {number}: order {number * 7919 % 1_000_003} of customer {number % 977} was given its total"


def long(number: int) -> tuple[str, str]:
    """A line of two or three rows; each fiftieth one is as long as lines may be."""
    return "o", f"step {number}: " + "lorem ipsum " * (1300 if number % 50 == 0 else 20)


def grouped(number: int) -> tuple[str, str]:
    """A group in every hundred lines, from the second to the ninetieth; an error in the third; a second attempt."""
    if number == 2001:
        return "a", "Attempt 2, on host two (pid 7)"
    if number == 250:
        return "r", "it broke"
    part, place = divmod(number, 100)
    return {2: ("g", f"Part {part}"), 90: ("h", f"Part {part}: 1.2 s")}.get(place, ("o", f"row {number}"))


def hostile(number: int) -> tuple[str, str]:
    """What a page must take for text only."""
    return "o", HOSTILE[(number - 1) % len(HOSTILE)]


KINDS: dict[str, Callable[[int], tuple[str, str]]] = {
    "plain": plain,
    "long": long,
    "grouped": grouped,
    "hostile": hostile,
}


def write(kind: str, count: int, status: str = "succeeded") -> int:
    """A run with a log of so many lines; gives its number."""
    from django.utils import timezone

    from console.models import LogChunk, Run

    began = timezone.now() - timedelta(hours=1)
    run = Run.objects.create(
        migration=f"{kind}_log", status=status, started_at=began, finished_at=timezone.now(), attempt=1,
        log_next=count + 1, requested_by="ana", reason="to look at its log",
    )  # fmt: skip
    chunks = []
    for first in range(1, count + 1, CHUNK):
        lines = [KINDS[kind](number) for number in range(first, min(first + CHUNK, count + 1))]
        text = "\n".join(text for _, text in lines)
        meta = json.dumps([[at, level] for at, (level, _) in enumerate(lines)], separators=(",", ":"))
        at = began + timedelta(milliseconds=first)
        chunks.append(LogChunk(run=run, first=first, count=len(lines), bytes=len(text), at=at, text=text, meta=meta))
        if len(chunks) >= 50:
            LogChunk.objects.bulk_create(chunks)
            chunks = []
    LogChunk.objects.bulk_create(chunks)
    return int(run.pk)


def make(site: Site, kind: str, count: int, status: str = "succeeded", runs: int = 1) -> int:
    """The same in the database of a running site; of several runs the number of the last."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.browser.logs", kind, str(count), "--status", status, "--runs", str(runs)],
        cwd=ROOT, env=site.environment(), capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return int(done.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("--status", default="succeeded")
    parser.add_argument("--runs", type=int, default=1)
    chosen = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.settings")
    import django

    django.setup()
    numbers = [write(chosen.kind, chosen.count, chosen.status) for _ in range(chosen.runs)]
    print(numbers[-1])
