"""How a run that did not come to its end is told to a person: what happened, what was kept, what next."""

from __future__ import annotations

from django.db.utils import OperationalError

from . import hints
from .exceptions import DataMigrationError, LeaseLost, MigrationFailed, StoppedEarly, VerificationFailed
from .stopping import StopFlag, StopRequested
from .words import stopped
from .work import RunRequest, Work


def named(error: BaseException, work: Work, request: RunRequest, stop: StopFlag) -> BaseException:
    """The error as one of ours; ours stay as they are."""
    name = work.migration_name
    if isinstance(error, DataMigrationError | GeneratorExit):
        return error
    if isinstance(error, OperationalError) and stop.reason is not None:
        # An interrupted statement speaks of itself: "interrupted", "canceling statement due to user request".
        error = StopRequested(stop.reason)
    if isinstance(error, StopRequested | KeyboardInterrupt):
        reason = str(error) or "KeyboardInterrupt"
        if reason == "lease lost":
            return LeaseLost()
        return StoppedEarly(
            f"{name} was stopped ({reason}).",
            reason=reason,
            kept=" ".join(part for part in (kept(work, request), record(request)) if part),
            todo=f"{next_step(work, request)}.",
        )
    hint = hints.for_error(error)
    return MigrationFailed(
        f"{name} failed: {sentence(error)}",
        " ".join(part for part in (kept(work, request), record(request), hint) if part),
        f"Mend the cause and {again(request)}.",
    )


def unverified(error: Exception, work: Work, request: RunRequest) -> VerificationFailed:
    """The error of the author's ``verify``."""
    return VerificationFailed(
        f"verify() of {work.migration_name} did not accept the result: {sentence(error)}",
        f"{kept(work, request)} {record(request)}",
        f"Mend the cause and {again(request)}.",
    )


def record(request: RunRequest) -> str:
    """What the ledger says of it; nothing of a dry run, which has nothing to record."""
    if request.dry_run:
        return ""
    if request.force or request.reverse:
        return "Its record stays as it was."
    return "It was not recorded as applied."


def again(request: RunRequest) -> str:
    """How the same is asked for once more, as a part of a sentence."""
    if request.reverse:
        return "reverse it again"
    return "run it again with --force" if request.force else "run it again"


def next_step(work: Work, request: RunRequest) -> str:
    """What is to be done after a stop, and what that does; a sentence without its full stop."""
    onwards = " to go on" if goes_on(work, request) else ", and it begins anew"
    return f"{again(request).capitalize()}{onwards}"


def goes_on(work: Work, request: RunRequest) -> bool:
    """Whether the next run goes on where this one stopped."""
    return work.in_batches and not request.dry_run and not request.reverse


def kept(work: Work, request: RunRequest) -> str:
    """What became of the work."""
    if goes_on(work, request):
        return "Its committed batches are kept, and the next run goes on after them."
    if work.atomic or request.dry_run:
        return "Nothing was kept: its transaction was rolled back."
    return "It is not atomic, so what it did until then is kept."


def sentence(error: BaseException) -> str:
    """The error's type and text, with a full stop."""
    text = str(error).strip()
    name = type(error).__name__
    return f"{name}: {stopped(text)}" if text else f"{name}."
