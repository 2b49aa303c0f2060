"""The list, one data migration, one run, the history: what they show, in each state."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from console.appearance import look
from console.models import Kind, Run
from console.states import Status
from data_migrations import clock, ledger, registry
from data_migrations.models import AppliedMigration
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, a_run, address, print_lines, run_address

pytestmark = pytest.mark.django_db(databases="__all__")

LIST = "/admin/console/migration/"


def text(response) -> str:
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def rows(html: str) -> list[str]:
    # Where a name may break is not what is looked for here.
    html = html.replace("<wbr>", "")
    return re.findall(r'<tr id="row-.*?</tr>', html, re.S)


def row(html: str, name: str) -> str:
    return next(each for each in rows(html) if f">{name}</a>" in each)


def applied(name: str = INCREMENT, *, duration: float = 62.5, **values) -> AppliedMigration:
    return ledger.record(name, using="default", by="ben", door=Door.SHELL, duration=duration, **values)


def test_the_admin_index_leads_to_the_list(client_of_ana: Client):
    assert f'href="{LIST}"' in text(client_of_ana.get("/admin/"))


def test_the_list_shows_state_and_last_run(client_of_ana: Client):
    applied()
    run = a_run(kind="dry_run", requested_by="carl")
    html = row(text(client_of_ana.get(LIST)), INCREMENT)
    assert "Applied" in html
    assert "console-tone-good" in html
    assert f'href="{run_address(run)}">dry run</a>' in html
    assert "carl" in html
    assert "just now" in html


def test_the_list_says_of_a_changed_source(client_of_ana: Client):
    applied(checksum="0" * 64)
    html = text(client_of_ana.get(LIST + "?state=changed"))
    assert len(rows(html)) == 1
    assert "Changed since applied" in row(html, INCREMENT)


def test_the_list_has_what_is_recorded_but_not_in_the_code(client_of_ana: Client):
    applied("gone_2020_01_01")
    assert "Not in the code" in row(text(client_of_ana.get(LIST)), "gone_2020_01_01")


def test_a_module_that_cannot_be_imported_is_a_row(client_of_ana: Client, settings):
    from data_migrations import registry

    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.oddapp"]
    registry.reset()
    try:
        html = text(client_of_ana.get(LIST + "?q=cannot_import"))
        assert "Cannot be imported" in html
        page = text(client_of_ana.get(address("change", "cannot_import")))
    finally:
        registry.reset()
    assert "Traceback" in page
    assert "Its module cannot be imported." in page
    assert address("run", "cannot_import") not in page


@pytest.mark.slow
def test_search_and_state_filters_work_together_and_survive(client_of_ana: Client):
    applied()
    html = text(client_of_ana.get(LIST + "?q=INCREMENT_items&state=pending"))
    names = re.findall(r'<th scope="row"><a [^>]*>([^<]+)</a>', html.replace("<wbr>", ""))
    assert names == ["increment_items_loose_2026_01_02"]
    # The links of the filters keep the search, the search keeps the filter.
    assert 'href="?q=INCREMENT_items&amp;state=applied"' in html
    assert '<input type="hidden" name="state" value="pending">' in html
    count = re.search(r'Applied <span class="console-count">(\d+)', html)
    assert count is not None
    assert count[1] == "1"


def test_none_match_offers_to_clear(client_of_ana: Client):
    html = text(client_of_ana.get(LIST + "?q=nothing-is-called-so"))
    assert "None match" in html
    assert ">Clear search and filters</a>" in html


def test_none_registered_says_how_to_write_one(client_of_ana: Client, monkeypatch):
    monkeypatch.setattr("console.catalogue.status.statuses", lambda database, names=None: [])
    html = text(client_of_ana.get(LIST))
    assert "No data migrations yet" in html
    assert "IdempotentCommand" in html


def test_no_worker_is_said_with_the_command_that_starts_one(client_of_ana: Client):
    assert "python manage.py qcluster" in text(client_of_ana.get(LIST))


def test_an_active_run_shows_its_progress_and_has_the_page_refresh(client_of_ana: Client):
    quiet = text(client_of_ana.get(LIST))
    assert "data-live-active" not in quiet
    run = a_run(status="running", finished_at=None, progress_done=250, progress_total=1000)
    html = text(client_of_ana.get(LIST))
    assert "data-live-active" in html
    assert "Running" in row(html, INCREMENT)
    assert "250 of 1,000" in row(html, INCREMENT)
    assert run_address(run) in row(html, INCREMENT)


def test_a_refresh_without_news_is_a_304(client_of_ana: Client):
    fresh = {"X-Console-Live": "1"}
    first = client_of_ana.get(LIST, headers=fresh)
    again = client_of_ana.get(LIST, headers=fresh | {"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    applied()
    assert client_of_ana.get(LIST, headers=fresh | {"If-None-Match": first["ETag"]}).status_code == 200


def test_the_number_of_queries_does_not_grow_with_the_runs(client_of_ana: Client):
    def queries() -> list[int]:
        client_of_ana.get(LIST)
        with ExitStack() as stack:
            seen = [stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in connections]
            client_of_ana.get(LIST)
        return [len(each) for each in seen]

    a_run()
    few = queries()
    for _ in range(30):
        a_run()
    assert queries() == few
    assert 5 < sum(few) < 60


def test_the_page_of_a_data_migration(client_of_ana: Client):
    applied(checksum="0" * 64)
    # How long it took is said as its own page says it, not as the ledger counted the work alone.
    run = a_run(requested_by="ben", worked_seconds=62.2)
    a_run(note="Already applied: nothing was done.")
    html = text(client_of_ana.get(address("change")))
    assert "by ben" in html
    assert f'<a href="{run_address(run)}">run {run.pk}</a>' in html
    assert "1 m 02 s" in html
    assert "The source was changed since it was applied" in html
    assert "class Command(IdempotentCommand)" in html
    assert 'href="' + address("run", kind="dry_run") in html
    assert "Run again…" in html
    assert "Unmark…" in html
    assert "Mark as applied…" not in html


@pytest.mark.parametrize(
    ("before", "said"),
    [(0, "</a>, 1 m 02 s, 40,019 rows."), (40_000, "</a>, 19 rows in 1 m 02 s; 40,019 with those of earlier runs.")],
)
def test_the_time_of_a_run_stands_beside_the_rows_that_it_did(client_of_ana: Client, before: int, said: str):
    applied(affected_rows=40_019)
    run = a_run(worked_seconds=62.2, affected_rows=40_019, rows_before=before)
    assert f"run {run.pk}{said}" in text(client_of_ana.get(address("change")))


@pytest.mark.parametrize(
    ("key", "record", "took"),
    [
        ("the one", {}, "1 m 02 s"),
        # The console did not see it.
        ("another", {}, "28 s"),
        # It was undone by hand, and marked.
        ("the one", {"door": Door.MARKED, "duration": None}, "–"),
    ],
)
def test_the_list_shows_the_time_of_the_run_that_did_the_work(client_of_ana: Client, key: str, record: dict, took: str):
    applied(duration=28.0, run_key=key)
    AppliedMigration.objects.update(name=INCREMENT, **record)
    a_run(worked_seconds=62.2, key="the one")
    a_run(worked_seconds=0.3, note="Already applied: nothing was done.")
    html = text(client_of_ana.get(LIST, {"q": INCREMENT}))
    assert re.findall(r'<td data-label="Took"[^>]*>([^<]*)', html) == [took]


def test_dependencies_are_shown_with_their_state(client_of_ana: Client):
    html = text(client_of_ana.get(address("change", "dependent_2026_01_04")))
    assert re.search(INCREMENT + r"</a>\s*<span[^>]*console-tone-quiet.*?Pending</span>", html, re.S)


def test_source_is_escaped(client_of_ana: Client, monkeypatch):
    monkeypatch.setattr("data_migrations.registry._source", lambda module: "x = '<script>alert(1)</script>'")
    html = text(client_of_ana.get(address("change")))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_name_with_slashes_quotes_and_emoji_has_a_page(client_of_ana: Client):
    name = "odd/name \"quoted\" 'single' ✨ <b>?#%_2F"
    applied(name)
    html = text(client_of_ana.get(LIST))
    assert "<b>?" not in html
    link = re.search(r'<a href="([^"]+)">odd/name', html.replace("<wbr>", ""))
    assert link is not None
    page = text(client_of_ana.get(unescape(link[1])))
    assert "odd/name &quot;quoted&quot;" in page.replace("<wbr>", "")
    a_run(migration=name)
    a_run()
    runs = re.search(r'<a href="([^"]+)">All runs of it', text(client_of_ana.get(unescape(link[1]))))
    assert runs is not None
    assert text(client_of_ana.get(unescape(runs[1]))).count('class="field-number"') == 1
    client_of_ana.post(address("unmark", name), {"confirmed": "1", "reason": "odd"})
    assert not ledger.is_applied(name, "default")


def test_an_unknown_name_is_a_404(client_of_ana: Client):
    assert client_of_ana.get(address("change", "nobody")).status_code == 404
    assert client_of_ana.get(LIST + "?database=nowhere").status_code == 404


def test_an_active_run_disables_run_and_says_why(client_of_ana: Client):
    run = a_run(status="enqueued", started_at=None, finished_at=None)
    html = text(client_of_ana.get(address("change")))
    assert f"Run {run.pk} of it is enqueued; wait for it, or cancel it." in html
    assert f'href="{address("run")}"' not in html


def test_what_a_missing_dependency_prevents_is_said(client_of_ana: Client):
    name = "dependent_2026_01_04"
    html = text(client_of_ana.get(address("change", name)))
    assert f"It depends on {INCREMENT}, not applied yet." in html
    assert f'href="{address("run", name)}"' not in html
    assert address("mark", name) in html
    assert client_of_ana.get(address("run", name)).status_code == 302
    applied()
    assert f'href="{address("run", name)}"' in text(client_of_ana.get(address("change", name)))


def test_what_code_applied_is_not_offered_to_run(client_of_ana: Client):
    ledger.record("from_code_2026_01_01", using="default", by="ben", door=Door.CODE)
    html = text(client_of_ana.get(address("change", "from_code_2026_01_01")))
    assert "run by code (run_once)" in html
    assert "Unmark…" in html


@pytest.mark.slow
@pytest.mark.parametrize("kind", Kind.values)
@pytest.mark.parametrize("status", Status.values)
def test_every_status_of_every_kind_has_its_page(client_of_ana: Client, status: str, kind: str):
    run = a_run(status=status, kind=kind, error_message="why", note="a note", begun=True, atomic=False, host="h", pid=1)
    html = text(client_of_ana.get(run_address(run)))
    assert look(status).word in html
    assert look(kind).word in html
    assert text(client_of_ana.get(LIST))
    assert text(client_of_ana.get(address("change")))


def test_an_interrupted_run_says_whether_it_is_taken_up_again(client_of_ana: Client):
    safe = a_run(status="interrupted", finished_at=None, begun=True)
    assert "taken up again by itself" in text(client_of_ana.get(run_address(safe)))
    unsafe = a_run(status="interrupted", finished_at=None, begun=True, atomic=False)
    html = text(client_of_ana.get(run_address(unsafe)))
    assert "part of its work may be there" in html
    assert "Cancel…" in html


def test_a_run_without_a_sign_of_life_is_called_stuck(client_of_ana: Client):
    run = a_run(status="running", finished_at=None, heartbeat_at=timezone.now() - timedelta(seconds=90))
    assert "Possibly stuck: no sign of life for 1 m 3" in text(client_of_ana.get(run_address(run)))


def test_a_failed_run_shows_its_error_before_anything_else(client_of_ana: Client):
    run = a_run(
        status="failed", error_class="ValueError", error_message="<b>no</b>", traceback="Traceback: x", error_line=7
    )
    html = text(client_of_ana.get(run_address(run)))
    assert html.index("ValueError") < html.index("console-facts")
    assert "&lt;b&gt;no&lt;/b&gt;" in html
    assert 'href="?around=7#L7"' in html
    assert "<details" in html


LONG = "duplicate key " + "x" * 200


@pytest.mark.parametrize(
    ("name", "message", "heading", "detail"),
    [
        ("django.db.utils.IntegrityError", "no such row", "IntegrityError: no such row", ""),
        ("ValueError", "no such row", "ValueError: no such row", ""),
        ("shop.errors.Refused", "It is late.\nAsk again.", "Refused: It is late.", "Ask again."),
        ("shop.errors.Refused", LONG, "Refused", LONG),
        ("shop.errors.Refused", f"{INCREMENT} failed: Refused: {LONG}.\nNot kept.", "Refused", f"{LONG}. Not kept."),
        ("shop.errors.Refused", f"{INCREMENT} failed: Refused: No.\nNot kept.", "Refused: No.", "Not kept."),
        ("shop.errors.Refused", f"{INCREMENT} failed in row 1: Refused: No.", "It failed in row 1: Refused: No.", ""),
        (
            "shop.errors.Refused",
            f"{INCREMENT} failed in rows 1, 2: Refused: {LONG}",
            "It failed",
            f"It failed in rows 1, 2: Refused: {LONG}",
        ),
        ("shop.errors.Refused", "", "Refused", ""),
        ("", "It is late.", "It is late.", ""),
    ],
)
def test_the_heading_of_an_error_is_short_and_the_rest_stands_below(
    client_of_ana: Client, name: str, message: str, heading: str, detail: str
) -> None:
    html = text(client_of_ana.get(run_address(a_run(status="failed", error_class=name, error_message=message))))
    section = html[html.index('<section class="console-error"') : html.index("console-facts")]
    title = re.search(r'<h2 id="console-error-title">(.*?)</h2>', section, re.S)
    assert title is not None
    assert title[1] == heading
    message_below = re.search(r'<p class="console-error-message">(.*?)</p>', section, re.S)
    assert (" ".join(re.sub(r"<[^>]*>", " ", message_below[1]).split()) if message_below else "") == detail
    assert (f'<code dir="ltr">{name}</code>' in section) is ("." in name)


def test_what_happened_before_a_run_failed_is_no_error(client_of_ana: Client) -> None:
    run = a_run(status="failed", error_class="ValueError", error_message="no such row", note="Taken up again by ana.")
    html = text(client_of_ana.get(run_address(run)))
    box = html[html.index('<section class="console-error"') : html.index("</section>")]
    assert "Taken up again" not in box
    assert "<dt>Note</dt><dd>Taken up again by ana.</dd>" in html
    # Where nothing else is said of why it failed, it is the error.
    html = text(client_of_ana.get(run_address(a_run(status="failed", note="The queue was gone."))))
    assert '<h2 id="console-error-title">The queue was gone.</h2>' in html
    assert html.count("The queue was gone.") == 1


def test_a_failed_run_says_where_and_what_to_do_next(client_of_ana: Client, viewer: Client) -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "/srv/data_migrations/execution.py", line 98, in reported\n'
        '    yield\n  File "/srv/app/tests/testapp/management/commands/increment.py", line 21, in perform_migration\n'
        f'    raise ValueError\n  File "{os.__file__}", line 5, in open\nValueError: no such row'
    )
    run = a_run(status="failed", error_class="ValueError", error_message="no", traceback=traceback, error_line=3)
    html = text(client_of_ana.get(run_address(run)))
    box = html[html.index('<section class="console-error"') : html.index("</section>")]
    where = " ".join(re.sub(r"<[^>]*>", "", box).split())
    assert "raised in tests/testapp/management/commands/increment.py, line 21, in perform_migration." in where
    assert f'href="{address("change")}#console-source"' in box
    assert f'href="{address("run")}?kind=run' in box
    # Of the log, and so of what a traceback says, nothing is told to those who may not read it.
    html = text(viewer.get(run_address(run)))
    assert "increment.py" not in html[html.index('<section class="console-error"') : html.index("</section>")]


def test_a_dry_run_shows_rows_by_table_and_verb_and_that_nothing_was_kept(client_of_ana: Client):
    changes = [{"table": "shop_order", "inserted": 0, "updated": 1200, "deleted": 3}]
    run = a_run(kind="dry_run", changes=changes, emails_held=2)
    html = text(client_of_ana.get(run_address(run)))
    assert "shop_order" in html
    assert "1,200" in html
    assert "Nothing was kept. 2 e-mails would have been sent" in html


@pytest.mark.parametrize(("name", "said"), [(INCREMENT, True), ("batch_increment_2026_02_01", False), ("gone", False)])
def test_a_dry_run_without_rows_before_and_after_says_why(client_of_ana: Client, name: str, said: bool) -> None:
    html = text(client_of_ana.get(run_address(a_run(kind="dry_run", migration=name))))
    assert ("Rows before and after are shown for data migrations in batches" in html) is said


def test_a_dry_run_of_some_batches_says_that_its_numbers_are_of_these(client_of_ana: Client):
    fields = {"kind": "dry_run", "affected_rows": 1720, "estimated_seconds": 33.0, "progress_total": 40019}
    some = text(client_of_ana.get(run_address(a_run(**fields, progress_done=1720))))
    assert "Only its first batches were tried, <strong>1,720 of 40,019 rows</strong>: the numbers are of these." in some
    assert "1,720 would be changed in the batches that were tried" in some
    whole = text(client_of_ana.get(run_address(a_run(**fields, progress_done=40019))))
    assert "1,720 would be changed" in whole
    assert "were tried" not in whole.replace("at the speed of the batches that were tried", "")


def test_an_estimate_says_how_much_of_it_is_pauses(client_of_ana: Client):
    fields = {"kind": "dry_run", "estimated_seconds": 54.6, "progress_total": 1200, "progress_done": 1200}
    page = text(client_of_ana.get(run_address(a_run(**fields, estimated_pauses=54.0))))
    assert "take <strong>about 55 s</strong>, at the speed of the batches that were tried, 54 s of it pauses" in page
    assert "pauses" not in text(client_of_ana.get(run_address(a_run(**fields))))


def test_a_run_that_went_on_after_another_one_shows_its_own_rows(client_of_ana: Client):
    fields = {"migration": "batch_poison_2026_02_02", "in_batches": True, "rows_before": 1199}
    page = text(client_of_ana.get(run_address(a_run(**fields, affected_rows=1200, result="1200"))))
    assert "<dt>Result</dt>" not in page
    assert "<dt>Rows</dt><dd>1 (1,200 with those of earlier runs)</dd>" in page
    failed = a_run(**fields, status="failed", progress_done=1199, progress_total=1200)
    came_to = "1,199 of 1,200 rows (99 %); it did none itself, those of earlier runs are kept</dd>"
    assert came_to in text(client_of_ana.get(run_address(failed)))
    failed = a_run(**fields, status="failed", progress_done=1200, progress_total=1300)
    assert "they are kept. 1,199 of them are of earlier runs" in text(client_of_ana.get(run_address(failed)))
    dry = {"kind": "dry_run", "progress_done": 1200, "progress_total": 1300, "estimated_seconds": 4.0}
    page = text(client_of_ana.get(run_address(a_run(**fields, **dry))))
    assert "<strong>1 of 101 rows</strong> that an earlier run had left: the numbers are of these." in page
    assert "What an earlier run had left would take <strong>about 4.0 s" in page


def test_a_run_in_several_attempts_says_that_the_time_between_them_is_left_out(client_of_ana: Client):
    began = timezone.now() - timedelta(hours=3)
    fields = {"started_at": began, "attempt": 2, "worked_seconds": 75.0}
    page = text(client_of_ana.get(run_address(a_run(**fields))))
    assert "<dt>Took</dt><dd>1 m 15 s in 2 attempts, without the time between them, started" in page
    paused = a_run(**fields, status="paused", finished_at=None)
    assert "<dt>Worked so far</dt><dd>1 m 15 s" in text(client_of_ana.get(run_address(paused)))


def test_the_clock_of_a_log_begins_with_the_run_and_not_with_the_request(client_of_ana: Client):
    run = a_run(status="enqueued", started_at=None, finished_at=None)
    assert 'id="console-started"' not in text(client_of_ana.get(run_address(run)))
    began = timezone.now()
    Run.objects.filter(pk=run.pk).update(started_at=began, status="running")
    # In a part that the page exchanges by itself, so that it has it as soon as the run has begun.
    page = text(client_of_ana.get(run_address(run)))
    assert re.search(r'<div id="console-activity" data-live>(?:(?!</div>).)*id="console-started"', page, re.S)


def test_near_the_end_no_milliseconds_are_promised(client_of_ana: Client):
    began = timezone.now() - timedelta(minutes=1)
    going = {"status": "running", "started_at": began, "finished_at": None, "progress_total": 1200, "rate": 8000.0}
    page = text(client_of_ana.get(run_address(a_run(**going, progress_done=1199))))
    assert "less than a second left" in page
    page = text(client_of_ana.get(run_address(a_run(**going, progress_done=1200))))
    assert "rows/s" in page
    assert " left</span>" not in page


def test_a_failed_run_says_what_did_the_work_since(client_of_ana: Client):
    before = a_run(status="succeeded")
    failed = a_run(status="failed", error_class="ValueError", error_message="no")
    a_run(kind="dry_run")
    page = text(client_of_ana.get(run_address(failed)))
    assert "It was done since" not in page
    assert "When the cause is mended" in page
    done = a_run(status="succeeded")
    link = f'It was done since: <a href="{run_address(done)}">run {done.pk}</a>, '
    page = text(client_of_ana.get(run_address(failed)))
    # Before the error, which is then no call to do anything.
    assert page.index(link) < page.index("ValueError: no")
    assert "When the cause is mended" not in page
    assert "It was done since" not in text(client_of_ana.get(run_address(before)))


def test_a_run_in_batches_that_was_cancelled_says_how_far_it_came(client_of_ana: Client):
    run = a_run(status="cancelled", in_batches=True, progress_done=16397, progress_total=40019)
    assert "16,397 of 40,019 rows (40 %); they are kept" in text(client_of_ana.get(run_address(run)))


@pytest.mark.parametrize(("kind", "verb"), [("run", "Run"), ("dry_run", "Dry-run")])
def test_the_form_is_named_for_what_it_asks_for(client_of_ana: Client, kind: str, verb: str):
    page = text(client_of_ana.get(address("run", kind=kind)))
    assert f"{verb} {INCREMENT}" in page


def test_a_running_run_shows_progress_process_and_cancel(client_of_ana: Client):
    run = a_run(
        status="running",
        finished_at=None,
        host="host-1",
        pid=123456,
        heartbeat_at=timezone.now(),
        progress_done=5,
        progress_total=20,
    )
    html = text(client_of_ana.get(run_address(run)))
    assert "5 of 20 (25 %)" in html
    assert "host-1, pid 123456" in html
    assert run_address(run, "cancel") in html
    assert "data-live-active" in html


def test_an_enqueued_run_says_when_there_is_no_worker(client_of_ana: Client):
    run = a_run(status="enqueued", started_at=None, finished_at=None)
    assert "python manage.py qcluster" in text(client_of_ana.get(run_address(run)))


def test_a_mark_shows_what_was_before(client_of_ana: Client):
    before = {"applied_at": "2026-01-02T03:04:05+00:00", "by": "ben", "door": "shell", "times_applied": 2}
    run = a_run(kind="unmark", door="marked", changes=[{"before": before, "after": None}])
    html = text(client_of_ana.get(run_address(run)))
    assert "by ben, through shell" in html
    assert "<dd>Not applied</dd>" in html


def test_the_log_in_the_page_is_escaped(client_of_ana: Client):
    run = a_run()
    print_lines(run, "<script>alert(1)</script>")
    html = text(client_of_ana.get(run_address(run)))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_log_can_be_paged_without_a_script(client_of_ana: Client):
    run = a_run()
    print_lines(run, *(f"line {number}" for number in range(1, 451)))
    html = text(client_of_ana.get(run_address(run)))
    assert 'id="L251"' in html
    assert 'id="L250"' not in html
    assert '<a href="?before=251">Earlier</a>' in html
    earlier = text(client_of_ana.get(run_address(run) + "?before=251"))
    assert 'id="L250"' in earlier
    assert 'id="L51"' in earlier


def test_the_list_leads_to_the_runs_that_failed(client_of_ana: Client) -> None:
    failed, done = a_run(status="failed"), a_run(status="succeeded")
    found = re.search(
        r'href="([^"]+)">Runs that failed<', text(client_of_ana.get(reverse("admin:console_migration_changelist")))
    )
    assert found is not None
    history = text(client_of_ana.get(unescape(found[1])))
    assert run_address(failed) in history
    assert run_address(done) not in history


def test_what_is_said_after_a_mark_has_the_name_as_it_is(client_of_ana: Client) -> None:
    page = client_of_ana.post(address("mark"), {"reason": "done by hand", "confirmed": "1"}, follow=True)
    assert f"Marked as applied: {INCREMENT}. Nothing was run." in text(page)


def test_what_is_said_after_an_unmark_is_what_became_of_it(client_of_ana: Client) -> None:
    applied()
    page = client_of_ana.post(address("unmark"), {"reason": "a mistake", "confirmed": "1"}, follow=True)
    assert f"Unmarked: {INCREMENT}. It is pending again; what it changed stays as it is." in text(page)
    # Who did it says how: no "by ana through marked".
    assert "unmarked by ana: a mistake" in text(page)
    run = Run.objects.get()
    html = text(client_of_ana.get(run_address(run)))
    assert "through marked" not in html
    assert "by ana" in html


def test_an_app_has_one_name_on_every_page(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(registry.get(INCREMENT)), "app_label", "shop")
    assert '<td data-label="App">shop</td>' in row(text(client_of_ana.get(LIST)), INCREMENT)
    assert "<dt>App</dt><dd>shop</dd>" in text(client_of_ana.get(address("change")))
    assert INCREMENT in text(client_of_ana.get(LIST + "?app=shop"))


def test_the_history_has_runs_of_every_door_and_marks(client_of_ana: Client):
    for door, kind in (("shell", "run"), ("migrate", "run"), ("worker", "dry_run"), ("marked", "mark")):
        a_run(door=door, kind=kind, requested_by=f"by-{door}")
    url = reverse("admin:console_run_changelist")
    html = text(client_of_ana.get(url))
    for door in ("shell", "migrate", "worker", "marked"):
        assert f"by-{door}" in html
    only = text(client_of_ana.get(url + "?door__exact=shell"))
    assert only.count('by-shell<span class="console-description">shell</span></td>') == 1
    assert "by-migrate<span" not in only
    assert 'by-worker<span class="console-description">the console</span></td>' in html
    # What it is says so already.
    assert "by-marked</td>" in html
    assert ">the console</a>" in html
    assert 'by-migrate<span class="console-description">migrate</span></td>' in text(
        client_of_ana.get(url + "?by=by-migrate")
    )
    assert Run.objects.count() == 4


def test_the_history_has_no_way_to_add_change_or_delete(client_of_ana: Client):
    run = a_run()
    assert client_of_ana.get("/admin/console/run/add/").status_code == 404
    assert client_of_ana.post(f"/admin/console/run/{run.pk}/delete/").status_code == 404
    html = text(client_of_ana.get(reverse("admin:console_run_changelist")))
    assert 'name="action"' not in html
    assert client_of_ana.post(run_address(run), {"status": "failed"}).status_code == 405


@pytest.mark.parametrize("pk", ["0", "999999", "x", "9" * 30])
def test_an_unknown_run_is_a_404(client_of_ana: Client, pk: str):
    assert client_of_ana.get(f"/admin/console/run/{pk}/change/").status_code == 404


@pytest.mark.parametrize("status", ["interrupted", "cancelled"])
def test_a_forced_run_that_did_not_end_says_that_the_record_stays(client_of_ana: Client, status: str) -> None:
    run = a_run(status=status, force=True)
    assert "Its record stays as it was" in client_of_ana.get(run_address(run)).content.decode()
    run = a_run(status=status)
    assert "Its record stays" not in client_of_ana.get(run_address(run)).content.decode()


def test_a_finished_dry_run_leads_to_the_run(client_of_ana: Client) -> None:
    run = a_run(kind="dry_run")
    page = client_of_ana.get(run_address(run)).content.decode()
    assert "Dry run again…</a>" in page
    assert f'<a href="{address("run", again=str(run.pk))}">Run…</a>' in page


@pytest.mark.parametrize(
    ("status", "words"), [("running", "Nothing was printed yet."), ("succeeded", "Nothing was printed.")]
)
def test_an_empty_log_says_whether_more_may_come(client_of_ana: Client, status: str, words: str) -> None:
    assert words in client_of_ana.get(run_address(a_run(status=status))).content.decode()


THEN = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "enqueued"}, "Not started: waiting for a worker"),
        ({"status": "waiting"}, "Not started: waiting for approval"),
        (
            {"status": "scheduled", "start_at": clock.stored(THEN)},
            "Not started: scheduled for {:%Y-%m-%d %H:%M %Z}",
        ),
        (
            {"status": "scheduled", "attempt": 1, "start_at": clock.stored(THEN)},
            "Not going on: scheduled for {:%Y-%m-%d %H:%M %Z}",
        ),
        ({"status": "enqueued", "attempt": 2}, "Not going on: waiting for a worker"),
        ({"status": "running"}, ""),
        ({"status": "succeeded"}, ""),
    ],
)
def test_the_log_of_a_run_that_waits_says_for_what(client_of_ana: Client, fields: dict, words: str) -> None:
    page = text(client_of_ana.get(run_address(a_run(**fields))))
    found = re.search(r'<span id="console-log-waits"([^>]*)>(.*?)</span>', page, re.S)
    assert found is not None
    assert re.sub(r"<[^>]*>", "", found[2]) == words.format(timezone.localtime(THEN))
    assert ("hidden" in found[1]) is not bool(words)


def test_the_status_stands_right_after_the_number_where_a_telephone_shows_it(client_of_ana: Client) -> None:
    a_run()
    page = client_of_ana.get(reverse("admin:console_run_changelist")).content.decode()
    assert page.index("field-number") < page.index("field-status_badge") < page.index("field-migration_link")


@pytest.mark.parametrize("query", ["migration=%00", "by=%00", "database=%00", "status__exact=%00", "q=%00"])
def test_a_nul_character_in_an_address_is_refused(client_of_ana: Client, query: str) -> None:
    for page in ("run", "migration"):
        assert client_of_ana.get(reverse(f"admin:console_{page}_changelist") + f"?{query}").status_code == 400
    assert client_of_ana.get(f"{LIST}a%00b/change/").status_code == 400


def test_a_rejected_run_does_not_pass_for_a_cancelled_one(client_of_ana: Client) -> None:
    run = a_run(status="cancelled", decision="rejected", decided_by="ben", decided_at=timezone.now())
    for page in (run_address(run), address("change"), reverse("admin:console_run_changelist")):
        html = text(client_of_ana.get(page))
        assert ">Rejected<" in html.replace("</svg> ", "</svg>").replace("</svg>", ">"), page


def test_code_that_was_changed_since_the_server_started_is_said(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Its file was changed after this web server had started."
    run = a_run(status="failed", error_message="No.")
    asked = {"kind": "run", "database": "default", "reason": "now"}

    def pages() -> list[bool]:
        found = [client_of_ana.get(run_address(run)), client_of_ana.get(address("change"))]
        return [said in text(each) for each in (*found, client_of_ana.post(address("run"), asked))]

    assert pages() == [False] * 3
    monkeypatch.setattr(registry, "_source", lambda module_name: "another one")
    assert pages() == [True] * 3
