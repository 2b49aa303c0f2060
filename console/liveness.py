"""Whether a run that is going gives signs of life, and whether its lines are late: what can truly be said of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from . import conf, journal, spool
from .models import Run
from .states import Status

SILENT_SECONDS = 60
# Lines that wait for a moment are nothing to tell.
LATE_SECONDS = 2


@dataclass(frozen=True)
class Liveness:
    """``silent_for``: no sign of life for so long, once that is too long; None before.

    ``delayed_for``: its lines have waited for so many seconds in the spool of this host, because the console's
    database does not take them or because its process is gone; ``has_writer`` tells which. Of another host's spool
    nothing is known.
    """

    silent_for: timedelta | None = None
    delayed_for: float = 0
    has_writer: bool = False


def of(run: Run) -> Liveness:
    """What is known of a run; nothing of one that is not running."""
    if run.status != Status.RUNNING:
        return Liveness()
    silence = timezone.now() - run.heartbeat_at if run.heartbeat_at else timedelta()
    too_long = timedelta(seconds=max(SILENT_SECONDS, 3 * conf.get("HEARTBEAT_SECONDS")))
    silent_for = silence if silence > too_long else None
    try:
        path = spool.folder() / f"{run.key}-{run.attempt}"
    except OSError:
        return Liveness(silent_for)
    delayed_for = journal.delay(path, LATE_SECONDS)
    if not delayed_for:
        return Liveness(silent_for)
    lock = journal.adopt(path)
    if lock is None:
        return Liveness(silent_for, delayed_for, has_writer=True)
    os.close(lock)
    return Liveness(silent_for, delayed_for)
