"""Which data migrations' last runs failed, and that the list says so."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import failures
from console.models import Kind
from data_migrations import ledger, registry
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, a_run, address, run_address
from tests.console.test_pages import LIST, applied, row, rows, text

pytestmark = pytest.mark.django_db(databases="__all__")

LOOSE = "increment_items_loose_2026_01_02"


def test_a_failed_last_run_stands_beside_the_state(client_of_ana: Client) -> None:
    run = a_run(status="failed", error_message="no such row")
    found = row(text(client_of_ana.get(LIST)), INCREMENT)
    assert "Pending" in found
    link = re.search(rf'<a href="{run_address(run)}">(<span class="console-badge console-tone-bad">.*?)</a>', found)
    assert link is not None
    assert "Last run failed" in link[1]
    assert "Last run failed" not in row(text(client_of_ana.get(LIST)), LOOSE)


def test_the_list_counts_the_failed_and_leaves_only_them(client_of_ana: Client) -> None:
    assert "state=last_failed" not in text(client_of_ana.get(LIST))
    a_run(status="failed")
    html = text(client_of_ana.get(LIST))
    assert re.search(r'href="\?state=last_failed">Last run failed <span class="console-count">1<', html)
    only = text(client_of_ana.get(LIST + "?state=last_failed"))
    assert len(rows(only)) == 1
    assert INCREMENT in rows(only)[0]


def test_the_apps_count_the_failed_too(client_of_ana: Client, settings: Any) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.oddapp"]
    registry.reset()
    try:
        a_run(status="failed")
        html = text(client_of_ana.get(LIST + "?state=last_failed"))
    finally:
        registry.reset()
    assert '<option value="testapp">testapp (1)</option>' in html


@pytest.mark.parametrize("kind", [Kind.DRY_RUN, Kind.MARK, Kind.UNMARK])
def test_only_runs_and_reversals_that_failed_count(kind: Kind) -> None:
    a_run(status="failed", kind=kind)
    assert failures.last(database="default") == {}


@pytest.mark.parametrize(
    ("later", "stands"),
    [
        ({"status": "succeeded"}, False),
        ({"status": "cancelled"}, False),
        ({"status": "succeeded", "kind": "mark"}, False),
        # These did nothing about it, or have not yet.
        ({"status": "succeeded", "kind": "dry_run"}, True),
        ({"status": "enqueued"}, True),
        ({"status": "succeeded", "migration": LOOSE}, True),
        ({"status": "succeeded", "database": "other"}, True),
    ],
)
def test_a_failure_stands_until_a_later_run_came_to_its_end(later: dict[str, str], stands: bool) -> None:
    run = a_run(status="failed")
    a_run(**later)
    assert failures.last(database="default") == ({INCREMENT: run} if stands else {})


def test_a_record_made_since_ends_the_failure(client_of_ana: Client) -> None:
    run = a_run(status="failed", finished_at=timezone.now() - timedelta(minutes=1))
    # By a process that cannot write the console's tables.
    ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL)
    assert "Last run failed" not in text(client_of_ana.get(LIST))
    type(run).objects.update(finished_at=timezone.now() + timedelta(seconds=1))
    # Run again by force, and failed.
    assert "Last run failed" in text(client_of_ana.get(LIST))


def test_one_that_is_being_run_again_is_running_and_not_failed(client_of_ana: Client) -> None:
    a_run(status="failed")
    a_run(status="running", finished_at=None)
    assert "Last run failed" not in text(client_of_ana.get(LIST))


def test_the_page_of_a_data_migration_leads_to_the_run_that_failed(client_of_ana: Client) -> None:
    run = a_run(status="failed", error_message="no such row")
    html = text(client_of_ana.get(address("change")))
    sentence = re.search(r'<p class="console-sentence">.*?</p>', html, re.S)
    assert sentence is not None
    assert f'<a href="{run_address(run)}">run {run.pk}</a>' in sentence[0]
    assert "Its last run failed" in sentence[0]
    assert "no such row" in sentence[0]


def test_the_links_to_failed_runs_stay_in_the_database_and_the_data_migration(client_of_ana: Client) -> None:
    applied()
    here, there = a_run(status="failed", database="other"), a_run(status="failed", migration=LOOSE, database="other")
    elsewhere, done = a_run(status="failed"), a_run(database="other")
    pages = {LIST + "?database=other": {here, there}, address("change", database="other"): {here}}
    for page, expected in pages.items():
        found = re.search(r'<a href="([^"]*)">Runs that failed</a>', text(client_of_ana.get(page)))
        assert found is not None, page
        runs = text(client_of_ana.get(found[1].replace("&amp;", "&")))
        shown = {each for each in (here, there, elsewhere, done) if f'href="{run_address(each)}' in runs}
        assert shown == expected, page


def test_the_history_offers_the_databases_that_runs_were_in(client_of_ana: Client) -> None:
    a_run()
    a_run(database="other")
    html = text(client_of_ana.get("/admin/console/run/"))
    assert 'href="?database=other"' in html
