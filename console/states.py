"""The statuses of a run, the changes that are allowed and why, and the one way to make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models, router, transaction
from django.db.models import F

if TYPE_CHECKING:
    from .models import Run


class Status(models.TextChoices):
    """Where a run is."""

    WAITING = "waiting", "waiting for approval"
    SCHEDULED = "scheduled", "scheduled"
    ENQUEUED = "enqueued", "enqueued"
    RUNNING = "running", "running"
    PAUSED = "paused", "paused"
    INTERRUPTED = "interrupted", "interrupted"
    CANCELLED = "cancelled", "cancelled"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"


# A run that waits for something else than a worker.
PLANNED = (Status.WAITING, Status.SCHEDULED)
# A run that waits for a worker or has one.
ACTIVE = (Status.ENQUEUED, Status.RUNNING)
# A run that came to its end.
FINISHED = (Status.CANCELLED, Status.SUCCEEDED, Status.FAILED)
# A run that stopped to go on where it was.
RESUMABLE = (Status.PAUSED, Status.INTERRUPTED)
# How the note of one begins that was cancelled in this way.
BY_FORCE = "Stopped by force"
# A run of which no line comes any more, until somebody resumes it.
OVER = (*FINISHED, Status.PAUSED)

TRANSITIONS: dict[tuple[Status, Status], str] = {
    (Status.WAITING, Status.ENQUEUED): "a second person approved it",
    (Status.WAITING, Status.SCHEDULED): "a second person approved it, and its time has not come",
    (Status.WAITING, Status.CANCELLED): "it was rejected or withdrawn, or nobody approved it in time",
    (Status.SCHEDULED, Status.ENQUEUED): "its time has come, or a person starts it before",
    (Status.SCHEDULED, Status.CANCELLED): "a person cancelled it before its time came",
    (Status.ENQUEUED, Status.RUNNING): "a worker claimed it",
    (Status.ENQUEUED, Status.CANCELLED): "a person cancelled it before a worker took it",
    (Status.ENQUEUED, Status.FAILED): "the queue could not be reached, or it cannot be run any more",
    (Status.RUNNING, Status.SUCCEEDED): "the work is done",
    (Status.RUNNING, Status.FAILED): "the work raised an error or was refused",
    (Status.RUNNING, Status.CANCELLED): "it stopped at a safe point because a person cancelled it",
    (Status.RUNNING, Status.PAUSED): "it stopped at a safe point because a person paused it",
    (Status.RUNNING, Status.ENQUEUED): "its worker was asked to stop and gave it back",
    (Status.RUNNING, Status.SCHEDULED): "its daily window closed; it goes on when that opens again",
    (Status.RUNNING, Status.INTERRUPTED): "its process is gone, or gives no sign of life",
    (Status.PAUSED, Status.ENQUEUED): "a person resumed it",
    (Status.PAUSED, Status.CANCELLED): "a person cancelled it while it was paused",
    (Status.INTERRUPTED, Status.ENQUEUED): "it is safe to take up again, or a person asked for it",
    (Status.INTERRUPTED, Status.CANCELLED): "a person closed it, or its process had stopped for one",
    (Status.INTERRUPTED, Status.SUCCEEDED): "its process was only out of sight and had finished",
    (Status.INTERRUPTED, Status.FAILED): "its process was only out of sight and had failed",
    (Status.INTERRUPTED, Status.PAUSED): "its process was only out of sight and had paused",
}


def is_now(status: str) -> str:
    """The status of a run as the verb of a sentence."""
    if status in (Status.FAILED, Status.SUCCEEDED):
        return f"has {status}"
    return f"was {status}" if status in (Status.CANCELLED, Status.INTERRUPTED) else f"is {Status(status).label}"


class ForbiddenTransition(ValueError):
    """A run may not go from the one status to the other."""

    def __init__(self, source: str, target: str) -> None:
        super().__init__(f"A run may not go from {source} to {target}.")


Listener = Callable[[int, Status], None]

_listeners: dict[Status, list[Listener]] = {}


def listen(statuses: Iterable[Status], listener: Listener) -> None:
    """Have a function called with the run's id and status whenever a run gets one of the statuses.

    It is called in the transaction of the change, and must not raise.
    """
    for status in statuses:
        heard = _listeners.setdefault(status, [])
        if listener not in heard:
            heard.append(listener)


@contextmanager
def locked(run_id: int) -> Iterator[None]:
    """A transaction in which the run's row is locked, by its key and before any of its indexes.

    Two that change a status at once would else wait for each other on MariaDB, and one of them would be thrown out.
    """
    model: type[Run] = apps.get_model("console", "Run")
    with transaction.atomic(using=router.db_for_write(model)):
        list(model.objects.select_for_update().filter(pk=run_id).values_list("pk"))
        yield


def transition(
    run_id: int,
    to: Status,
    *,
    expect: Status | Iterable[Status],
    attempt: int | None = None,
    next_attempt: bool = False,
    where: Mapping[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Change a run's status, if it still has one of the statuses in ``expect``.

    Args:
        run_id: primary key of the run.
        to: the new status.
        expect: the statuses that the run may have now; each must be allowed to go to ``to``.
        attempt: when given, the run must also still be on this attempt.
        next_attempt: count the attempt up, which makes all that earlier ones write void.
        where: what else must still hold of the row.
        fields: what else to store with it, in the same UPDATE.

    Returns:
        Whether the change was made. False: somebody else was faster.

    Raises:
        ForbiddenTransition: the table does not allow it; a mistake in the program.
    """
    sources = [expect] if isinstance(expect, str) else list(expect)
    for source in sources:
        if (Status(source), to) not in TRANSITIONS:
            raise ForbiddenTransition(source, to)
    model: type[Run] = apps.get_model("console", "Run")
    runs = model.objects.filter(pk=run_id, status__in=sources, **(where or {}))
    if attempt is not None:
        runs = runs.filter(attempt=attempt)
    if next_attempt:
        fields["attempt"] = F("attempt") + 1
    listeners = _listeners.get(to)
    if not listeners:
        return runs.update(status=to, **fields) == 1
    with transaction.atomic(using=router.db_for_write(model)):
        if runs.update(status=to, **fields) != 1:
            return False
        for listener in listeners:
            listener(run_id, to)
    return True
