"""What the end of an attempt means for its run: the status that it takes, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from data_migrations.exceptions import MigrationFailed, OutsideWindow, QuarantineNotEmpty, StoppedEarly
from data_migrations.reporting import Outcome, OutcomeKind, RunInfo

from .lines import clean
from .masking import Masker
from .states import BY_FORCE, Status

# A traceback is kept whole in the log; beside the run stands its end, which says most.
TRACEBACK_CHARACTERS = 64 * 1024
_NOTES = {
    OutcomeKind.ALREADY_APPLIED: "Already applied: nothing was done.",
    OutcomeKind.NOT_APPLIED: "Not applied: there was nothing to reverse.",
}
# What a run that found nothing to do says of itself in the end.
NOTHING_DONE = tuple(_NOTES.values())


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Attributes:
        outcome: the same in a few words, for the attempt.
        fields: columns of the run that come with it.
    """

    status: Status
    outcome: str
    fields: dict[str, Any] = field(default_factory=dict)


class Kept(NamedTuple):
    """What is kept of a run that stopped, and from where it goes on, as parts of a sentence; and whether it does.

    One that does not begins anew.
    """

    what: str
    onwards: str
    goes_on: bool = False

    @classmethod
    def of(cls, run: RunInfo) -> Kept:
        """As the kind of the run has it."""
        if run.in_batches and not (run.dry_run or run.reverse):
            return cls("Its finished batches are kept", "after them", goes_on=True)
        if run.atomic or run.dry_run:
            return cls("Nothing of it was kept", "from its beginning")
        return NOT_ATOMIC


NOT_ATOMIC = Kept("What it did until then is kept", "from its beginning")


def of_outcome(outcome: Outcome, mask: Masker) -> Ending:
    """It came to its end."""
    return Ending(
        Status.SUCCEEDED,
        outcome.kind.value,
        {
            "note": _NOTES.get(outcome.kind, ""),
            "result": mask.lines(clean(outcome.result)),
            "affected_rows": outcome.affected_rows,
            "changes": [
                {"table": c.table, "inserted": c.inserted, "updated": c.updated, "deleted": c.deleted}
                for c in outcome.changes
            ],
            "emails_held": outcome.emails_held,
            "samples": [_masked(sample, mask) for sample in outcome.samples],
            **(_rehearsed(outcome, mask) if outcome.kind == OutcomeKind.DRY_RUN else {}),
        },
    )


def words(error: BaseException) -> str:
    """What is said of an error: what happened, and in a line of its own what is kept.

    What to do next is said where it is shown: a page has buttons for it, a notice its own sentence.
    """
    if isinstance(error, MigrationFailed):
        return "\n".join(part for part in (error.what, error.kept) if part) or type(error).__name__
    return str(error) or type(error).__name__


def _rehearsed(outcome: Outcome, mask: Masker) -> dict[str, Any]:
    """What is known of a dry run alone."""
    aside = outcome.set_aside
    keys = [mask.lines(clean(key)) for key in aside.keys]
    return {
        "estimated_seconds": outcome.estimated_seconds,
        "estimated_pauses": outcome.estimated_pauses,
        "set_aside": {"count": aside.count, "keys": keys} if aside.count else None,
    }


def of_error(error: BaseException, message: str, traceback: str) -> Ending:
    """It failed; message and traceback come masked."""
    kind = type(error)
    return Ending(
        Status.FAILED,
        "rows were set aside" if kind is QuarantineNotEmpty else kind.__qualname__,
        {
            "error_class": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")[:200],
            "error_message": message,
            "traceback": traceback[-TRACEBACK_CHARACTERS:],
        },
    )


def halt(*, in_batches: bool) -> str:
    """Where a run stops that is asked to."""
    return "after its present batch" if in_batches else "at its next safe point"


def asked(control: str, by: str, *, in_batches: bool) -> str:
    """What a person asked of a run that is going on, in a sentence; empty where it was none."""
    who = f" by {by}" if by else ""
    match control:
        case "pause":
            return f"Pausing was asked for{who}; it stops {halt(in_batches=in_batches)}."
        case "cancel":
            return f"Cancelling was asked for{who}; it stops {halt(in_batches=in_batches)}."
        case "force":
            return f"It is being stopped by force, as asked for{who}."
    return ""


def by_force(by: str) -> str:
    """That it was stopped by force, and for whom; without a full stop."""
    return f"{BY_FORCE}{f', asked for by {by}' if by else ''}"


def of_stop(
    error: StoppedEarly,
    message: str,
    *,
    control: str,
    by: str,
    kept: Kept,
    in_worker: bool,
    put_off: Callable[[datetime], dict[str, Any]] | None,
) -> Ending:
    """It was stopped.

    Args:
        control: what somebody asked for on the pages, if that is what stopped it.
        by: who that was.
        in_worker: whether a worker did it, to whom it can be handed again.
        put_off: gives what is stored of a run that is to go on at a later moment.
    """
    if isinstance(error, OutsideWindow) and put_off is not None and not control:
        return Ending(Status.SCHEDULED, "stopped: window", {"note": message, **put_off(error.opens_at)})
    if control == "pause":
        # The error's own words are for a shell, where one runs it again.
        status, message = Status.PAUSED, f"{kept.what}; “Resume…” lets this same run go on {kept.onwards}."
    elif in_worker and control not in ("cancel", "force"):
        # Not a person but the worker's end stopped it: it goes back into the queue.
        status = Status.ENQUEUED
        message = (
            f"The worker that had it was asked to stop. {kept.what}; it goes on by itself {kept.onwards}, "
            "as soon as a worker is free."
        )
    else:
        status = Status.CANCELLED
        if control in ("cancel", "force"):
            who = by_force(by) if control == "force" else f"Cancelled{f' by {by}' if by else ''}"
            again = "" if kept.goes_on else " Another run begins anew."
            message = f"{who}. {error.kept}{again}".strip()
    why = error.reason if control == "force" else control or error.reason
    return Ending(status, f"stopped: {why}", {"note": message})


def of_rollback(*, forced: bool) -> Ending:
    """The transaction that somebody else had around it did not commit."""
    next_step = (
        "Its record stays as it was; mend the cause, and only another forced run does it again."
        if forced
        else "It was not recorded as applied; mend the cause and run it again."
    )
    said = f"The transaction around this run was rolled back, so nothing of it was kept. {next_step}"
    return Ending(Status.FAILED, "rolled back", {"error_message": said})


def _masked(value: Any, mask: Masker) -> Any:
    """A sample row, with what must not be stored masked in its texts."""
    if isinstance(value, dict):
        return {key: _masked(item, mask) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    text = mask.lines(clean(value))
    # Where it was cut, what is left may be the beginning of a secret.
    return f"{mask.beginning(text[:-1])}…" if text.endswith("…") else text
