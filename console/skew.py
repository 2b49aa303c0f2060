"""How far the clock of this host is from that of a database."""

from __future__ import annotations

import time
from datetime import datetime

from data_migrations import clock, databases


def measure(alias: str) -> tuple[datetime, float]:
    """The database's time, and how many seconds this host's clock is ahead of it (negative: behind).

    What the question itself may have taken counts as no difference.
    """
    before = time.time()
    now = databases.now(alias)
    after = time.time()
    ahead = (before + after) / 2 - clock.aware(now).timestamp()
    certain = max(0.0, abs(ahead) - (after - before) / 2)
    return now, certain if ahead > 0 else -certain
