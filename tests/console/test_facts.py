"""What the pages say of a run and of a record: each fact once, in words, and first what one needs first."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from console import dispatch
from console.models import Run
from data_migrations import ledger
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
    assert '<a href="?find=set+aside#console-log-title">The log has the error</a>' in text(
        client_of_ana.get(run_address(run))
    )
