"""A message that does nothing but come through the queue: proof that the workers of its cluster take tasks.

Workers that beat prove only that they are there. After the death of an idle worker a cluster may take no task any
more while everything about it looks alive (django-q2 issue 23).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime

from django.db.utils import Error
from django.utils.dateparse import parse_datetime

from data_migrations import databases

from . import conf, presence, queue, spool
from .models import Canary

logger = logging.getLogger("console")

# An unanswered one is sent again ever so often, since its message may be lost: no more than a few messages an hour,
# however long nobody answers.
AGAIN_SECONDS = 15 * 60


@dataclass(frozen=True)
class Answer:
    """An answer that could not be written yet."""

    cluster: str
    sent_at: datetime
    came: float
    """When it came, by ``time.monotonic``."""


# Of this process: which canary it saw last, and from when on it sends that one again.
_again: tuple[datetime | None, float] = (None, 0.0)
_pending: Answer | None = None


def send_if_due() -> bool:
    """Send a canary when the last one was answered long enough ago. Of several workers that try, one does.

    Returns:
        Whether one was sent.

    Raises:
        Error: the console's database does not answer.
    """
    seconds = conf.get("CANARY_SECONDS")
    if not seconds or presence.is_draining():
        return False
    cluster = queue.cluster()
    now = databases.now(spool.alias())
    canary, _ = Canary.objects.get_or_create(cluster=cluster)
    if canary.sent_at is None or is_answered(canary):
        if canary.sent_at is not None and (now - canary.sent_at).total_seconds() < seconds:
            return False
        if not Canary.objects.filter(pk=canary.pk, sent_at=canary.sent_at).update(sent_at=now):
            return False
        if _send(cluster, now):
            return True
        # Nothing is on its way: the next round tries again.
        Canary.objects.filter(pk=canary.pk, sent_at=now).update(sent_at=canary.sent_at)
        return False
    return _is_to_be_sent_again(canary, now) and _send(cluster, canary.sent_at)


def is_answered(canary: Canary) -> bool:
    """Whether the last one that was sent came through."""
    return canary.sent_at is not None and canary.answered_at is not None and canary.answered_at >= canary.sent_at


def _is_to_be_sent_again(canary: Canary, now: datetime) -> bool:
    """Whether this process sends an unanswered one again: a new one at once, as its cluster may be the cure."""
    global _again
    sent_at, at = _again
    if canary.sent_at is None or (now - canary.sent_at).total_seconds() < conf.get("CANARY_LATE_SECONDS"):
        _again = (canary.sent_at, time.monotonic() + AGAIN_SECONDS)
        return False
    if sent_at == canary.sent_at and time.monotonic() < at:
        return False
    _again = (canary.sent_at, time.monotonic() + AGAIN_SECONDS)
    return True


def _send(cluster: str, sent_at: datetime) -> bool:
    try:
        queue.send_canary(cluster, sent_at.isoformat())
    except queue.QueueUnreachable as error:
        logger.warning("The canary could not be sent: %s.", error)
        return False
    return True


def answer(cluster: str, sent_at: str) -> None:
    """Write that a canary came through. This is what the queue calls; nothing leaves it, whatever happens."""
    global _pending
    when = parse_datetime(sent_at)
    if when is None:
        return
    _pending = Answer(cluster, when, time.monotonic())
    try:
        settle()
    except Error:
        # On SQLite in one file a run may hold it. It came through all the same: the next beat writes it.
        logger.debug("The answer of the canary could not be written yet.", exc_info=True)
    except Exception:
        logger.exception("The answer of the canary could not be written.")


def settle() -> None:
    """Write an answer that could not be written when it came.

    Raises:
        Error: nor can it now.
    """
    global _pending
    answer = _pending
    if answer is None:
        return
    now = databases.now(spool.alias())
    late = time.monotonic() - answer.came
    Canary.objects.filter(cluster=answer.cluster, sent_at=answer.sent_at).update(
        answered_at=now,
        took=max(0.0, (now - answer.sent_at).total_seconds() - late),
        answered_by=presence.name(),
    )
    if _pending is answer:
        _pending = None
