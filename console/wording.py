"""What a notice says: what happened, where, to whom it matters, and what to do next. Never a line of a log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from enum import Enum

from django.urls import get_script_prefix, reverse
from django.utils import timezone

from data_migrations import clock

from . import conf, errors
from .lines import clean
from .masking import Masker
from .models import Kind, Run
from .states import Status
from .words import door, duration

SUBJECT_LENGTH = 200
LONG = 2000
SHORT = 500

# Control characters, and those that turn the direction of what follows.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Event(Enum):
    """What people are told of."""

    FAILED = "failed"
    FINISHED = "finished"
    WAITING = "waiting"
    EXPIRED = "expired"
    STUCK = "stuck"


def subject(event: Event, run: Run) -> str:
    """One line, whatever stands in the name."""
    what = {
        Event.FAILED: "Failed",
        Event.FINISHED: "Finished",
        Event.WAITING: "Waiting for approval",
        Event.EXPIRED: "Approval expired",
        Event.STUCK: "Stuck",
    }[event]
    kind = "" if run.kind == Kind.RUN else f" ({run.get_kind_display()})"
    where = line(conf.get("ENVIRONMENT") or "data migrations", 50)
    return line(f"[{where}] {what}: {run.migration}{kind}", SUBJECT_LENGTH)


def text(event: Event, run: Run) -> str:
    """The body, without the link: that is added when it is sent."""
    lines = [f"{line(sentence, LONG)}" for sentence in (_happened(event, run),)]
    lines.append("")
    lines += [f"{label}: {value}" for label, value in _facts(event, run) if value]
    lines += ["", f"What to do: {_advice(event, run)}"]
    return "\n".join(lines)


def link(run_id: int | None) -> str:
    """The absolute address of a run's page; empty where the site's address is not known, for it is never guessed."""
    site = str(conf.get("SITE_URL") or "").rstrip("/")
    if not site or run_id is None:
        return ""
    try:
        path = reverse("admin:console_run_change", args=(run_id,))
    except Exception:
        # No admin, or one without the console; or a URLconf of the site's that cannot be imported in a worker.
        return ""
    # SITE_URL has the prefix under which the site is mounted, and a thread's own prefix is another one.
    return f"{site}/{path.removeprefix(get_script_prefix())}"


def line(value: object, limit: int = SHORT) -> str:
    """A text as one line without control characters, its secrets masked, cut to so many characters."""
    plain = " ".join(_UNSEEN.sub(" ", Masker().lines(clean(str(value)))).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"


def block(value: object, limit: int = LONG) -> str:
    """A text of several lines: those after the first are indented, so that none passes for one of ours."""
    plain = Masker().lines(clean(str(value)).replace("\r\n", "\n").replace("\r", "\n"))
    plain = _UNSEEN.sub("", plain.replace("\u2028", "\n").replace("\u2029", "\n").replace("\x85", "\n")).strip()
    if len(plain) > limit:
        plain = f"{plain[: limit - 1]}…"
    return "\n    ".join(plain.split("\n"))


def _happened(event: Event, run: Run) -> str:
    what = "The dry run of the data migration" if run.kind == Kind.DRY_RUN else "The data migration"
    if run.kind == Kind.REVERSE:
        what = "The reversal of the data migration"
    name = f"{what} {run.migration}"
    if event == Event.FAILED:
        return f"{name} failed."
    if event == Event.FINISHED:
        return f"{name} has finished after {_duration(run)}."
    if event == Event.WAITING:
        return f"{name} waits for the approval of a second person."
    if event == Event.EXPIRED:
        return f"{name} was cancelled, for nobody approved it in time. Nothing was run."
    if run.status == Status.INTERRUPTED:
        return f"{name} was interrupted, and is not taken up again by itself."
    if run.status == Status.RUNNING:
        return f"{name} is running, but gives no sign of life."
    if run.status == Status.SCHEDULED:
        return f"{name} was to begin at {_moment(run.start_at)}, and nothing has begun it."
    return f"{name} waits for a worker, and none has taken it."


def _facts(event: Event, run: Run) -> Iterator[tuple[str, str]]:
    yield "Environment", line(conf.get("ENVIRONMENT"))
    yield "Database", line(run.database)
    yield "Run", f"{run.pk}"
    asked = line(run.requested_by, 150)
    yield "Asked for", f"{_moment(run.requested_at)}{f' by {asked}' if asked else ''}, through {line(door(run.door))}"
    yield "Reason", line(run.reason)
    if event not in (Event.WAITING, Event.EXPIRED):
        yield "Started", _moment(run.started_at)
        yield "Process", line(f"{run.host}, pid {run.pid}") if run.host else ""
    if event == Event.FAILED:
        yield "Took", _duration(run)
        yield "Error", block(errors.text(run))
    elif event == Event.FINISHED:
        yield "Rows", "" if run.own_rows is None else f"{run.own_rows:,}"
        yield "Result", block(run.result, SHORT)
    elif event in (Event.WAITING, Event.EXPIRED):
        yield "Until", _moment(run.approval_expires_at)
    else:
        yield "Last sign of life", _moment(run.heartbeat_at)
        yield "Note", block(run.note)


def _advice(event: Event, run: Run) -> str:
    if event == Event.FAILED:
        again = 'press "Run again…" there' if run.door == "worker" else "run it again the way it was started"
        return f"{_kept(run)} Read the error and the log on its page, mend the cause, then {again}."
    if event == Event.FINISHED:
        return "nothing; you are told because it took long."
    if event == Event.WAITING:
        asker = line(run.requested_by, 150)
        other = f", other than {asker}," if asker else ""
        return f"somebody with the permission to approve{other} opens its page and approves or rejects it."
    if event == Event.EXPIRED:
        return "ask for it again where it is still wanted, and have somebody approve it in time."
    if run.status == Status.INTERRUPTED:
        if run.door == "worker":
            return 'read the log on its page and look at the data; then press "Resume…" or "Cancel…" there.'
        return "the note above says what was kept; then start it again the way it was started."
    if run.status == Status.RUNNING:
        return "see whether its process hangs, and end it if so; a worker then looks after the run."
    return "see that a worker runs and that it listens to this queue: python manage.py qcluster"


def _kept(run: Run) -> str:
    """What of a failed run is there."""
    if run.kind == Kind.DRY_RUN:
        return "a dry run keeps nothing."
    if run.in_batches:
        return "its finished batches are kept, and the next run goes on after them."
    if not run.begun:
        return "it had not begun its work, so nothing was changed."
    if run.atomic:
        return "nothing of it was kept."
    return "it is not atomic, so a part of its work may be there; look at the data."


def _duration(run: Run) -> str:
    return "" if run.elapsed is None else duration(run.elapsed)


def _moment(when: datetime | None) -> str:
    return "" if when is None else f"{timezone.localtime(clock.aware(when)):%Y-%m-%d %H:%M:%S %Z}"
