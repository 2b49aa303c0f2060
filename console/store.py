"""Appending to a run's log in the database: chunks without gaps, under the attempt's fence, under the cap."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F

from data_migrations import clock

from . import conf, spool
from .journal import Line
from .models import Attempt, LogChunk, Run

# What a line costs beside its text; so that a log of empty lines comes under the cap, too.
LINE_OVERHEAD = 16


class TurnedAway(Exception):
    """A newer attempt has the run: this writer may add nothing to its log any more."""


class Raced(Exception):
    """Somebody else stored these lines: look again at how far the log is."""


def append(run_id: int, lines: Sequence[Line], *, fence: int | None = None, skipped: int = 0) -> int:
    """Add lines at the end of a run's log, in the current or a new transaction.

    Args:
        lines: at most a few hundred; their indexes do not matter here.
        fence: the attempt that must still be the run's newest; None for words of the console itself.
        skipped: how many numbers to pass over first, for lines that were lost.

    Returns:
        The number of the first line.

    Raises:
        TurnedAway: the fence does not hold, or the run is gone.
    """
    texts = [line.text for line in lines]
    size = sum(len(text.encode()) + LINE_OVERHEAD for text in texts)
    at = lines[0].at
    meta = [[round((line.at - at) * 1000), line.level] for line in lines]
    with transaction.atomic(using=spool.alias()):
        runs = Run.objects.filter(pk=run_id)
        if fence is not None:
            runs = runs.filter(attempt=fence)
        # This UPDATE locks the row to the end of the transaction: chunks become visible in their order.
        if not runs.update(
            log_next=F("log_next") + skipped + len(lines),
            log_bytes=F("log_bytes") + size,
            log_kept=F("log_kept") + size,
        ):
            raise TurnedAway
        run = Run.objects.only("log_next", "log_kept", "log_head").get(pk=run_id)
        first = run.log_next - len(lines)
        LogChunk.objects.create(
            run_id=run_id,
            first=first,
            count=len(lines),
            bytes=size,
            at=clock.from_timestamp(at),
            text="\n".join(texts),
            meta=json.dumps(meta, separators=(",", ":")),
        )
        if run.log_kept > conf.get("LOG_CAP_BYTES"):
            _trim(run, newest=first)
        errors = [first + number for number, line in enumerate(lines) if line.is_error]
        if errors:
            Run.objects.filter(pk=run_id).update(error_line=errors[-1])
    return first


def append_once(run_id: int, attempt: Attempt, lines: Sequence[Line], *, fence: int | None) -> None:
    """Add lines of an attempt's journal, each of them once, whoever else tries too.

    ``attempt.stored`` is moved on; lines that it has passed already must have been left out.

    Raises:
        TurnedAway: a newer attempt has the run.
        Raced: somebody else stored them; ``attempt`` must be read again.
    """
    expected = attempt.stored
    with transaction.atomic(using=spool.alias()):
        append(run_id, lines, fence=fence, skipped=lines[0].index - expected)
        following = lines[-1].index + 1
        if not Attempt.objects.filter(pk=attempt.pk, stored=expected).update(stored=following):
            raise Raced
    attempt.stored = following


def _trim(run: Run, newest: int) -> None:
    """Take chunks out of the middle until the log is under its cap."""
    cap = conf.get("LOG_CAP_BYTES")
    chunks = LogChunk.objects.filter(run_id=run.pk, first__lt=newest)
    head = run.log_head
    if head is None:
        head, size = 0, 0
        for first, count, weight in chunks.order_by("first").values_list("first", "count", "bytes").iterator():
            size += weight
            if size > cap // 2:
                break
            head = first + count - 1
    kept = run.log_kept
    surplus = []
    for pk, weight in chunks.filter(first__gt=head).order_by("first").values_list("pk", "bytes")[:500]:
        if kept <= cap:
            break
        surplus.append(pk)
        kept -= weight
    LogChunk.objects.filter(pk__in=surplus).delete()
    Run.objects.filter(pk=run.pk).update(log_head=head, log_kept=kept)
