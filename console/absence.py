"""Data migrations that this process does not know, though others did: newer than it, or deleted?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from data_migrations import clock, registry
from data_migrations.reporting import Door

from . import conf
from .models import Run


@dataclass(frozen=True)
class Absence:
    """What can be said of it: whether its code seems to be newer than this web server, and why that is so."""

    is_newer: bool
    why: str


def explain(seen: Mapping[str, datetime | None]) -> dict[str, Absence]:
    """What can be said of each of the names.

    Args:
        seen: when a process with their code was last at work on them; None where nobody knows.
    """
    on_disk = registry.newer_on_disk(seen)
    return {name: _absence(at, on_disk.get(name)) for name, at in seen.items()}


def of_run(run: Run) -> Absence | None:
    """The same of a run's data migration; None where it never was a command, or is one here."""
    if run.door == Door.CODE:
        return None
    found = explain({run.migration: run.requested_at})[run.migration]
    here = conf.get("RELEASE")
    if run.release and here and run.release != here:
        return Absence(found.is_newer, f"{found.why} The run is of release {run.release}, this web server of {here}.")
    return found


def _absence(at: datetime | None, command: str | None) -> Absence:
    since = registry.known_since()
    moment = f"{timezone.localtime(since):%Y-%m-%d %H:%M:%S %Z}"
    if command is not None:
        return Absence(
            True,
            f"The command {command} on the web server's disk has it, but was written after the server had looked there "
            f"({moment}): restart the web server, and the workers.",
        )
    if at is None:
        return Absence(False, "It was deleted, or is newer than this web server.")
    if clock.aware(at) > since:
        return Absence(
            True,
            f"It was in use after the web server had read its code ({moment}), so it may be newer than that: restart "
            "the web server with the code that has it.",
        )
    return Absence(
        False,
        f"It was last in use before the web server read its code ({moment}), so it was probably deleted since; or it "
        "is in the code of other servers only.",
    )
