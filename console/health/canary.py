"""Whether messages come through: workers may beat while their cluster takes no task any more."""

from __future__ import annotations

from typing import Any

from console import conf, queue
from console.canary import is_answered
from console.models import Canary, Run
from console.states import FINISHED
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance

# Late by so many times its time even while some workers are busy, it does not merely wait behind them.
FACTOR = 5
OLDER = "They may run an older release than this web server, without canaries: restart them."
RESTART = (
    "Restart the worker's service (the whole of it, not single processes). Runs that wait are kept and begin then. A "
    "cluster may be wedged when an idle worker process of it was killed, or busy with long tasks of other apps."
)


def look(glance: Glance) -> Finding:
    """Whether the last canary was answered in time."""
    every, late_after = conf.get("CANARY_SECONDS"), conf.get("CANARY_LATE_SECONDS")
    if not every:
        return good("Off (CONSOLE['CANARY_SECONDS']).")
    canary = Canary.objects.filter(cluster=queue.cluster()).first()
    if canary is None or canary.sent_at is None:
        if any(glance.age(worker.started_at) > late_after for worker in glance.workers):
            return Finding(State.WARNING, "No worker has sent a canary through the queue yet.", OLDER)
        return good("None was sent yet; a worker sends the first one when it starts.")
    under_way = glance.age(canary.sent_at)
    values: dict[str, Any] = {
        "answered": is_answered(canary),
        "sent_seconds_ago": round(under_way, 1),
        "answered_seconds_ago": None if canary.answered_at is None else round(glance.age(canary.answered_at), 1),
        "took_seconds": None if canary.took is None else round(canary.took, 3),
    }
    if is_answered(canary):
        took = f"The last canary came through the queue in {duration(canary.took or 0.0)}, {duration(under_way)} ago."
        if glance.workers and under_way > every + late_after + 3 * conf.get("HEARTBEAT_SECONDS"):
            return Finding(
                State.WARNING,
                f"{took} Since then no worker has sent a canary.",
                OLDER,
                values=values,
            )
        return good(took, **values)
    if under_way <= late_after:
        return good(f"One is on its way, for {duration(under_way)}.", **values)
    return _late(glance, under_way, late_after, values)


def _late(glance: Glance, under_way: float, late_after: float, values: dict[str, Any]) -> Finding:
    waits = f"A message has been on its way for {duration(under_way)}"
    taking = [worker for worker in glance.workers if not worker.draining]
    if not taking:
        return Finding(State.UNKNOWN, f"{waits}, and there is no worker to take it.", values=values)
    idle = [worker for worker in taking if worker.run_id is None]
    lately = Run.objects.filter(status__in=FINISHED, finished_at__gte=glance.before(late_after), door="worker")
    if not idle or lately.exists():
        return good(f"{waits}: every worker is busy, and it waits behind their runs.", **values)
    named = f"{len(idle)} of {len(taking)} workers" if len(taking) > 1 else "the only worker"
    if len(idle) == len(taking) > 1:
        named = f"all {len(taking)} workers"
    wedged = len(idle) == len(taking) or under_way > FACTOR * late_after
    return Finding(
        State.BAD if wedged else State.WARNING,
        f"The queue does not move: {waits[0].lower()}{waits[1:]}, though {named} {'have' if len(idle) > 1 else 'has'} "
        "nothing to do.",
        RESTART,
        values=values,
    )
