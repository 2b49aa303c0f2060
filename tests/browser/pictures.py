"""The pictures of docs/console.md: ``python -m tests.browser.pictures`` (``make screenshots``) makes them anew.

Runs in each state are written into the tables, and no worker is there to change them: so the set is the same each
time, and complete. ``--only WORD`` takes those whose names have the word.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.admin.utils import quote
from playwright.sync_api import sync_playwright

from tests.browser.site import ARGUMENTS, ROOT, Site, chromium, running

FOLDER = ROOT / "docs" / "images" / "console"
# What "manage.py shell" is told; states.py cannot be imported here, where no Django is set up.
WRITE = "from tests.browser.states import write; write()"
EMAILS, SEGMENT, SEED, STALE, CUSTOMERS = (
    "normalize_customer_emails_v1_2026_11_02", "segment_customers_v1_2026_11_19", "seed_countries_v1_2026_11_01",
    "close_stale_orders_v2_2026_11_09", "migrate_customers_v1_2026_11_21",
)  # fmt: skip
QUALITY = 62
TALL = 900


@dataclass(frozen=True)
class Picture:
    """One picture.

    Args:
        route: the name of the address without ``console_``.
        what: the data migration, or the word of the run, that it shows.
        says: what to see in it, for the page of the docs.
        query: the rest of the address.
        scheme, width: as they are looked at.
        confirm: go on from the form to the confirm page.
    """

    route: str
    what: str
    says: str
    query: str = ""
    scheme: str = "light"
    width: int = 1100
    confirm: bool = False


def _states() -> dict[str, Picture]:
    words = {
        "waiting": "waits for a second person",
        "scheduled": "waits for its time",
        "enqueued": "waits for a worker",
        "running": "goes on: progress, rate, time left, and its log",
        "paused": "stopped between two batches, to be resumed",
        "interrupted": "lost its process, and says what becomes of it",
        "cancelled": "was stopped by a person; finished batches are kept",
        "succeeded": "is done",
        "failed": "shows its error before anything else",
        "aside": "is through but for rows that were set aside",
        "dry": "was a dry run: what would change, with rows before and after",
    }
    return {f"run-{word}": Picture("run_change", word, f"A run that {says}") for word, says in words.items()}


PICTURES: dict[str, Picture] = {
    "list": Picture("migration_changelist", "", "All data migrations with their states"),
    "list-dark": Picture("migration_changelist", "", "The same in the dark", scheme="dark"),
    "list-narrow": Picture("migration_changelist", "", "The same on a telephone", width=360),
    "migration": Picture("migration_change", EMAILS, "One data migration"),
    "form": Picture("migration_run", STALE, "Asking for a run: its own arguments as fields"),
    "confirm": Picture("migration_start", STALE, "What will be done where, before it is", confirm=True),
    "mark": Picture("migration_mark", SEGMENT, "Marking as applied, with a reason"),
    "unmark": Picture("migration_unmark", SEED, "Taking a record out"),
    "aside": Picture("migration_change", CUSTOMERS, "One whose rows are done but for one that was set aside"),
    "accept": Picture("migration_accept", CUSTOMERS, "Accepting rows that were set aside"),
    **_states(),
    "run-running-dark": Picture("run_change", "running", "A run that goes on, in the dark", scheme="dark"),
    "run-failed-narrow": Picture("run_change", "failed", "A failed run on a telephone", width=360),
    "approve": Picture("run_approve", "waiting", "Approving what somebody else asked for"),
    "reject": Picture("run_reject", "waiting", "Rejecting it, with a note"),
    "start": Picture("run_start", "scheduled", "Starting before its time"),
    "pause": Picture("run_pause", "running", "Pausing"),
    "resume": Picture("run_resume", "paused", "Resuming"),
    "cancel": Picture("run_cancel", "running", "Cancelling"),
    "force": Picture("run_force", "running", "Stopping by force"),
    "tune": Picture("run_tune", "running", "Another batch size while it goes on"),
    "history": Picture("run_changelist", "", "The history of runs, with its filters"),
    "history-narrow": Picture("run_changelist", "", "The history on a telephone", width=360),
    "compare-with": Picture("run_compare_with", "failed", "What a run can be compared with"),
    "compare": Picture("run_compare", "", "Two runs side by side", query="compare/?run={failed}&run={dry}"),
    "health": Picture("health_changelist", "", "What is well with the console, and what is not"),
    "schema": Picture("schemamigration_changelist", "", "Django's own migrations, and what hangs on which"),
}


def main() -> int:
    """Parse, start the site, take the pictures. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD")
    options = parser.parse_args()
    if chromium() is None:
        print("No Chromium found: install one, or name it in CHROMIUM.", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    settings = {"DJANGO_SETTINGS_MODULE": "console.site.settings", "ENVIRONMENT": "production"}
    with tempfile.TemporaryDirectory() as data, running(Path(data), worker=False, **settings) as site:
        runs = write_states(site)
        with sync_playwright() as playwright:
            chrome = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            page = chrome.new_context().new_page()
            log_in(page, site)
            for name, picture in PICTURES.items():
                if options.only in name:
                    size = take(page, site, picture, runs, FOLDER / f"{name}.webp")
                    print(f"{name}.webp {size:,} bytes", flush=True)
            chrome.close()
    return 0


def write_states(site: Site) -> dict[str, int]:
    """The numbers of the runs, by their words."""
    lines = site.manage("shell", "-c", WRITE).stdout.splitlines()
    pairs = [line.split() for line in lines if len(line.split()) == 2 and line.split()[1].isdecimal()]
    return {word: int(number) for word, number in pairs}


def log_in(page: Any, site: Site) -> None:
    """As somebody who may do everything."""
    page.goto(f"{site.url}/admin/login/")
    page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    page.fill("#id_username", "ana")
    page.fill("#id_password", "demo")
    page.click("[type=submit]")


def address(site: Site, picture: Picture, runs: dict[str, int]) -> str:
    """Where it is."""
    model, _, page = picture.route.partition("_")
    here = f"{site.url}/admin/console/{model}/"
    if not picture.what:
        return here + picture.query.format(**runs)
    what = runs[picture.what] if model == "run" else quote(picture.what)
    return f"{here}{what}/{'run' if picture.confirm else page.replace('compare_with', 'compare')}/"


def take(page: Any, site: Site, picture: Picture, runs: dict[str, int], path: Path) -> int:
    """Take one; gives its bytes. Chromium writes WebP, which is half of what PNG takes."""
    page.set_viewport_size({"width": picture.width, "height": 740})
    page.emulate_media(color_scheme=picture.scheme, reduced_motion="reduce")
    page.goto(address(site, picture, runs))
    if picture.confirm:
        page.fill("[name=reason]", "OPS-1204: the shop opens in new countries")
        page.click("text=Go on to confirm")
        page.wait_for_selector("[name=ticket]", state="attached")
    page.wait_for_timeout(400)
    height = min(TALL, int(page.evaluate("document.documentElement.scrollHeight")))
    page.set_viewport_size({"width": picture.width, "height": height})
    page.wait_for_timeout(200)
    shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    path.write_bytes(base64.b64decode(shot["data"]))
    return path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
