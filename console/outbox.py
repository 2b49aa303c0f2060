"""Sending the notices that are due: by any worker, each once, tried again with growing pauses, then given up.

A notice is claimed by compare-and-set before it is sent and marked after. A process that is killed in between has
perhaps sent it, so it is sent again: at least once, never lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import Context
from datetime import datetime, timedelta
from functools import partial

from django.db import connections
from django.db.models import QuerySet
from django.db.utils import Error

from data_migrations import databases

from . import channels, conf, notices, presence, spool, wording
from .channels import NobodyToTell, NotSent
from .masking import Masker
from .models import Notice
from .threads import ConsoleThread

logger = logging.getLogger("console")

# Who has claimed a notice and does not say what became of it in this time has died over it.
CLAIM = timedelta(minutes=10)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
# Seconds between two tries to write down that a notice was sent.
MARK_PAUSE = 1.0
DIED = "The process that sent it ended before it could say how that went."

_threads: dict[str, ConsoleThread] = {}


def tick() -> None:
    """Have what is due sent, each channel by a thread of its own: a server that hangs holds up nobody else."""
    notices.look_around()
    for channel in _due(_now()).order_by().values_list("channel", flat=True).distinct()[:50]:
        thread = _threads.get(channel)
        if thread is None or not thread.is_alive():
            thread = ConsoleThread(f"console notices by {channel}", partial(_send_quietly, channel))
            _threads[channel] = thread
            thread.start()


def _send_quietly(channel: str) -> None:
    try:
        spool.prepare_connection()
        send_due(channel, go_on=lambda: not presence.is_draining())
    except Error as error:
        logger.warning("Notices by %s wait: the console's database does not answer: %s", channel, error)
    except Exception:
        logger.exception("Notices by %s could not be looked after; the next round tries again.", channel)


def send_due(channel: str | None = None, *, go_on: Callable[[], bool] = lambda: True) -> tuple[int, int]:
    """Send what is due now, by one channel or by all; gives how many were sent, and how many were not."""
    sent = failed = 0
    until = _now()
    while go_on():
        due = _due(until)
        if channel is not None:
            due = due.filter(channel=channel)
        notice = due.select_related("run").order_by("due_at", "pk").first()
        if notice is None:
            break
        if not _claim(notice):
            continue
        # What a dry run of this very thread holds back are the migration's e-mails, not ours.
        if Context().run(_try, notice):
            sent += 1
        else:
            failed += 1
    return sent, failed


def retry() -> int:
    """Have all that was given up tried again from the start; gives how many."""
    given_up = Notice.objects.filter(due_at=None, sent_at=None, tries__gt=0)
    return given_up.update(due_at=_now(), tries=0)


def pause(tries: int) -> timedelta:
    """How long to wait after so many tries in vain: a minute, twice as long each time, an hour at most."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 10))


def _now() -> datetime:
    return databases.now(spool.alias())


def _due(until: datetime) -> QuerySet[Notice]:
    return Notice.objects.filter(due_at__lte=until)


def _claim(notice: Notice) -> bool:
    """Take a notice for ourselves; False when somebody else has it, or when it has been tried often enough."""
    mine = Notice.objects.filter(pk=notice.pk, due_at=notice.due_at, tries=notice.tries)
    if notice.tries >= conf.get("NOTIFY_TRIES"):
        mine.update(due_at=None, error=notice.error or DIED)
        return False
    if not mine.update(due_at=_now() + CLAIM, tries=notice.tries + 1):
        return False
    notice.tries += 1
    return True


def _try(notice: Notice) -> bool:
    """Send a notice that is ours, and write down what became of it."""
    link = wording.link(notice.run_id)
    text = f"{notice.text}\n\n{link}\n" if link else f"{notice.text}\n"
    pk = notice.run.requested_by_pk if notice.run else ""
    try:
        channels.send(notice.channel, notice.subject, text, ident=notice.once_key, requester_pk=pk)
    except NobodyToTell as error:
        _mark(notice, due_at=None, tries=0, error=str(error))
        return False
    except Exception as error:
        _failed(notice, str(error) if isinstance(error, NotSent) else f"{type(error).__name__}: {error}")
        return False
    _mark(notice, due_at=None, sent_at=_now(), error="")
    return True


def _failed(notice: Notice, reason: str) -> None:
    error = Masker().lines(wording.line(reason, 1000))
    if notice.tries >= conf.get("NOTIFY_TRIES"):
        logger.error("The notice %s by %s was given up: %s", notice.pk, notice.channel, error)
        _mark(notice, due_at=None, error=error)
    else:
        logger.warning(
            "The notice %s by %s could not be sent, and is tried again: %s", notice.pk, notice.channel, error
        )
        _mark(notice, due_at=_now() + pause(notice.tries), error=error)


def _mark(notice: Notice, **fields: object) -> None:
    """Write what became of a notice, unless somebody else has it by now; a database that is busy is waited for."""
    connection = connections[spool.alias()]
    tries = notice.tries
    for left in reversed(range(5)):
        try:
            Notice.objects.filter(pk=notice.pk, tries=tries).update(**fields)
            return
        except Error:
            if not left or connection.in_atomic_block:
                raise
            connection.close_if_unusable_or_obsolete()
            time.sleep(MARK_PAUSE)
