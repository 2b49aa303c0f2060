"""Chromium against the real site with a real worker: what an operator does, and what a viewer may not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser import steps
from tests.browser.site import Site, running
from tests.browser.steps import FAILING, WATCHED

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]


def test_dry_run_run_watch_applied_history_unmark(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.follow(page, "#console-migration a, .model-migration a >> nth=0")
    page.wait_for_url("**/console/migration/")
    assert "no worker" not in page.inner_text("#content").lower()
    steps.follow(page, f"text={WATCHED}")
    assert steps.status(page) == "Pending"

    # A dry run first.
    steps.follow(page, "text=Dry run…")
    page.fill("[name='arg-lines']", "3")
    page.fill("[name='arg-token']", "s3cret")
    page.fill("[name=reason]", "to see what it would do")
    steps.follow(page, "text=Go on to confirm")
    page.wait_for_selector("[name=ticket]", state="attached")
    assert "s3cret" not in page.content()
    assert "Browser tests" in page.inner_text(".console-environment")
    steps.follow(page, "text=Yes, dry-run it")
    steps.wait_for_status(page, "Succeeded")
    assert "shop_customer" in page.inner_text("#console-outcome")
    assert "Nothing was kept" in page.inner_text("#console-outcome")
    assert "s3cret" not in page.content()

    # Then the run, watched while it goes.
    run = steps.ask(page, site, WATCHED, lines=50, pause=0.1)
    seen: list[int] = []
    shares: set[str] = set()
    deadline = time.monotonic() + 40
    while steps.status(page) not in ("Succeeded", "Failed") and time.monotonic() < deadline:
        if steps.status(page) == "Running":
            seen.append(len(steps.line_numbers(page)))
            shares.update(
                page.locator("#console-run-facts progress").evaluate_all("all => all.map(each => each.value)")
            )
        page.wait_for_timeout(250)
    assert steps.status(page) == "Succeeded"
    growing = sorted({count for count in seen if count})
    assert len(growing) >= 3, f"the lines came all at once: {seen}"
    assert growing[0] < 50
    assert len(shares) >= 2, f"the progress bar stood still: {shares}"
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent === 'Ended'")
    numbers = steps.line_numbers(page)
    assert numbers == list(range(1, len(numbers) + 1))
    assert page.inner_text(f"#L{numbers[-1]} .console-line-text") == "step 49 of 50"

    # Applied, and in the history.
    page.goto(steps.migration_url(site, WATCHED))
    assert steps.status(page) == "Applied"
    assert f"run {run}" in page.inner_text("#console-sentence")
    page.goto(f"{site.url}/admin/console/run/?migration={WATCHED}")
    assert "Succeeded" in page.inner_text(f"tr:has(a[href*='/run/{run}/change/'])")

    # Unmarked, with a reason.
    page.goto(steps.migration_url(site, WATCHED))
    steps.follow(page, "text=Unmark…")
    page.click("text=Yes, unmark")
    assert page.locator("[name=reason]:invalid").count() == 1
    # The browser takes a space for a reason, the server does not.
    page.fill("[name=reason]", " ")
    steps.follow(page, "text=Yes, unmark")
    assert "This field is required" in page.inner_text(".errorlist")
    page.fill("[name=reason]", "it was the wrong shop")
    steps.follow(page, "text=Yes, unmark")
    page.wait_for_url("**/change/")
    assert steps.status(page) == "Pending"
    assert "unmarked by ana" in page.inner_text("#content")
    assert "it was the wrong shop" in page.inner_text("#content")
    page.goto(f"{site.url}/admin/console/run/?kind__exact=unmark")
    assert WATCHED in page.inner_text("#result_list")


def test_a_viewer_sees_no_button_and_gets_403_for_the_post(site: Site, visit: Visit) -> None:
    page = visit(site, "viewer")
    page.goto(steps.list_url(site))
    assert WATCHED in page.inner_text("#result_list")
    assert page.locator(".action-select, select[name=action]").count() == 0
    page.goto(steps.migration_url(site, WATCHED))
    assert page.locator(".object-tools a").count() == 0
    token = page.input_value("#logout-form [name=csrfmiddlewaretoken]")
    for name, data in {
        "run": {"kind": "run", "database": "default", "reason": "x"},
        "mark": {"confirmed": "1", "reason": "x"},
    }.items():
        answer = page.request.post(
            steps.migration_url(site, WATCHED, name), form={**data, "csrfmiddlewaretoken": token}
        )
        assert answer.status == 403
        assert "CSRF" not in answer.text()


def test_what_looks_like_markup_shows_as_text_and_colours_as_classes(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=1, pause=0)
    steps.wait_for_status(page, "Succeeded")
    page.wait_for_selector("#L2")
    text = page.inner_text("[data-log-lines]")
    assert "<script>document.title = 'taken over'</script><img src=x" in text
    assert page.locator("[data-log-lines] script, [data-log-lines] img").count() == 0
    assert "taken" not in page.title()
    assert page.locator(".ansi-red").inner_text() == "red"
    assert page.locator(".ansi-bold").inner_text() == "bold"
    assert "\x1b" not in text


def test_a_failed_run_shows_the_error_and_leads_to_its_line(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, FAILING)
    steps.wait_for_status(page, "Failed")
    page.wait_for_selector(".console-error")
    assert "the data is not as <b>expected</b>" in page.inner_text("#console-error-title")
    assert not page.locator(".console-error pre").is_visible()
    page.click("text=Go to line")
    line = page.wait_for_selector(".console-line-current")
    assert "Traceback" in line.inner_text()
    assert not page.is_checked("[name=log-follow]")


def test_a_running_run_is_cancelled(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, lines=600)
    page.wait_for_selector("#L3")
    steps.follow(page, "text=Cancel…")
    assert "nothing of it is kept" in page.inner_text("#content")
    steps.follow(page, "text=Yes, cancel it")
    steps.wait_for_status(page, "Cancelled")
    page.goto(steps.migration_url(site, WATCHED))
    assert steps.status(page) == "Pending"


def test_the_list_refreshes_itself_while_a_run_is_active(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, lines=60)
    page.goto(steps.list_url(site, "?q=watch_me_v1"))
    page.wait_for_selector("#console-rows progress")
    first = page.locator("#console-rows progress").first.evaluate("bar => bar.value")
    page.check(".action-select")
    page.wait_for_function(
        "before => (document.querySelector('#console-rows progress')?.value ?? 0) > before", arg=first
    )
    page.wait_for_function("document.querySelector('#console-rows').innerText.includes('Applied')", timeout=30_000)
    # The search is still there, and so is what was ticked.
    assert page.input_value("#searchbar") == "watch_me_v1"
    assert page.is_checked(".action-select")
    site.manage("custom_migrations", "unmark", WATCHED, "--reason", "for the next test")


def test_no_worker_is_said_on_the_list_with_the_command_that_starts_one(tmp_path: Path, visit: Visit) -> None:
    with running(tmp_path, worker=False) as alone:
        page = visit(alone)
        page.goto(steps.list_url(alone))
        assert "No worker was seen" in page.inner_text(".messagelist")
        assert "python manage.py qcluster" in page.inner_text(".messagelist")
        # The run waits and says so, too.
        steps.ask(page, alone, WATCHED, "dry_run")
        assert steps.status(page) == "Enqueued"
        assert "python manage.py qcluster" in page.inner_text("#content")


def test_everything_works_without_a_script(site: Site, visit: Visit) -> None:
    page = visit(site, java_script_enabled=False)
    page.goto(steps.list_url(site, "?q=watch_me_v1"))
    steps.follow(page, f"text={WATCHED}")
    steps.follow(page, "text=Dry run…")
    page.fill("[name='arg-lines']", "2")
    page.fill("[name='arg-pause']", "0")
    page.fill("[name=reason]", "no script")
    steps.follow(page, "text=Go on to confirm")
    steps.follow(page, "text=Yes, dry-run it")
    deadline = time.monotonic() + 20
    while "Succeeded" not in page.inner_text("#console-state") and time.monotonic() < deadline:
        page.wait_for_timeout(300)
        page.reload()
    assert "step 1 of 2" in page.inner_text("[data-log-lines]")
    assert not page.is_visible("[name=log-follow]")
    assert re.search(r"Lines 1 to \d+ of \d+", page.inner_text(".console-log"))
