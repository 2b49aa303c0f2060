"""What workers do beside their runs: sending notices, and taking away what is old. Neither holds up anything else."""

from __future__ import annotations

import logging

from . import outbox, retention

logger = logging.getLogger("console")

_failing: set[str] = set()


def tick() -> None:
    """Begin what is due, in threads of its own; never raises."""
    for name, begin in (("notices", outbox.tick), ("retention", retention.tick)):
        try:
            begin()
        except Exception:
            # Said once, not every few seconds.
            if name not in _failing:
                logger.warning("The worker's chore %r could not be begun; each round tries again.", name, exc_info=True)
            _failing.add(name)
        else:
            _failing.discard(name)
