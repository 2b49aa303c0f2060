"""What may be asked of a run that is under way: pause, resume, cancel, force stop, another batch size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_migrations.reporting import Door

from . import dispatch, endings, standing
from .models import Control, Run
from .states import ACTIVE, PLANNED, RESUMABLE, Status, is_now

CANCELLABLE = (*PLANNED, *ACTIVE, Status.PAUSED, Status.INTERRUPTED)
TUNABLE = (*ACTIVE, Status.PAUSED, Status.INTERRUPTED)


@dataclass(frozen=True)
class Verb:
    """One thing to ask of a run.

    Args:
        word: the last part of its page's address.
        label: of the button; the dots say that a page asks again.
        question: title of that page, after which comes "run 41?".
        yes: of the button there.
        done: what is said after it was asked for, of the run as it is then.
        permission: of the console's permission hooks.
        statuses: in which the button is shown.
        why_not: why it cannot be done now; empty when it can.
        act: asks for it; False when somebody was faster.
    """

    word: str
    label: str
    question: str
    yes: str
    done: Callable[[Run], str]
    permission: str
    statuses: tuple[Status, ...]
    why_not: Callable[[Run], str]
    act: Callable[[int, Any], bool]

    def is_offered(self, run: Run) -> bool:
        """Whether there is a button for it at all."""
        if run.status not in self.statuses:
            return False
        return self.word != "pause" or run.in_batches


def why_not_pause(run: Run) -> str:
    """Why a run cannot be paused now; empty when it can."""
    if run.status != Status.RUNNING:
        return f"It {is_now(run.status)}: only a running run can be paused."
    if not run.in_batches:
        return "It does not work in batches, so it could not go on where it stopped. Cancel it instead."
    return _outside(run) or _asked(run)


def why_not_resume(run: Run) -> str:
    """Why a run cannot be resumed now; empty when it can."""
    if run.status not in RESUMABLE:
        return f"It {is_now(run.status)}: only a paused or interrupted run can be resumed."
    if run.door != Door.WORKER:
        return f"It came from outside the console ({run.door}); start it there again, or run it from here."
    return _other(run) or _taken_over(run)


def _taken_over(run: Run) -> str:
    later = Run.objects.of(run.migration).filter(standing.TAKEN_OVER, database=run.database, pk__gt=run.pk).first()
    if later is None or run.status != Status.PAUSED:
        return ""
    return f"Run {later.pk} came after it and took its place. To go on, run it again; this one can be cancelled."


def _other(run: Run) -> str:
    other = Run.objects.active().of(run.migration).filter(database=run.database).exclude(pk=run.pk).first()
    if other is not None:
        return f"Run {other.pk} of it {is_now(other.status)}; wait for it, or cancel it."
    return ""


def why_not_cancel(run: Run) -> str:
    """Why a run cannot be cancelled now; empty when it can."""
    if run.status not in CANCELLABLE:
        return f"It {is_now(run.status)}: there is nothing left to cancel."
    if run.status == Status.RUNNING:
        return _outside(run) or ("" if run.control == Control.PAUSE else _asked(run))
    return ""


def why_not_start(run: Run) -> str:
    """Why a scheduled run cannot be started before its time; empty when it can."""
    if run.status != Status.SCHEDULED:
        return f"It {is_now(run.status)}: only a scheduled run can be started before its time."
    if run.fingerprint:
        return "It was approved for its time; to start it before, ask for it anew and have that approved."
    return _other(run)


def why_not_force(run: Run) -> str:
    """Why a run cannot be stopped by force now; empty when it can."""
    if run.status != Status.RUNNING:
        return f"It {is_now(run.status)}: there is nothing to stop."
    return _outside(run) or (_asked(run) if run.control == Control.FORCE else "")


def why_not_tune(run: Run) -> str:
    """Why batch size and pause cannot be changed now; empty when they can."""
    if not run.in_batches:
        return "It does not work in batches."
    return "" if run.status in TUNABLE else f"It {is_now(run.status)}."


def _outside(run: Run) -> str:
    if run.door != Door.WORKER:
        return f"It runs outside the console ({run.door}); stop it where it was started."
    return ""


def _asked(run: Run) -> str:
    return endings.asked(run.control, run.control_by, in_batches=run.in_batches)


def _simply(text: str) -> Callable[[Run], str]:
    return lambda run: text


def _cancelled(run: Run) -> str:
    if run.status == Status.CANCELLED:
        return "It is cancelled."
    return f"It was asked to stop, and is cancelled {endings.halt(in_batches=run.in_batches)}."


PAUSE = Verb(
    "pause", "Pause…", "Pause", "Yes, pause it", _simply("It was asked to pause, and stops after its present batch."),
    "has_cancel_permission", (Status.RUNNING,), why_not_pause, dispatch.request_pause,
)  # fmt: skip
RESUME = Verb(
    "resume", "Resume…", "Resume", "Yes, resume it", _simply("It waits for a worker, and goes on from there."),
    "has_cancel_permission", RESUMABLE, why_not_resume, dispatch.request_resume,
)  # fmt: skip
START = Verb(
    "start", "Start now…", "Start", "Yes, start it now", _simply("It waits for a worker."),
    "has_run_permission", (Status.SCHEDULED,), why_not_start, dispatch.request_start,
)  # fmt: skip
CANCEL = Verb(
    "cancel", "Cancel…", "Cancel", "Yes, cancel it", _cancelled,
    "has_cancel_permission", CANCELLABLE, why_not_cancel, dispatch.request_cancel,
)  # fmt: skip
FORCE = Verb(
    "force", "Force stop…", "Force stop", "Yes, stop it by force", _simply("It is being stopped by force."),
    "has_force_stop_permission", (Status.RUNNING,), why_not_force, dispatch.request_force,
)  # fmt: skip
VERBS = {verb.word: verb for verb in (PAUSE, RESUME, START, CANCEL, FORCE)}
