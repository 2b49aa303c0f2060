"""Pictures of the pages: ``python -m tests.browser.screenshots`` makes docs/images/run.png anew.

With ``--all DIRECTORY`` every page is taken, light and dark, wide and narrow, to look at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser import steps
from tests.browser.site import ARGUMENTS, ROOT, Site, chromium, running
from tests.browser.steps import FAILING, WATCHED

README_IMAGE = ROOT / "docs" / "images" / "run.png"
BACKFILL = "backfill_order_totals_v1_2026_11_05"
SIZES = ((1280, 900), (360, 740))


def main() -> int:
    """Parse, start the site, take the pictures. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", metavar="DIRECTORY", type=Path, help="take every page, into this directory")
    options = parser.parse_args()
    if chromium() is None:
        print("No Chromium found: install one, or name it in CHROMIUM.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as data, _logged_in(Path(data)) as (site, page):
        if options.all:
            take_all(page, site, options.all)
        else:
            take_run(page, site, README_IMAGE)
            print(README_IMAGE)
    return 0


@contextmanager
def _logged_in(data: Path) -> Iterator[tuple[Site, Any]]:
    with (
        running(data, DEMO_CUSTOMERS="5000", DEMO_ORDERS="20000", ENVIRONMENT="production") as site,
        sync_playwright() as playwright,
    ):
        chrome = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = chrome.new_context(viewport={"width": 1180, "height": 860}).new_page()
        page.goto(f"{site.url}/admin/login/")
        page.fill("#id_username", "ana")
        page.fill("#id_password", "demo")
        steps.follow(page, "[type=submit]")
        yield site, page
        chrome.close()


def take_run(page: Any, site: Site, path: Path) -> None:
    """A run that goes on, with its log."""
    page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    page.set_viewport_size({"width": 1180, "height": 960})
    path.parent.mkdir(parents=True, exist_ok=True)
    steps.ask(page, site, BACKFILL, reason="The yearly report needs the totals", chunk=250, pause=0.15)
    page.wait_for_selector("#L34", state="attached")
    page.add_style_tag(content=".console-pane { max-block-size: 19.3rem; }")
    page.wait_for_timeout(600)
    page.screenshot(path=path)
    steps.follow(page, "text=Cancel…")
    steps.follow(page, "text=Yes, cancel it")
    steps.wait_for_status(page, "Cancelled")


def take_all(page: Any, site: Site, directory: Path) -> None:
    """Every page in every state that is quickly reached."""
    directory.mkdir(parents=True, exist_ok=True)

    def shoot(name: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                page.wait_for_timeout(200)
                page.screenshot(path=directory / f"{name}-{scheme}-{width}.png", full_page=True)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 900})

    page.set_viewport_size({"width": 1280, "height": 900})
    steps.ask(page, site, "normalize_customer_emails_v1_2026_11_02", "dry_run")
    steps.wait_for_status(page, "Succeeded")
    shoot("run-dry")
    steps.ask(page, site, FAILING)
    steps.wait_for_status(page, "Failed")
    page.wait_for_timeout(1500)
    shoot("run-failed")
    steps.ask(page, site, BACKFILL, chunk=200, pause=0.3)
    page.wait_for_selector("#L12", state="attached")
    shoot("run-running")
    page.emulate_media(forced_colors="active")
    page.screenshot(path=directory / "run-running-forced-colours.png")
    page.emulate_media(forced_colors="none")
    page.evaluate("document.documentElement.dir = 'rtl'")
    page.screenshot(path=directory / "run-running-right-to-left.png")
    running_page = page.url
    page.goto(steps.list_url(site))
    shoot("list")
    page.emulate_media(forced_colors="active")
    page.screenshot(path=directory / "list-forced-colours.png")
    page.emulate_media(forced_colors="none")
    page.evaluate("document.documentElement.dir = 'rtl'")
    page.screenshot(path=directory / "list-right-to-left.png")
    page.goto(steps.migration_url(site, BACKFILL))
    shoot("migration-running")
    page.goto(running_page.replace("/change/", "/cancel/"))
    shoot("cancel")
    steps.follow(page, "text=Yes, cancel it")
    steps.wait_for_status(page, "Cancelled")
    shoot("run-cancelled")
    for name, address in {
        "list-none-match": steps.list_url(site, "?q=nothing"),
        "migration-pending": steps.migration_url(site, "segment_customers_v1_2026_11_19"),
        "migration-applied": steps.migration_url(site, "seed_countries_v1_2026_11_01"),
        "form": steps.migration_url(site, WATCHED, "run"),
        "mark": steps.migration_url(site, WATCHED, "mark"),
        "history": f"{site.url}/admin/console/run/",
        "health": f"{site.url}/admin/console/health/",
    }.items():
        page.goto(address)
        shoot(name)
    page.goto(steps.migration_url(site, WATCHED, "run"))
    steps.follow(page, "text=Go on to confirm")
    shoot("form-with-errors")
    page.fill("[name='arg-token']", "s3cret")
    page.fill("[name=reason]", "To see the confirm page")
    steps.follow(page, "text=Go on to confirm")
    shoot("confirm")


if __name__ == "__main__":
    sys.exit(main())
