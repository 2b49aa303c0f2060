"""What the pages say of a run and of a record: each fact once, in words, and first what one needs first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console import dispatch
from console.models import Run
from console.templatetags.console import starts
from data_migrations import ledger, registry
from data_migrations.models import QuarantinedRow
from data_migrations.reporting import Door
from tests.console.factories import AttemptFactory
from tests.console.pages import INCREMENT, a_run, address, run_address
from tests.console.test_pages import text

pytestmark = pytest.mark.django_db(databases="__all__")


def test_the_attempts_say_in_words_how_they_ended(client_of_ana: Client) -> None:
    run = a_run(attempt=5, status="paused")
    stored = ("stopped: cancel", "stopped: force stop", "stopped: window", "ValueError", "stopped: pause")
    for number, outcome in enumerate(stored, 1):
        AttemptFactory(run=run, number=number, outcome=outcome)
    page = text(client_of_ana.get(run_address(run)))
    shown = page.split("<dt>Attempts</dt>")[1].split("</dd>")[0]
    for words in ("cancelled", "stopped by force", "its daily window closed", "ValueError", "paused"):
        assert f": {words}</li>" in shown
    assert "stopped:" not in shown


def test_who_asked_for_it_is_said_once(client_of_ana: Client) -> None:
    run = a_run(status="cancelled", control_by="ben", note="Cancelled by ben while no worker had it.")
    assert "Cancelled by</dt>" not in text(client_of_ana.get(run_address(run)))
    Run.objects.update(note="Nobody approved it in time.")
    assert "<dt>Cancelled by</dt><dd>ben" in text(client_of_ana.get(run_address(run)))


def test_the_record_names_the_run_that_made_it(client_of_ana: Client) -> None:
    run = a_run()
    ledger.record(INCREMENT, using="default", by="ana", door=Door.WORKER, run_key=run.key)
    ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL)
    page = text(client_of_ana.get(address("change")))
    record = page.split('id="console-events-title"')[1].split("</section>")[0]
    assert f'applied by ana, <a href="{run_address(run)}">run {run.pk}</a> through' in record
    assert "re-applied by ben through shell" in record


def test_a_marked_one_says_why_it_was_marked(client_of_ana: Client) -> None:
    dispatch.mark([INCREMENT], user="ana", reason="done by hand in May")
    assert "by ana: done by hand in May, <a " in text(client_of_ana.get(address("change")))


def test_while_a_run_goes_on_its_progress_comes_before_the_rows_that_it_set_aside(client_of_ana: Client) -> None:
    run = a_run(status="running", finished_at=None, in_batches=True, progress_done=5, progress_total=10)
    QuarantinedRow.objects.create(name=INCREMENT, key="7", at=timezone.now())
    page = text(client_of_ana.get(run_address(run)))
    assert page.index('aria-label="Progress"') < page.index('id="console-quarantine-title"')
    Run.objects.update(status="failed")
    page = text(client_of_ana.get(run_address(run)))
    assert page.index('id="console-quarantine-title"') < page.index("<dt>Data migration</dt>")
    assert page.count('id="console-quarantine-title"') == 1


def test_a_search_that_finds_nothing_offers_nothing_to_do_with_it(client_of_ana: Client) -> None:
    a_run()
    for query, found in (("", True), ("?q=nothing", False)):
        page = text(client_of_ana.get(f"/admin/console/run/{query}"))
        assert ("Compare the two" in page) is found
        assert ("All that match as" in page) is found


def test_the_rows_that_a_dry_run_would_set_aside_lead_to_their_errors(client_of_ana: Client) -> None:
    run = a_run(kind="dry_run", set_aside={"count": 1, "keys": ["key 8"]})
    assert '<a href="?find=set+aside">The log has the error</a>' in text(client_of_ana.get(run_address(run)))


def test_who_approved_it_stands_with_its_record(client_of_ana: Client) -> None:
    run = a_run(decision="approved", decided_by="ben")
    ledger.record(INCREMENT, using="default", by="ana", door=Door.WORKER, run_key=run.key)
    assert f"run {run.pk}</a>, approved by ben" in text(client_of_ana.get(address("change")))


def test_at_first_nobody_is_told_how_long_it_still_takes(client_of_ana: Client) -> None:
    now = timezone.now()
    fields = {"progress_done": 10, "progress_total": 1000, "rate": 5.0, "finished_at": None}
    run = a_run(status="running", started_at=now, **fields)
    assert "5.0 rows/s" in text(client_of_ana.get(run_address(run)))
    assert " left</span>" not in text(client_of_ana.get(run_address(run)))
    Run.objects.update(started_at=now - timedelta(seconds=30))
    assert "about 3 m 18 s left</span>" in text(client_of_ana.get(run_address(run)))
    # A later attempt begins anew.
    Run.objects.update(attempt_at=now)
    assert " left</span>" not in text(client_of_ana.get(run_address(run)))


def test_what_is_destructive_and_what_it_takes_is_told_before_one_asks_for_it(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "<dt>Destructive</dt>" not in text(client_of_ana.get(address("change")))
    monkeypatch.setattr(registry.get(INCREMENT).command_class, "destructive", True)
    assert "<dt>Destructive</dt>" in text(client_of_ana.get(address("change")))
    assert "It is destructive: what it takes away cannot be brought back." in text(client_of_ana.get(address("run")))
    page = text(client_of_ana.get(address("change", "with_arguments_2026_01_09")))
    assert '<code dir="ltr">country</code> (required): A country code.' in page


def test_what_it_waits_for_stands_in_the_list(client_of_ana: Client) -> None:
    page = text(client_of_ana.get("/admin/console/migration/"))
    waits = f'<span class="console-description">After {INCREMENT}</span>'
    assert waits in page
    ledger.record(INCREMENT, using="default", by="ana", door=Door.SHELL)
    assert waits not in text(client_of_ana.get("/admin/console/migration/"))


def test_the_health_page_leads_to_metrics_only_where_there_are_some(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for installed in (True, False):
        monkeypatch.setattr("console.metrics.is_installed", lambda installed=installed: installed)
        page = text(client_of_ana.get("/admin/console/health/"))
        assert ("metrics for Prometheus" in page) is installed
        assert "what the data migrations themselves need is on" in page


def test_without_a_script_only_a_log_that_grows_is_called_still(client_of_ana: Client) -> None:
    for status, grows in (("running", True), ("paused", True), ("succeeded", False), ("failed", False)):
        page = text(client_of_ana.get(run_address(a_run(status=status))))
        assert ("Still: reload the page" in page) is grows, status


def test_a_command_whose_arguments_cannot_be_read_has_its_page_all_the_same(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: object, parser: object) -> None:
        raise RuntimeError("no such table")

    monkeypatch.setattr(registry.get(INCREMENT).command_class, "add_arguments", broken)
    page = text(client_of_ana.get(address("change")))
    assert "Not applied yet." in page
    assert "<dt>Parameters</dt>" not in page
    assert "cannot be read" in caplog.text


def test_how_long_until_it_starts_is_not_rounded_down_by_an_hour() -> None:
    when = timezone.now() + timedelta(hours=1, minutes=59, seconds=30)
    assert "in 1\xa0hour, 59\xa0minutes, " in starts(when)


def test_an_estimate_of_batches_that_adapt_is_called_rough(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(migration="batch_increment_2026_02_01", kind="dry_run", estimated_seconds=24.0)
    for target, rough in ((None, False), (0.5, True)):
        monkeypatch.setattr(registry.get(run.migration).command_class, "target_batch_seconds", target)
        page = text(client_of_ana.get(run_address(run)))
        assert ("roughly: their size adapts" in page) is rough
