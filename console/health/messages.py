"""The queue, and the runs that wait for a worker."""

from __future__ import annotations

from django.db.models import Count, Min

from console import conf, queue
from console.models import Run
from console.states import Status
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance
from .workers import START_WORKER

DEEP_QUEUE = 100


def depth(glance: Glance) -> Finding:
    """How many messages lie in the queue, and since when the oldest."""
    try:
        count, since = queue.waiting(), queue.waiting_since()
    except queue.QueueUnreachable as error:
        return Finding(
            State.BAD,
            f"The queue cannot be reached: {error}",
            "See that its database or server answers (Q_CLUSTER in the settings). Runs asked for now would fail.",
        )
    age = glance.age(since) if since is not None else None
    values = {"messages": count, "oldest_seconds": None if age is None else round(age, 1)}
    oldest = "" if age is None else f" the oldest for {duration(age)}."
    if count >= DEEP_QUEUE:
        hint = "Start more workers, or see what keeps the ones that run busy."
        return Finding(State.WARNING, f"{count} messages wait in the queue.{oldest.capitalize()}", hint, values=values)
    if not count:
        return good("The queue is empty.", **values)
    waits = "1 message waits" if count == 1 else f"{count} messages wait"
    if glance.is_unattended:
        text = f"{waits} in the queue,{oldest.rstrip('.') + ',' if oldest else ''} and no worker takes them."
        return Finding(State.WARNING, text, f"Start one with: {START_WORKER}", values=values)
    return good(f"{waits} in the queue{',' + oldest if oldest else '.'}", **values)


def waiting(glance: Glance) -> Finding:
    """Whether runs wait for a worker although none is busy."""
    asked = Run.objects.filter(status=Status.ENQUEUED).aggregate(count=Count("pk"), oldest=Min("enqueued_at"))
    age = glance.age(asked["oldest"]) if asked["oldest"] else 0.0
    values = {"runs": asked["count"], "oldest_seconds": round(age, 1)}
    if not asked["count"]:
        return good("No run waits for a worker.", **values)
    count = asked["count"]
    runs = f"{count} run{'s' if count > 1 else ''}"
    if glance.is_unattended:
        text = f"{runs} waiting, for {duration(age)} at most, and no worker takes runs."
        return Finding(State.WARNING, text, f"Start one with: {START_WORKER}", values=values)
    if age <= max(60, 2 * conf.get("RERING_SECONDS")):
        return good(f"{runs} waiting for a worker, for {duration(age)} at most.", **values)
    if Run.objects.filter(status=Status.RUNNING, door="worker").exists():
        return good(f"{runs} waiting, for {duration(age)} at most, while workers are busy.", **values)
    return Finding(
        State.WARNING,
        f"{runs} waiting, and no worker is busy.",
        "Workers may be wedged or listen to another queue: restart them, and compare Q_CLUSTER on both sides.",
        values=values,
    )
