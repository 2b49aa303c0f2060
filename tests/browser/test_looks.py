"""Every page: accessible in light and dark, no sideways scrolling at 360 pixels, nothing inline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import steps
from tests.browser.site import Site
from tests.browser.steps import FAILING, WAITING, WATCHED

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
# A run of long ago whose log was taken away, with notices in each of their states.
TOLD = """
from datetime import timedelta
from django.utils import timezone
from console.models import Notice, Run
now = timezone.now()
run = Run.objects.create(
    migration="told_2026_01_01", status="failed", finished_at=now, log_next=1235, log_pruned_at=now,
    error_class="ValueError", error_message="no such row", error_line=12,
)
later = now + timedelta(days=9)
states = [{"sent_at": now}, {"due_at": later}, {"due_at": later, "tries": 2, "error": "SMTPServerDisconnected" * 20},
    {"tries": 12, "error": "refused"}, {"error": "ana has no address."}]
for number, fields in enumerate(states):
    Notice.objects.create(run=run, event="failed", channel=f"channel-{number}", once_key=f"look-{run.key}-{number}",
        created_at=now - timedelta(days=30), **fields)
print(run.pk)
"""

CHANGED_NAME = "normalize_customer_emails_v1_2026_11_02"
# Applied with another source, after a few runs: there is a difference to show, a chart, and what is usual.
CHANGED = f"""
from datetime import timedelta
from django.utils import timezone
from console.models import Run
from data_migrations import ledger, registry
from data_migrations.models import AppliedSource
from data_migrations.reporting import Door
now = timezone.now()
for seconds, kind, status in ((40, "dry_run", "succeeded"), (12, "run", "failed"), (232, "run", "succeeded"),
    (250, "run", "succeeded"), (552, "run", "succeeded")):
    Run.objects.create(migration="{CHANGED_NAME}", kind=kind, status=status, requested_by="ana", reason="to look at",
        started_at=now - timedelta(seconds=seconds), finished_at=now)
ledger.record("{CHANGED_NAME}", using="default", by="ana", door=Door.WORKER, checksum="c" * 64)
source = registry.get("{CHANGED_NAME}").source
AppliedSource.objects.create(checksum="c" * 64, text=source.replace("def ", "async def "), seen_at=now)
"""


# A run that somebody else asked for, and one whose time has not come.
PLANNED = f"""
from datetime import timedelta
from django.utils import timezone
from console import dispatch
from console.models import Run
waiting = dispatch.request_run("{WAITING}", user="ben", reason="the report needs it", values={{"token": "s3cret"}})
scheduled = Run.objects.create(migration="planned_2026_01_01", status="scheduled", decision="approved",
    decided_by="bea", start_at=timezone.now() + timedelta(days=3), decided_at=timezone.now(), decision_note="go")
print(waiting.pk, scheduled.pk)
"""


@pytest.fixture(scope="module")
def finished(site: Site, browser: Any) -> Iterator[dict[str, int]]:
    """A dry run and a failed run to look at."""
    page = browser.new_context().new_page()
    page.goto(f"{site.url}/admin/login/")
    page.fill("#id_username", "ana")
    page.fill("#id_password", "demo")
    steps.follow(page, "[type=submit]")
    dry = steps.ask(page, site, WATCHED, "dry_run", lines=5, pause=0)
    steps.wait_for_status(page, "Succeeded")
    failed = steps.ask(page, site, FAILING)
    steps.wait_for_status(page, "Failed")
    told = int(site.manage("shell", "-c", TOLD).stdout.split()[-1])
    site.manage("shell", "-c", CHANGED)
    waiting, scheduled = map(int, site.manage("shell", "-c", PLANNED).stdout.split()[-2:])
    yield {"dry": dry, "failed": failed, "told": told, "waiting": waiting, "scheduled": scheduled}
    page.context.close()


def addresses(site: Site, finished: dict[str, int]) -> dict[str, str]:
    run = f"{site.url}/admin/console/run"
    return {
        "list": steps.list_url(site),
        "nothing found": steps.list_url(site, "?q=nothing"),
        "migration": steps.migration_url(site, WATCHED),
        "failed migration": steps.migration_url(site, FAILING),
        "form": steps.migration_url(site, WATCHED, "run"),
        "mark": steps.migration_url(site, WATCHED, "mark"),
        "changed migration": steps.migration_url(site, CHANGED_NAME),
        "compare": f"{run}/compare/?run={finished['dry']}&run={finished['failed']}",
        "compare with": f"{run}/{finished['dry']}/compare/",
        "schema migrations": f"{site.url}/admin/console/schemamigration/",
        "no schema migration": f"{site.url}/admin/console/schemamigration/?q=nothing",
        "health": f"{site.url}/admin/console/health/",
        "dry run": f"{run}/{finished['dry']}/change/",
        "failed run": f"{run}/{finished['failed']}/change/",
        "notices": f"{run}/{finished['told']}/change/",
        "waiting run": f"{run}/{finished['waiting']}/change/",
        "approve": f"{run}/{finished['waiting']}/approve/",
        "reject": f"{run}/{finished['waiting']}/reject/",
        "scheduled run": f"{run}/{finished['scheduled']}/change/",
        "start now": f"{run}/{finished['scheduled']}/start/",
        "history": f"{run}/",
    }


def confirm_page(page: Any, site: Site) -> None:
    page.goto(steps.migration_url(site, WATCHED, "run"))
    page.fill("[name=reason]", "to look at the confirm page")
    steps.follow(page, "text=Go on to confirm")
    page.wait_for_selector("[name=ticket]", state="attached")


def violations(page: Any) -> list[str]:
    """What axe calls serious or critical, in our part of the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context="#content").response["violations"]
    return [
        f"{each['id']}: {node['html'][:150]} {node.get('failureSummary', '')[:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site: Site, visit: Visit, finished: dict[str, int], scheme: str) -> None:
    page = visit(site, color_scheme=scheme)
    found = {}
    for name, address in addresses(site, finished).items():
        page.goto(address)
        page.wait_for_timeout(300)
        found[name] = violations(page)
    confirm_page(page, site)
    found["confirm"] = violations(page)
    # Django's own part of the history is Django's; what we put into it is ours.
    found["history"] = [each for each in found["history"] if "console-" in each]
    assert {name: each for name, each in found.items() if each} == {}


def test_nothing_scrolls_sideways_at_360_pixels(site: Site, visit: Visit, finished: dict[str, int]) -> None:
    page = visit(site, viewport={"width": 360, "height": 740})
    wide = {}
    for name, address in addresses(site, finished).items():
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 360:
            wide[name] = width
    confirm_page(page, site)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert wide == {}


def test_a_strict_content_security_policy_holds(site: Site, visit: Visit, finished: dict[str, int]) -> None:
    page = visit(site)
    said = steps.strict(page)
    pages = addresses(site, finished)
    del pages["history"]  # Django's own list has an inline style before 6.0.
    for address in pages.values():
        page.goto(address)
        page.wait_for_timeout(200)
    # The log's script got to its end, too.
    page.goto(pages["failed run"])
    page.wait_for_selector("[data-log-chip][data-state=ended]")
    assert said == []


def test_right_to_left_keeps_the_log_left_to_right(site: Site, visit: Visit, finished: dict[str, int]) -> None:
    page = visit(site)
    page.goto(f"{site.url}/admin/console/run/{finished['dry']}/change/")
    page.wait_for_selector("#L2")
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert page.evaluate("getComputedStyle(document.querySelector('#L2')).direction") == "ltr"
    title, badge = (page.locator(each).bounding_box() for each in (".console-name", "#console-state"))
    assert badge["x"] < title["x"]
