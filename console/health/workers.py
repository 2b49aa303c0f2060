"""The workers, by their own signs of life; what django-q2 says of its cluster is not to be relied on."""

from __future__ import annotations

from typing import Any

from console import conf
from console.models import Worker
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance

START_WORKER = "python manage.py qcluster"
# So many signs of life may be missed before it is said.
MISSED_BEATS = 3
MOST_DETAILS = 20


def look(glance: Glance) -> Finding:
    """Whether there are workers that take runs, and whether they run the code of this web server."""
    seconds = conf.get("WORKER_SEEN_SECONDS")
    seen = glance.workers
    if not seen:
        values: dict[str, Any] = {"seen": 0, "taking_runs": 0, "busy": 0}
        gone_for = glance.gone_for
        if gone_for is not None and glance.is_restarting:
            return good(f"The last worker stopped {duration(gone_for)} ago; a restart takes some seconds.", **values)
        text = f"No worker was seen for {seconds:.0f} s: runs will wait."
        if gone_for is not None:
            text = f"No worker is running: the last one stopped {duration(gone_for)} ago. Runs will wait."
        return Finding(State.BAD, text, f"Start one with: {START_WORKER}", values=values)
    taking = [worker for worker in seen if not worker.draining]
    values = {
        "seen": len(seen),
        "taking_runs": len(taking),
        "busy": sum(worker.run_id is not None for worker in taking),
        "oldest_beat_seconds": round(max(glance.age(worker.seen_at) for worker in taking or seen), 1),
    }
    details = tuple(_words(glance, worker) for worker in seen[:MOST_DETAILS])
    if len(seen) > MOST_DETAILS:
        details += (f"… and {len(seen) - MOST_DETAILS} more",)
    for state, text, hint in _problems(glance, taking):
        return Finding(state, text, hint, details, values)
    text = "1 worker takes runs." if len(taking) == 1 else f"{len(taking)} workers take runs."
    return Finding(State.GOOD, text, "", details, values)


def _problems(glance: Glance, taking: list[Worker]) -> list[tuple[State, str, str]]:
    found = []
    if not taking:
        text = "Every worker is about to stop and takes no more runs."
        found.append((State.WARNING, text, f"Start another with: {START_WORKER}"))
    silent = [each for each in taking if glance.age(each.seen_at) > MISSED_BEATS * conf.get("HEARTBEAT_SECONDS")]
    if silent:
        longest = duration(max(glance.age(each.seen_at) for each in silent))
        found.append(
            (
                State.WARNING,
                f"{len(silent)} of {len(taking)} workers gave no sign of life for up to {longest}.",
                "Its host, or its way to the console's database, may be down. What it worked on is taken up by "
                "another worker.",
            )
        )
    ours = conf.get("RELEASE")
    others = sorted({each.release for each in taking if ours and each.release != ours})
    if others:
        named = ", ".join(release or "none" for release in others)
        found.append(
            (
                State.WARNING,
                f"Workers run another release ({named}) than this web server ({ours}).",
                f"Restart them: a process runs the code that was there when it started. Then: {START_WORKER}",
            )
        )
    return found


def _words(glance: Glance, worker: Worker) -> str:
    parts = [f"{worker.host}, pid {worker.pid}: seen {duration(glance.age(worker.seen_at))} ago"]
    if worker.release:
        parts.append(f"release {worker.release}")
    if worker.draining:
        parts.append("about to stop")
    parts.append(f"works on run {worker.run_id}" if worker.run_id else "waits for a run")
    return ", ".join(parts)
