"""A batched run from its page: paused, resumed, tuned, forced to stop, its rows set aside and accepted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import steps
from tests.browser.site import Site
from tests.browser.test_looks import violations

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
BATCHES = "watch_batches_v1_2026_11_21"
# Where pictures of the pages go, to look at; nowhere by default.
PICTURES = os.environ.get("LOOKS_DIR")


def check_looks(page: Any, name: str, *, reload: bool = True) -> None:
    """Nothing serious for axe in light and dark, no sideways scrolling at 360 pixels."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        if scheme == "dark" and reload:
            # What is out of sight keeps its old colours for a while.
            page.reload()
        page.wait_for_timeout(600)
        assert violations(page) == [], (name, scheme)
        for width, height in ((360, 740), (1280, 900)):
            page.set_viewport_size({"width": width, "height": height})
            if PICTURES:
                page.screenshot(path=f"{PICTURES}/{name}-{scheme}-{width}.png", full_page=True)
            if width == 360:
                assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.emulate_media(color_scheme="light")


def test_a_batched_run_is_paused_tuned_resumed_stopped_by_force_and_finished(site: Site, visit: Visit) -> None:
    page = visit(site)
    run = steps.ask(page, site, BATCHES, hang_at=38)
    steps.wait_for_status(page, "Running")
    page.wait_for_selector("text=rows/s")
    page.wait_for_selector("dt:text-is('Batches')")
    check_looks(page, "running")

    steps.follow(page, "text=Pause…")
    check_looks(page, "pause")
    steps.follow(page, "text=Yes, pause it")
    steps.wait_for_status(page, "Paused")
    # That it was asked to pause, as was said while it was running, is over.
    page.wait_for_selector("main > .messagelist", state="detached")
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent === 'Paused'")

    steps.follow(page, "text=Batch size and pause…")
    check_looks(page, "tune")
    page.fill("[name=batch_size]", "4")
    page.fill("[name=pause]", "0")
    steps.follow(page, "text=Change it")
    page.wait_for_selector("text=4 asked for")

    steps.follow(page, "text=Resume…")
    check_looks(page, "resume")
    steps.follow(page, "text=Yes, resume it")
    page.wait_for_selector(".console-line-text:text-is('batch 38')", state="attached")
    check_looks(page, "hanging")

    steps.follow(page, "text=Force stop…")
    check_looks(page, "force")
    steps.follow(page, "text=Yes, stop it by force")
    began = time.monotonic()
    steps.wait_for_status(page, "Stopped by force", timeout=8000)
    assert time.monotonic() - began < 7
    assert f"/run/{run}/" in page.url
    page.wait_for_selector("dt:text-is('Attempts') + dd li:nth-child(2)")

    # The queue's worker takes the next run, which goes on after the last finished batch.
    steps.ask(page, site, BATCHES, poison=190)
    steps.wait_for_status(page, "Failed", timeout=60_000)
    page.wait_for_selector("text=Resuming after batch 37", state="attached")
    page.wait_for_selector(".console-quarantine td[data-label=Error]")
    assert "customer 190 <cannot> be read" in page.inner_text(".console-quarantine td[data-label=Error]")
    check_looks(page, "quarantine")
    steps.follow(page, "text=Accept with a reason…")
    check_looks(page, "accept")
    page.fill("[name=reason]", "A test order")
    steps.follow(page, "text=Yes, accept it")
    page.wait_for_selector("text=Accepted: 1 row stays as it is")
    check_looks(page, "accepted")
    steps.ask(page, site, BATCHES)
    steps.wait_for_status(page, "Succeeded")


def test_a_dry_run_shows_rows_before_and_after_and_how_long_it_would_take(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, "migrate_customers_v1_2026_11_21", "dry_run")
    steps.wait_for_status(page, "Succeeded")
    page.wait_for_selector("text=Before and after")
    assert page.locator(".console-samples code:text-is('needs_migration')").count() >= 3
    assert "All of it would take <strong>" in page.content()
    # The row that would be set aside leads to its error.
    steps.follow(page, "text=The log has the error")
    page.wait_for_selector(".console-line-current:has-text('Would be set aside')")
    check_looks(page, "dry")


def test_a_file_is_uploaded_and_one_with_the_wrong_columns_is_turned_away(site: Site, visit: Visit) -> None:
    page = visit(site)
    page.goto(steps.migration_url(site, "watch_import_v1_2026_11_21", "run"))
    page.fill("[name=reason]", "because of the test")
    wrong = {"name": "customers.csv", "mimeType": "text/csv", "buffer": b"mail,name\na@b.example,Ada\n"}
    page.set_input_files("[name=arg-csv]", wrong)
    steps.follow(page, "text=Go on to confirm")
    page.wait_for_selector("text=has no column 'email'")
    check_looks(page, "upload-refused", reload=False)
    good = b"email,name\na@b.example,Ada\nc@d.example,Chlo\xc3\xa9\ne@f.example,Ema\n"
    page.set_input_files("[name=arg-csv]", {**wrong, "buffer": good})
    steps.follow(page, "text=Go on to confirm")
    page.wait_for_selector("text=customers.csv (uploaded)")
    steps.follow(page, "input[type=submit][value^='Yes']")
    steps.wait_for_status(page, "Succeeded")
    page.wait_for_selector("text=c@d.example: Chloé", state="attached")
    assert "customers.csv (uploaded)" in page.inner_text("#console-run-facts")
