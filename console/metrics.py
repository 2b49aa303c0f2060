"""Metrics for Prometheus, read from the database when they are asked for.

So every process of every host gives the same numbers, and none has to remember any. The library is an extra,
imported only here and only when somebody asks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, Q, Sum
from django.db.models.functions import Coalesce, Greatest

from data_migrations import clock

from . import conf, health, queue
from .canary import is_answered
from .health.finding import SEVERITY
from .health.glance import Glance
from .health.logs import lags
from .models import Canary, Kind, Run
from .states import FINISHED, Status

if TYPE_CHECKING:
    from prometheus_client.core import Metric

logger = logging.getLogger("console")

PREFIX = "data_migrations"
# Upper bounds of the durations' histogram, in seconds: from a moment to a day.
BUCKETS = (1, 5, 30, 60, 300, 1800, 3600, 4 * 3600, 24 * 3600)
WORKED = (Kind.RUN, Kind.DRY_RUN, Kind.REVERSE)
OPEN = tuple(status for status in Status if status not in FINISHED)


class NotInstalled(RuntimeError):
    """The metrics need the library prometheus_client, which is not installed.

    Install it: pip install "django-data-migrations-console[prometheus]", and restart the web server.
    """

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


def is_installed() -> bool:
    """Whether there is the library that they need."""
    return find_spec("prometheus_client") is not None


def exposition(accept: str) -> tuple[bytes, str]:
    """The metrics as text, and its content type.

    Args:
        accept: the Accept header of who asks; it chooses between Prometheus' own format and OpenMetrics.

    Raises:
        NotInstalled: the library is missing.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError as error:
        raise NotInstalled from error
    registry = CollectorRegistry()
    registry.register(Collector())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class Collector:
    """Asks the database when it is collected. A part that fails is left out and told of; the others come."""

    def describe(self) -> list[Metric]:
        """Nothing: what there is, is known when it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric, each once."""
        from prometheus_client.core import GaugeMetricFamily

        scraped = GaugeMetricFamily(
            f"{PREFIX}_scrape_success",
            "Whether this part of the metrics could be read (1) or not (0).",
            labels=["part"],
        )
        glance = Glance(full=True)
        for part, read in PARTS.items():
            try:
                if glance.own.error and part != "databases":
                    raise ConnectionError(glance.own.error)
                metrics = list(read(glance))
            except Exception:
                logger.warning("The metrics of %s could not be read.", part, exc_info=True)
                scraped.add_metric([part], 0)
            else:
                yield from metrics
                scraped.add_metric([part], 1)
        yield scraped


def _gauge(name: str, about: str, labels: Iterable[str] = ()) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=list(labels))


def _single(name: str, about: str, value: float) -> Metric:
    gauge = _gauge(name, about)
    gauge.add_metric([], value)
    found: Metric = gauge
    return found


def runs_open(glance: Glance) -> Iterator[Metric]:
    """Runs that have not come to their end; there are never many."""
    gauge = _gauge("runs", "Runs that have not come to their end, by status and kind.", ["status", "kind"])
    rows = Run.objects.filter(status__in=OPEN).order_by().values_list("status", "kind").annotate(Count("pk"))
    counts = {(status, kind): 0 for status in OPEN for kind in WORKED} | {row[:2]: row[2] for row in rows}
    for (status, kind), count in sorted(counts.items()):
        gauge.add_metric([status, kind], count)
    yield gauge
    oldest = Run.objects.filter(status=Status.ENQUEUED).aggregate(since=Min("enqueued_at"))["since"]
    yield _single(
        "oldest_enqueued_run_age_seconds",
        "How long the run that has waited longest for a worker has waited; 0 when none waits.",
        glance.age(oldest) if oldest else 0.0,
    )
    silent = Run.objects.filter(status=Status.RUNNING).aggregate(since=Min("heartbeat_at"))["since"]
    yield _single(
        "oldest_run_heartbeat_age_seconds",
        "The longest silence of a run that goes on; 0 when none does.",
        glance.age(silent) if silent else 0.0,
    )


def _today(glance: Glance) -> datetime:
    midnight = clock.aware(glance.now).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return clock.stored(midnight)


def _own(rows: str) -> Greatest:
    """Of a column with rows those that the run did itself, without those of the runs that it went on after."""
    return Greatest(F(rows) - Coalesce(F("rows_before"), 0), 0)


def runs_ended(glance: Glance) -> Iterator[Metric]:
    """Counters of the runs that ended today (UTC). They begin anew at midnight, as if the process had.

    To count all that ever ended would cost more each day, and would fall when the history is pruned, which reads as a
    sudden rise. A fall to zero is what Prometheus expects of a counter now and then.
    """
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    since = _today(glance)
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    # The time that its attempts took; of some runs there is only when they began and ended.
    plain = Q(worked_seconds=None)
    within = {
        f"le_{bound}": Count("pk", filter=Q(worked_seconds__lte=bound) | Q(plain, took__lte=timedelta(seconds=bound)))
        for bound in BUCKETS
    }
    rows = (
        Run.objects.filter(status__in=FINISHED, finished_at__gte=since)
        .order_by()
        .annotate(took=took)
        .values("status", "kind")
        .annotate(
            runs=Count("pk"),
            timed=Count("took"),
            seconds=Sum("took", filter=plain),
            worked=Sum("worked_seconds"),
            rows=Sum(_own("affected_rows")),
            kept=Sum(_own("progress_done"), filter=Q(in_batches=True)),
            **within,
        )
    )
    found: dict[tuple[str, str], dict[str, Any]] = {(row["status"], row["kind"]): dict(row) for row in rows}
    ended = CounterMetricFamily(
        f"{PREFIX}_runs_finished", "Runs that ended since midnight UTC, by status and kind.", labels=["status", "kind"]
    )
    changed = CounterMetricFamily(
        f"{PREFIX}_rows_changed",
        "Rows that runs changed and kept that ended since midnight UTC, by kind.",
        labels=["kind"],
    )
    durations = HistogramMetricFamily(
        f"{PREFIX}_run_duration_seconds",
        "How long the runs took that ended since midnight UTC, by status and kind.",
        labels=["status", "kind"],
    )
    keys = sorted({(status, kind) for status in FINISHED for kind in WORKED} | found.keys())
    for status, kind in keys:
        row: dict[str, Any] = found.get((status, kind), {})
        ended.add_metric([status, kind], row.get("runs", 0))
        if kind in WORKED:
            counts: list[Any] = [(str(float(bound)), row.get(f"le_{bound}", 0)) for bound in BUCKETS]
            seconds = (row["seconds"].total_seconds() if row.get("seconds") else 0.0) + (row.get("worked") or 0.0)
            durations.add_metric([status, kind], [*counts, ("+Inf", row.get("timed", 0))], seconds)
    for kind in (Kind.RUN, Kind.REVERSE):
        done = found.get((Status.SUCCEEDED, kind), {}).get("rows") or 0
        # Of those that stopped on their way only batches are kept; whoever goes on after them counts the others.
        stopped = sum(found.get((status, kind), {}).get("kept") or 0 for status in (Status.FAILED, Status.CANCELLED))
        changed.add_metric([kind.value], done + stopped)
    yield from (ended, changed, durations)
    last = _gauge(
        "last_finished_timestamp_seconds", "When a run last ended like that, since 1970. None is left out.", ["status"]
    )
    for status in FINISHED:
        at = Run.objects.filter(status=status).aggregate(at=Max("finished_at"))["at"]
        if at is not None:
            last.add_metric([status.value], clock.aware(at).timestamp())
    yield last


def queue_depth(glance: Glance) -> Iterator[Metric]:
    """Messages that no worker has taken."""
    yield _single("queue_messages", "Messages in the queue that no worker has taken.", queue.waiting())


def workers(glance: Glance) -> Iterator[Metric]:
    """Workers and their signs of life."""
    gauge = _gauge("workers", "Workers that were seen lately, by whether they are about to stop.", ["draining"])
    for draining in (False, True):
        gauge.add_metric([str(draining).lower()], sum(1 for worker in glance.workers if worker.draining is draining))
    yield gauge
    ages = _gauge(
        "worker_heartbeat_age_seconds", "How long ago each worker gave a sign of life.", ["host", "pid", "release"]
    )
    for worker in glance.workers:
        ages.add_metric([worker.host, str(worker.pid), worker.release], glance.age(worker.seen_at))
    yield ages


def canary(glance: Glance) -> Iterator[Metric]:
    """The message that only has to come through."""
    found = Canary.objects.filter(cluster=queue.cluster()).first()
    if found is None or found.sent_at is None or not conf.get("CANARY_SECONDS"):
        return
    waits = 0.0 if is_answered(found) else glance.age(found.sent_at)
    yield _single(
        "canary_waiting_seconds", "How long the canary has been on its way; 0 when the last one was answered.", waits
    )
    if found.answered_at is not None:
        yield _single("canary_age_seconds", "How long ago a canary came through.", glance.age(found.answered_at))
    if found.took is not None:
        yield _single("canary_duration_seconds", "How long the last canary took through the queue.", found.took)


def log_lag(glance: Glance) -> Iterator[Metric]:
    """Lines that are printed and not stored."""
    gauge = _gauge("log_lag_seconds", "How long log lines have waited on a host to be stored.", ["host"])
    for host, seconds in sorted(lags(glance).items()):
        gauge.add_metric([host], seconds)
    yield gauge


def databases(glance: Glance) -> Iterator[Metric]:
    """What each database knows of the data migrations."""
    up = _gauge("database_up", "Whether the database answers (1) or not (0).", ["database"])
    pending = _gauge("pending", "Data migrations that are not applied, by database.", ["database"])
    skew = _gauge("clock_skew_seconds", "How far this host's clock is ahead of the database's.", ["database"])
    for alias, probe in glance.probes.items():
        up.add_metric([alias], 0 if probe.error else 1)
        if probe.pending is not None:
            pending.add_metric([alias], probe.pending)
        if probe.skew is not None:
            skew.add_metric([alias], probe.skew)
    yield from (up, pending, skew)


def checks(glance: Glance) -> Iterator[Metric]:
    """What the health page says."""
    gauge = _gauge(
        "health_check", "What a check of the health page finds: 0 good, 1 warning or unknown, 2 bad.", ["check"]
    )
    for result in health.look(glance).results:
        gauge.add_metric([result.id], SEVERITY[result.state])
    yield gauge


PARTS: dict[str, Callable[[Glance], Iterator[Metric]]] = {
    "databases": databases,
    "runs": runs_open,
    "finished": runs_ended,
    "queue": queue_depth,
    "workers": workers,
    "canary": canary,
    "log": log_lag,
    "health": checks,
}
