"""What Prometheus reads: the numbers, their names, and the alert rules of the documentation."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from console import health, metrics, queue, spool
from console.health import probe
from console.health.glance import Glance
from console.models import Canary, Run
from data_migrations import clock, databases, ledger, registry
from data_migrations.reporting import Door
from tests.console.factories import RunFactory, WorkerFactory

pytestmark = pytest.mark.django_db(databases="__all__")

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "health.md").read_text()
Sample = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """It is noon, so that what happened an hour ago was today."""
    now = clock.stored(datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0))
    monkeypatch.setattr(Glance, "now", now)
    probe.forget()
    return now


def families() -> list[Any]:
    text, _ = metrics.exposition("")
    return list(text_string_to_metric_families(text.decode()))


def samples() -> Sample:
    return {
        (sample.name.removeprefix("data_migrations_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families()
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float | None:
    return samples().get((name, tuple(sorted(labels.items()))))


def ended(now: datetime, *, ago: float = 3600, took: float = 10, **fields: Any) -> Run:
    at = now - timedelta(seconds=ago)
    return RunFactory.create(finished=True, finished_at=at, started_at=at - timedelta(seconds=took), **fields)


def test_runs_that_go_on_are_counted_by_status_and_kind() -> None:
    RunFactory.create_batch(2)
    RunFactory.create(running=True, kind="dry_run")
    RunFactory.create(status="waiting")
    found = samples()

    def runs(status: str, kind: str) -> float:
        return found["runs", (("kind", kind), ("status", status))]

    assert (runs("enqueued", "run"), runs("running", "dry_run"), runs("waiting", "run")) == (2, 1, 1)
    # There from the beginning, so that a rule sees a rise from nothing.
    assert runs("paused", "reverse") == 0


def test_what_ended_today_is_counted_and_what_ended_before_is_not(noon: datetime) -> None:
    ended(noon, affected_rows=100)
    ended(noon, affected_rows=11, took=400)
    ended(noon, status="failed", affected_rows=7)
    ended(noon, kind="dry_run", affected_rows=1000)
    ended(noon, kind="mark", took=0)
    ended(noon, ago=13 * 3600)
    assert value("runs_finished_total", status="succeeded", kind="run") == 2
    assert value("runs_finished_total", status="failed", kind="run") == 1
    assert value("runs_finished_total", status="succeeded", kind="mark") == 1
    assert value("runs_finished_total", status="cancelled", kind="run") == 0
    # A dry run changes nothing, and what failed was undone.
    assert value("rows_changed_total", kind="run") == 111


def test_a_row_is_counted_once_by_the_run_that_did_it(noon: datetime) -> None:
    ended(noon, status="failed", in_batches=True, progress_done=40)
    assert value("rows_changed_total", kind="run") == 40
    ended(noon, status="cancelled", in_batches=True, progress_done=70, rows_before=40)
    assert value("rows_changed_total", kind="run") == 70
    # It came to nothing of its own.
    ended(noon, status="failed", in_batches=True, progress_done=70, rows_before=70)
    ended(noon, in_batches=True, affected_rows=100, progress_done=100, rows_before=70)
    assert value("rows_changed_total", kind="run") == 100


def test_durations_are_a_histogram(noon: datetime) -> None:
    for took in (0.5, 10, 400, 100_000):
        ended(noon, took=took)
    # It was cancelled before it began: there is no duration.
    RunFactory.create(status="cancelled", finished_at=noon)
    labels = {"status": "succeeded", "kind": "run"}
    buckets = [value("run_duration_seconds_bucket", le=str(float(bound)), **labels) for bound in metrics.BUCKETS]
    assert buckets == [1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert value("run_duration_seconds_bucket", le="+Inf", **labels) == 4
    assert value("run_duration_seconds_count", **labels) == 4
    assert value("run_duration_seconds_sum", **labels) == pytest.approx(100_410.5)
    assert value("run_duration_seconds_count", status="cancelled", kind="run") == 0


def test_the_last_end_is_known_also_of_days_before(noon: datetime) -> None:
    run = ended(noon, ago=40 * 3600, status="failed")
    assert run.finished_at
    assert value("last_finished_timestamp_seconds", status="failed") == pytest.approx(
        clock.aware(run.finished_at).timestamp()
    )
    assert value("last_finished_timestamp_seconds", status="succeeded") is None


def test_what_waits_has_an_age(noon: datetime) -> None:
    found = samples()
    assert found["oldest_enqueued_run_age_seconds", ()] == found["oldest_run_heartbeat_age_seconds", ()] == 0
    RunFactory.create(enqueued_at=noon - timedelta(seconds=90))
    RunFactory.create(running=True, heartbeat_at=noon - timedelta(seconds=45))
    assert value("oldest_enqueued_run_age_seconds") == 90
    assert value("oldest_run_heartbeat_age_seconds") == 45


def test_workers_have_the_age_of_their_last_sign_of_life(noon: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    one = WorkerFactory.create(host="web-1", release="7", seen_at=noon - timedelta(seconds=4), log_lag=20)
    WorkerFactory.create(draining=True, seen_at=noon)
    # Who was seen lately is asked by the database's clock.
    monkeypatch.setattr(databases, "now", lambda using: noon)
    assert value("workers", draining="false") == value("workers", draining="true") == 1
    assert value("worker_heartbeat_age_seconds", host="web-1", pid=str(one.pid), release="7") == 4
    assert value("log_lag_seconds", host="web-1") == 20


def test_the_canary_has_an_age(noon: datetime) -> None:
    assert value("canary_waiting_seconds") is None
    at = noon - timedelta(seconds=30)
    Canary.objects.create(cluster=queue.cluster(), sent_at=at, answered_at=at + timedelta(seconds=2), took=2)
    assert (value("canary_waiting_seconds"), value("canary_age_seconds")) == (0, 28)
    assert value("canary_duration_seconds") == 2
    Canary.objects.update(sent_at=noon - timedelta(seconds=10))
    assert value("canary_waiting_seconds") == 10


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_pending_data_migrations_are_counted_in_each_database() -> None:
    before = value("pending", database="other")
    assert before == len(registry.all_migrations())
    ledger.record("increment_items_2026_01_01", using="other", by="ben", door=Door.SHELL)
    # One that the code does not know takes nothing off.
    ledger.record("gone_2020_01_01", using="other", by="ben", door=Door.SHELL)
    assert value("pending", database="other") == before - 1
    assert value("pending", database="default") == before
    assert value("database_up", database="other") == 1


def test_every_check_of_the_page_is_a_number() -> None:
    found = samples()
    checks = {labels[0][1]: number for (name, labels), number in found.items() if name == "health_check"}
    assert checks.keys() == {check.id for check in health.CHECKS}
    assert checks["workers"] == 2
    assert checks["stuck"] == 0


def test_a_part_that_cannot_be_read_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise queue.QueueUnreachable("connection refused")

    assert value("scrape_success", part="queue") == 1
    monkeypatch.setattr(queue, "waiting", refuse)
    assert value("scrape_success", part="queue") == 0
    assert value("scrape_success", part="runs") == 1
    assert value("queue_messages") is None
    assert value("runs", status="enqueued", kind="run") == 0


def test_while_the_consoles_database_is_away_the_rest_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(alias: str, **options: Any) -> probe.Probe:
        return probe.Probe(alias, error="connection refused" if alias == spool.alias() else "")

    monkeypatch.setattr(probe, "ask", down)
    assert value("database_up", database=spool.alias()) == 0
    assert value("scrape_success", part="runs") == 0
    assert value("scrape_success", part="databases") == 1


def test_the_number_of_queries_does_not_grow_with_the_runs(noon: datetime) -> None:
    def count() -> int:
        with CaptureQueriesContext(connections[spool.alias()]) as captured:
            metrics.exposition("")
        return len(captured)

    ended(noon)
    count()
    before = count()
    for _ in range(20):
        ended(noon)
        ended(noon, ago=90_000)
        RunFactory.create(running=True)
        WorkerFactory.create(run=RunFactory.create(running=True))
    assert count() <= before + 2


def test_what_ended_is_found_by_the_index() -> None:
    connection = connections[spool.alias()]
    if connection.vendor != "sqlite":
        pytest.skip("with a few rows the others rather read the table")
    with CaptureQueriesContext(connection) as captured:
        list(metrics.runs_ended(Glance(full=False)))
    asked = [each["sql"] for each in captured if "finished_at" in each["sql"] and each["sql"].startswith("SELECT")]
    assert len(asked) == 4
    for sql in asked:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql.replace('%', '%%')}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert "console_run_ended" in plan, f"{sql}: {plan}"


# Names


def test_names_follow_the_conventions() -> None:
    WorkerFactory.create()
    for family in families():
        assert re.fullmatch(r"data_migrations(_[a-z]+)+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        else:
            assert not family.name.endswith("_total")
        for word in ("age", "duration", "waiting", "lag", "skew"):
            if f"_{word}" in family.name:
                assert family.name.endswith("_seconds"), family.name


def test_every_metric_is_documented_with_its_type_and_labels(noon: datetime) -> None:
    WorkerFactory.create(seen_at=timezone.now())
    ended(noon)
    at = noon - timedelta(seconds=30)
    Canary.objects.create(cluster=queue.cluster(), sent_at=at, answered_at=at, took=1)
    rows = re.findall(r"^\| `(data_migrations_\w+)` \| (\w+) \| ([^|]*)\|", DOCUMENTED, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    found = {}
    for family in families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = set(family.samples[0].labels) - {"le"}
        found[name] = (family.type, labels)
    assert found == documented


def test_the_alert_rules_parse_and_ask_for_metrics_that_exist(noon: datetime) -> None:
    block = re.search(r"<!-- example: alert rules -->\n```yaml\n(.*?)```", DOCUMENTED, re.DOTALL)
    assert block
    (group,) = yaml.safe_load(block[1])["groups"]
    ended(noon)
    at = noon - timedelta(seconds=30)
    Canary.objects.create(cluster=queue.cluster(), sent_at=at, answered_at=at, took=1)
    WorkerFactory.create()
    known: dict[str, set[str]] = {}
    for family in families():
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    assert len(group["rules"]) >= 8
    for rule in group["rules"]:
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}, rule
        assert re.fullmatch(r"[A-Z]\w+", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
        expression = rule["expr"]
        for opened, closed in ("()", "{}", "[]"):
            assert expression.count(opened) == expression.count(closed), expression
        asked = re.findall(r"(data_migrations_\w+)(?:\{([^}]*)\})?", expression)
        assert asked, expression
        for name, selectors in asked:
            assert name in known, f"{rule['alert']}: {name}"
            assert set(re.findall(r"(\w+)=~?\"", selectors)) <= known[name], f"{rule['alert']}: {selectors}"
        said = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert said <= set(re.findall(r"by \((\w+)\)", expression)), rule["alert"]


def test_other_yaml_of_the_page_parses() -> None:
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENTED, re.DOTALL)]
    assert len(found) == 2
    assert found[0]["scrape_configs"][0]["metrics_path"] == "/admin/console/health/metrics"
