"""Runs that need a look: silent ones, those that wait for a second person, and those whose time has passed."""

from __future__ import annotations

from django.db.models import Count, Min, Q

from console import conf, rescue
from console.models import Run
from console.states import Status
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance

MOST_DETAILS = 10
APPROVAL_SECONDS = 24 * 3600
EXPIRY_SECONDS = 3600
# A scheduled run is started by a worker's next round, which comes within seconds.
LATE_SECONDS = 120


def stuck(glance: Glance) -> Finding:
    """Runs without a sign of life. The workers take care of them; where they do not, something is wrong."""
    allowed = conf.get("STUCK_SECONDS")
    silent = Run.objects.filter(status=Status.RUNNING, heartbeat_at__lt=glance.before(allowed))
    found = silent.aggregate(count=Count("pk"), oldest=Min("heartbeat_at"))
    if not found["count"]:
        return good("Every run that goes on gives signs of life.", runs=0)
    longest = glance.age(found["oldest"])
    rows = silent.order_by("heartbeat_at").values_list("pk", "migration", "host", "heartbeat_at")[:MOST_DETAILS]
    details = tuple(
        f"Run {pk} of {name} on {host}: silent for {duration(glance.age(beat))}"
        for pk, name, host, beat in rows
        if beat
    )
    runs = "1 run has" if found["count"] == 1 else f"{found['count']} runs have"
    # By then a worker would have interrupted it, had it been able to.
    is_bad = longest > (rescue.SILENT_FACTOR + 1) * allowed
    return Finding(
        State.BAD if is_bad else State.WARNING,
        f"Possibly stuck: {runs} given no sign of life for up to {duration(longest)}.",
        "No worker has taken care of it. See that one runs, and that no other session holds the run's row."
        if is_bad
        else "A worker looks after it within minutes: it is shown as interrupted, and taken up again where that is "
        "safe.",
        details,
        {"runs": found["count"], "longest_silence_seconds": round(longest, 1)},
    )


def approval(glance: Glance) -> Finding:
    """Runs that wait for the agreement of a second person."""
    found = Run.objects.filter(status=Status.WAITING).aggregate(
        count=Count("pk"),
        oldest=Min("requested_at"),
        expiring=Count("pk", filter=Q(approval_expires_at__lt=glance.before(-EXPIRY_SECONDS))),
    )
    count = found["count"]
    if not count:
        return good("No run waits for approval.", runs=0)
    age = glance.age(found["oldest"])
    values = {"runs": count, "oldest_seconds": round(age, 1), "expiring": found["expiring"]}
    text = f"{count} run{' waits' if count == 1 else 's wait'} for approval, the oldest for {duration(age)}."
    if found["expiring"]:
        text += f" {found['expiring']} will expire within the hour."
    if not found["expiring"] and age <= APPROVAL_SECONDS:
        return good(text, **values)
    return Finding(
        State.WARNING, text, "Somebody with the permission to approve looks at it, and approves or rejects.", (), values
    )


def schedule(glance: Glance) -> Finding:
    """Scheduled runs whose time has passed without anything happening."""
    late = Run.objects.filter(status=Status.SCHEDULED, start_at__lt=glance.before(LATE_SECONDS))
    found = late.aggregate(count=Count("pk"), oldest=Min("start_at"))
    if not found["count"]:
        return good("No scheduled run is late.", late=0)
    age = glance.age(found["oldest"])
    runs = "1 scheduled run was" if found["count"] == 1 else f"{found['count']} scheduled runs were"
    return Finding(
        State.WARNING,
        f"{runs} not begun in time; it is {duration(age)} late.",
        "The workers begin what is due. See that one runs, and what its log says.",
        values={"late": found["count"], "longest_seconds": round(age, 1)},
    )
