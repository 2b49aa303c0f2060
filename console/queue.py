"""The bell that wakes a worker: the only module that knows django-q2.

A message carries nothing but a run's id. The Run row is the truth; a message that comes twice,
late or not at all changes nothing but the moment at which a worker looks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Min, QuerySet
from django.db.utils import Error
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.cluster import Sentinel
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.signals import post_spawn
from django_q.tasks import async_task

from . import conf
from .threads import within

PERFORM = "console.worker.perform"
ANSWER = "console.canary.answer"
# A broker that needs longer to count its messages is not well.
ANSWER_SECONDS = 3.0

# The event that the cluster sets when it is asked to stop; known in its workers only.
_stop_event: Any = None
# The process that made this worker and feeds it.
_feeder: int | None = None


class QueueUnreachable(Exception):
    """The queue of the workers cannot be reached."""


def ring(run_id: int) -> None:
    """Tell the workers that there is a run. Call it after the commit of the transaction that stored it.

    Raises:
        QueueUnreachable: with the reason.
    """
    _send(PERFORM, run_id, name=f"run {run_id}")


def send_canary(cluster: str, sent_at: str) -> None:
    """Send a message that does nothing but come through; given up after a few seconds.

    Raises:
        QueueUnreachable: with the reason.
    """
    if Conf.ORM:
        _send(ANSWER, cluster, sent_at, name="canary")
        return
    try:
        # A server that is away may let one wait for minutes, and a worker's signs of life wait with it.
        within(ANSWER_SECONDS, lambda: _send(ANSWER, cluster, sent_at, name="canary"))
    except TimeoutError as error:
        raise QueueUnreachable(str(error)) from error


def _send(function: str, *arguments: Any, name: str) -> None:
    try:
        if _would_close_connections_in_use():
            _in_a_thread(lambda: _put(function, *arguments, name=name))
        else:
            _put(function, *arguments, name=name)
    except Exception as error:
        raise QueueUnreachable(f"{type(error).__name__}: {error}") from error


def _put(function: str, *arguments: Any, name: str) -> None:
    async_task(function, *arguments, q_options=_options(name))


def _options(name: str) -> dict[str, Any]:
    """Not as the task's own arguments: of those names such as "timeout" would be taken out."""
    return {
        "task_name": name,
        "group": "data migrations",
        # An int: with None a worker dies at each task.
        "timeout": int(conf.get("TASK_TIMEOUT_SECONDS")),
        "cluster": conf.get("CLUSTER"),
        "ack_failure": True,
        "save": False,
    }


def ring_at(run_id: int, when: datetime) -> None:
    """Have the workers told of a run at a moment, once. A time that was set before is replaced.

    Raises:
        QueueUnreachable: with the reason.
    """
    try:
        using = router.db_for_write(Schedule)
        with transaction.atomic(using=using):
            _schedules(run_id).delete()
            Schedule.objects.create(
                name=f"run {run_id}",
                func=PERFORM,
                args=f"({run_id},)",
                kwargs=repr({"q_options": _options(f"run {run_id}")}),
                schedule_type=Schedule.ONCE,
                next_run=when,
                cluster=conf.get("CLUSTER"),
            )
    except Error as error:
        raise QueueUnreachable(f"{type(error).__name__}: {error}") from error


def ring_not(run_id: int) -> None:
    """Take back what ``ring_at`` has set.

    Raises:
        QueueUnreachable: with the reason.
    """
    try:
        _schedules(run_id).delete()
    except Error as error:
        raise QueueUnreachable(f"{type(error).__name__}: {error}") from error


def _schedules(run_id: int) -> QuerySet[Any]:
    return Schedule.objects.filter(func=PERFORM, name=f"run {run_id}")


def _would_close_connections_in_use() -> bool:
    """Whether sending from this thread would lose somebody's rows.

    Outside a transaction of its own database the ORM broker closes all of the thread's connections,
    also one that is in the middle of a transaction (django-q2 issue 293).
    """
    if not Conf.ORM or Conf.SYNC or not transaction.get_autocommit(using=Conf.ORM):
        return False
    return any(connection.in_atomic_block for connection in connections.all(initialized_only=True))


def _in_a_thread(action: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="console bell", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def waiting() -> int:
    """How many messages lie in the queue, whoever's they are.

    Raises:
        QueueUnreachable: it cannot be asked.
    """
    try:
        if Conf.ORM:
            # The broker itself would close this thread's connections, in the middle of a request's transaction too.
            return _visible().count()
        # A server that is away may let one wait for minutes.
        return within(ANSWER_SECONDS, lambda: int(get_broker(conf.get("CLUSTER")).queue_size() or 0))
    except Exception as error:
        raise QueueUnreachable(f"{type(error).__name__}: {error}") from error


def waiting_since() -> datetime | None:
    """Since when the oldest message lies in the queue; None where there is none, or where the broker cannot tell.

    Raises:
        QueueUnreachable: it cannot be asked.
    """
    if not Conf.ORM:
        return None
    try:
        since: datetime | None = _visible().aggregate(oldest=Min("lock"))["oldest"]
        return since
    except Exception as error:
        raise QueueUnreachable(f"{type(error).__name__}: {error}") from error


def _visible() -> QuerySet[Any]:
    found: QuerySet[Any] = OrmQ.objects.using(Conf.ORM).filter(key=cluster(), lock__lte=timezone.now())
    return found


def cluster() -> str:
    """The name of the cluster that works on data migrations."""
    return str(conf.get("CLUSTER") or Conf.CLUSTER_NAME)


def on_worker(start: Callable[[], None], end: Callable[[], None]) -> None:
    """Have something done in each worker process of the queue, right after it was made and where it ends by itself."""

    def started(**kwargs: Any) -> None:
        global _stop_event, _feeder
        _stop_event = _find_stop_event(sys._getframe())
        _feeder = os.getppid()
        # The children of multiprocessing do not come to what atexit has.
        Finalize(None, end, exitpriority=100)
        start()

    # A strong reference: the function is known nowhere else.
    post_spawn.connect(started, weak=False, dispatch_uid="console.presence")


def _find_stop_event(frame: FrameType | None) -> Any:
    """The cluster's stop event.

    A worker is forked from within its sentinel's methods and is not told of it; but the sentinel is
    still on the stack. Where it is not (another start method), a worker that stops is not noticed
    until it is gone, and its run is rescued.
    """
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Sentinel):
            return owner.stop_event
        frame = frame.f_back
    return None


def is_stopping() -> bool:
    """Whether the cluster of this worker process was asked to stop, or is gone and left the worker behind."""
    if _stop_event is not None and _stop_event.is_set():
        return True
    return _feeder is not None and os.getppid() != _feeder
