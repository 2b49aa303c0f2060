"""How long a run was worked on: the time of its attempts, not that between them."""

from __future__ import annotations

from .models import Attempt, Run


def note(run_id: int) -> None:
    """Add up the attempts that have ended: to be called with each end, in its transaction.

    All of them each time: an attempt that was taken for dead, and had only been out of sight, ends twice.
    """
    ended = Attempt.objects.filter(run=run_id, started_at__isnull=False, ended_at__isnull=False)
    spans = [(each.started_at, each.ended_at) for each in ended]
    seconds = sum(max((end - start).total_seconds(), 0.0) for start, end in spans if start and end)
    Run.objects.filter(pk=run_id).update(worked_seconds=seconds)
