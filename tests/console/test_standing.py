"""Which data migrations' last runs failed, or can be taken up again, and that the pages say so."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import standing
from console.models import Kind, Run
from data_migrations import ledger, registry
from data_migrations.models import Checkpoint, Lease
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
    assert standing.ended(database="default") == {}


@pytest.mark.parametrize(
    ("later", "stands"),
    [
        ({"status": "succeeded"}, False),
        ({"status": "succeeded", "kind": "mark"}, False),
        # These did nothing about it, or have not yet.
        ({"status": "succeeded", "kind": "dry_run"}, True),
        ({"status": "enqueued"}, True),
        ({"status": "cancelled", "started_at": None}, True),
        ({"status": "succeeded", "migration": LOOSE}, True),
        ({"status": "succeeded", "database": "other"}, True),
    ],
)
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failure_stands_until_a_later_run_came_to_its_end(status: str, later: dict[str, Any], stands: bool) -> None:
    run = a_run(status=status)
    a_run(**later)
    assert standing.ended(database="default") == ({INCREMENT: run} if stands else {})


@pytest.mark.parametrize(("first", "last"), [("failed", "cancelled"), ("cancelled", "failed")])
def test_of_several_the_last_one_stands(first: str, last: str) -> None:
    a_run(status=first)
    run = a_run(status=last)
    assert standing.ended(database="default") == {INCREMENT: run}


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
    # Where none failed there is nothing to lead to.
    for page in (LIST, address("change", LOOSE)):
        Run.objects.filter(database="default").delete()
        a_run(migration=LOOSE)
        assert "Runs that failed" not in text(client_of_ana.get(page))


def test_the_history_offers_the_databases_that_runs_were_in(client_of_ana: Client) -> None:
    a_run()
    a_run(database="other")
    html = text(client_of_ana.get("/admin/console/run/"))
    assert 'href="?database=other"' in html


@pytest.mark.parametrize("kind", [Kind.DRY_RUN, Kind.MARK, Kind.UNMARK])
def test_only_runs_and_reversals_are_held(kind: Kind) -> None:
    a_run(status="interrupted", kind=kind)
    assert standing.held(database="default") == {}


@pytest.mark.parametrize(
    ("later", "stands"),
    [
        ({"status": "succeeded"}, False),
        ({"status": "succeeded", "kind": "mark"}, False),
        ({"status": "failed"}, False),
        ({"status": "cancelled"}, False),
        # These left it where it was.
        ({"status": "cancelled", "started_at": None}, True),
        ({"status": "succeeded", "kind": "dry_run"}, True),
        ({"status": "succeeded", "migration": LOOSE}, True),
    ],
)
def test_a_run_is_held_until_a_later_one_was_begun(later: dict[str, Any], stands: bool) -> None:
    a_run(status="paused")
    run = a_run(status="paused")
    a_run(**later)
    assert standing.held(database="default") == ({INCREMENT: run} if stands else {})


def test_a_paused_run_is_shown_where_one_looks_for_it_with_the_way_on(client_of_ana: Client) -> None:
    Checkpoint.objects.create(name=INCREMENT, batches=2, started_at=timezone.now(), updated_at=timezone.now())
    run = a_run(
        status="paused", finished_at=None, control_by="ben", in_batches=True, progress_done=20, progress_total=80
    )
    found = row(text(client_of_ana.get(LIST)), INCREMENT)
    assert "Paused" in found
    assert f'<a href="{run_address(run)}">run {run.pk}</a>' in found
    assert "20 of 80" in found
    page = text(client_of_ana.get(address("change")))
    assert (
        f'<a href="{run_address(run)}">Run {run.pk}</a> of it is paused, by ben at 20 of 80 rows: resume it, and it '
        "goes on there."
    ) in page
    assert "A run of it did not come to its end" not in page
    assert f'<a href="{run_address(run, "resume")}">Resume run {run.pk}…</a>' in " ".join(page.split())


def test_a_second_run_does_not_begin_while_one_is_paused(client_of_ana: Client) -> None:
    run = a_run(status="paused", finished_at=None)
    said = f"Run {run.pk} of it is paused; resume that one, or cancel it."
    assert said in text(client_of_ana.get(address("change")))
    asked = {"kind": "run", "database": "default", "reason": "now"}
    assert f"Not possible now: {said}" in text(client_of_ana.post(address("run"), asked))
    # To try it changes nothing.
    assert said not in text(client_of_ana.post(address("run"), asked | {"kind": "dry_run"}))
    # From a shell one may have begun all the same, and went on in its place.
    later = a_run(status="failed", door="shell")
    page = text(client_of_ana.get(run_address(run)))
    assert f"Run {later.pk} came after it and took its place." in page
    assert "paused" not in row(text(client_of_ana.get(LIST)), INCREMENT)


def test_also_where_it_is_applied_and_that_run_was_forced(client_of_ana: Client) -> None:
    applied()
    now = timezone.now() + timedelta(seconds=1)
    run = a_run(status="paused", force=True, requested_at=now, finished_at=None)
    page = text(client_of_ana.get(address("change")))
    assert f"Resume run {run.pk}…" in page
    # It was done since: by a process that does not write into the console's tables.
    Run.objects.update(requested_at=timezone.now() - timedelta(days=1))
    assert "Resume run" not in text(client_of_ana.get(address("change")))


@pytest.mark.parametrize("fields", [{"door": "shell"}, {"status": "interrupted", "door": "migrate"}])
def test_what_its_own_door_alone_can_go_on_with_has_no_button(client_of_ana: Client, fields: dict[str, str]) -> None:
    run = a_run(**{"status": "paused", **fields})
    page = text(client_of_ana.get(address("change")))
    assert f'<a href="{run_address(run)}">Run {run.pk}</a> of it' in page
    assert "Resume run" not in page


def test_while_another_run_goes_on_there_is_nothing_to_resume(client_of_ana: Client) -> None:
    a_run(status="paused")
    a_run(status="running")
    for page in (LIST, address("change")):
        html = text(client_of_ana.get(page))
        assert "paused" not in row(html, INCREMENT) if page == LIST else "is paused" not in html
    assert "Resume run" not in html


def test_a_failure_is_told_in_one_sentence_where_the_list_of_facts_is(client_of_ana: Client) -> None:
    a_run(
        status="failed", error_class="builtins.ValueError", error_message=f"{INCREMENT} failed: ValueError: No.\nKept."
    )
    page = text(client_of_ana.get(address("change")))
    assert ": ValueError: No." in page
    assert "Kept." not in page


@pytest.mark.parametrize(
    ("note", "words"), [("Cancelled by ana.", "cancelled"), ("Stopped by force, asked for by ana.", "stopped by force")]
)
def test_one_that_was_cancelled_on_its_way_is_named_with_who_did_it(
    client_of_ana: Client, note: str, words: str
) -> None:
    applied()
    now = timezone.now() + timedelta(seconds=1)
    batches = {"in_batches": True, "progress_done": 20, "progress_total": 80}
    run = a_run(status="cancelled", note=note, control_by="ana", requested_at=now, finished_at=now, **batches)
    page = " ".join(text(client_of_ana.get(address("change"))).split())
    assert f'Its last run, <a href="{run_address(run)}">run {run.pk}</a>, was {words} by ana ' in page
    assert "</time> at 20 of 80 rows." in page
    # While nothing of it is left lying, the list has nothing to say of it.
    assert f"run {run.pk} {words}" not in text(client_of_ana.get(LIST))
    Lease.objects.create(name=INCREMENT, unfinished=True)
    assert f'<a href="{run_address(run)}">run {run.pk} {words}</a>' in text(client_of_ana.get(LIST))
    # The history tells the two apart, and that it was run although it was applied.
    Run.objects.update(force=True)
    history = text(client_of_ana.get("/admin/console/run/"))
    assert f"{words.capitalize()}</span>" in history
    assert "although applied" in history


def test_they_are_found_through_the_index_however_many_runs_there_are() -> None:
    for status in ("failed", "cancelled", "paused", "interrupted"):
        a_run(status=status)
    Run.objects.bulk_create([Run(migration=LOOSE, status="succeeded") for _ in range(500)])
    if connections[Run.objects.db].vendor == "sqlite":
        # With what it knows of a long history; taken back with the test.
        with connections[Run.objects.db].cursor() as cursor:
            cursor.execute("ANALYZE")
    with CaptureQueriesContext(connections[Run.objects.db]) as captured:
        standing.ended("default")
        standing.held("default")
    assert len(captured) <= 6
    if connections[Run.objects.db].vendor != "sqlite":
        return
    for query in captured:
        with connections[Run.objects.db].cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plan = [str(step[-1]) for step in cursor.fetchall()]
        assert not [step for step in plan if step.startswith("SCAN")], plan
