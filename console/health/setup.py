"""The settings: what the system checks say, and whether the queue waits longer than a run may take."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core import checks
from django.db.models import DurationField, ExpressionWrapper, F, Max, Min

from console import conf
from console.models import Attempt
from console.states import Status
from data_migrations import registry
from data_migrations.rate import duration

from .finding import Finding, State, good
from .glance import Glance

TAGS = ("console", "data_migrations")
# The code and the settings of a process do not change; its files seldom do, and there may be thousands.
KEEP_SECONDS = 60
# The attempts, newest first, among which the longest is looked for: the cost does not grow with the history.
NEWEST = 1000

# So many names are told.
MOST_NAMES = 20

_kept: tuple[float, list[checks.CheckMessage]] | None = None
_kept_stale: tuple[float, list[str]] | None = None


def system(glance: Glance) -> Finding:
    """What ``manage.py check`` says of the core and the console, in this process."""
    found = [each for each in _messages() if not each.is_silenced()]
    errors = [each for each in found if each.level >= checks.ERROR]
    values = {"errors": [each.id for each in errors], "warnings": [each.id for each in found if each not in errors]}
    if not found:
        return good("The system checks find nothing.", **values)
    count = "1 system check has" if len(found) == 1 else f"{len(found)} system checks have"
    return Finding(
        State.BAD if errors else State.WARNING,
        f"{count} something to say.",
        "Run: python manage.py check",
        tuple(f"{each.id}: {each.msg}" for each in found),
        values,
    )


def _messages() -> list[checks.CheckMessage]:
    global _kept
    if _kept is None or time.monotonic() - _kept[0] > KEEP_SECONDS:
        _kept = (time.monotonic(), list(checks.run_checks(tags=TAGS)))
    return _kept[1]


def code(glance: Glance) -> Finding:
    """Whether the commands that this process has loaded are those of their files."""
    global _kept_stale
    if _kept_stale is None or time.monotonic() - _kept_stale[0] > KEEP_SECONDS:
        found = [migration.name for migration in registry.all_migrations() if migration.is_stale]
        _kept_stale = (time.monotonic(), found)
    stale = _kept_stale[1]
    if not stale:
        return good("What this web server has loaded is what its files say.", stale=[])
    files = "The file of 1 data migration was" if len(stale) == 1 else f"The files of {len(stale)} data migrations were"
    return Finding(
        State.WARNING,
        f"{files} changed after this web server had started: until they are restarted, it and the workers run the "
        "code from before.",
        "Restart web server and workers.",
        tuple(stale[:MOST_NAMES]),
        {"stale": stale[:MOST_NAMES]},
    )


def forget() -> None:
    """Run the system checks anew at the next look, and read the files again; for tests."""
    global _kept, _kept_stale
    _kept = _kept_stale = None


def cluster() -> tuple[str, dict[str, Any]] | None:
    """Name and settings of the cluster that works on data migrations; None where no settings have that name."""
    base = dict(getattr(settings, "Q_CLUSTER", None) or {})
    others = base.pop("ALT_CLUSTERS", None) or {}
    own = base.get("cluster_name") or base.get("name") or "default"
    wanted = conf.get("CLUSTER") or own
    if wanted in (own, base.get("name")):
        return wanted, base
    return (wanted, {**base, **others[wanted]}) if wanted in others else None


def retry(glance: Glance) -> Finding:
    """Whether a message stays hidden for longer than a run may take, and than the longest one took."""
    found = cluster()
    if found is None:
        return Finding(
            State.BAD,
            f"CONSOLE['CLUSTER'] is {conf.get('CLUSTER')!r}, and neither Q_CLUSTER nor its ALT_CLUSTERS has that name.",
            "Name one that is there. Its workers are started with Q_CLUSTER_NAME in their environment.",
        )
    name, values = found
    seconds = values.get("retry") or 60
    allowed = max(values.get("timeout") or 0, conf.get("TASK_TIMEOUT_SECONDS") or 0)
    longest = _longest(glance)
    numbers = {"retry_seconds": seconds, "allowed_seconds": allowed, "longest_run_seconds": round(longest, 1)}
    hint = "Set retry above both the cluster's timeout and CONSOLE['TASK_TIMEOUT_SECONDS'], such as 8 * 24 * 3600."
    if longest >= seconds:
        return Finding(
            State.BAD,
            f"The longest run took {duration(longest)}, and the cluster {name!r} hands a message out again after "
            f"{duration(seconds)} (retry): workers are kept busy with messages of a run that goes on.",
            hint,
            values=numbers,
        )
    if seconds <= allowed:
        return Finding(
            State.WARNING,
            f"The cluster {name!r} hands a message out again after {duration(seconds)} (retry), while a run may take "
            f"{duration(allowed)}." + (f" The longest one of late took {duration(longest)}." if longest else ""),
            hint,
            values=numbers,
        )
    return good(
        f"A message is handed out again after {duration(seconds)}; a run may take {duration(allowed)}"
        + (f", and the longest one of late took {duration(longest)}." if longest else "."),
        **numbers,
    )


def _longest(glance: Glance) -> float:
    """The longest time that a worker spent on one message of late, in seconds: an attempt that ended, or goes on."""
    attempts = Attempt.objects.filter(run__door="worker")
    newest = Attempt.objects.aggregate(newest=Max("pk"))["newest"] or 0
    took = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    ended = attempts.filter(pk__gt=newest - NEWEST, ended_at__isnull=False).aggregate(longest=Max(took))["longest"]
    going = attempts.filter(run__status=Status.RUNNING, number=F("run__attempt"), ended_at=None)
    oldest = going.aggregate(oldest=Min("started_at"))["oldest"]
    return max(ended.total_seconds() if ended else 0.0, glance.age(oldest) if oldest else 0.0)
