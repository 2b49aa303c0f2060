"""Each page in each state, from the list of pictures (which tests/test_pictures.py holds complete).

Accessible, under a strict policy, by keyboard alone, from right to left, in forced colours, without a script, narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import pictures, steps
from tests.browser.pictures import PICTURES, Picture
from tests.browser.site import Site, running
from tests.browser.test_looks import violations

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
# Each address once; the looks of a picture are not what is tested here.
PAGES = {name: picture for name, picture in PICTURES.items() if picture.scheme == "light" and picture.width > 360}
# In the console's part of the page: what can be reached by pointing must be reached by Tab, and show that it was.
REACHABLE = """() => [...document.querySelectorAll('#content a[href], #content button, #content input,'
    + '#content select, #content textarea, #content summary')].filter(each => each.type !== 'hidden'
    && !each.disabled && each.tabIndex >= 0
    && each.checkVisibility({visibilityProperty: true, opacityProperty: true})).length"""
FOCUSED = """() => {
    const each = document.activeElement;
    if (!each || !each.closest('#content')) return null;
    const style = getComputedStyle(each);
    const label = each.closest('label');
    const ring = (one) => one && (one.outlineStyle !== 'none' && parseFloat(one.outlineWidth) > 0
        || one.boxShadow !== 'none');
    const before = each.dataset.seen;
    each.dataset.seen = '1';
    // The browser marks the parts of a field for a time itself.
    const marked = ring(style) || ring(label && getComputedStyle(label)) || each.type === 'datetime-local';
    return [before === undefined, Boolean(marked), each.outerHTML.slice(0, 120)];
}"""
# Long words, in a failed run and in a dry run.
LONG = """
from django.utils import timezone
from console.models import Run
values = {"migration": "recalculate_warehouse_reorder_suggestions_v12_2026_11_21",
    "requested_by": "central.warehouse@" * 8, "requested_at": timezone.now(),
    "started_at": timezone.now(), "finished_at": timezone.now()}
failed = Run.objects.create(**values, status="failed", traceback="",
    error_class="warehouse.reordering.suggestions.exceptions.SuggestionCouldNotBeRecalculatedError",
    error_message="reorder/suggestion/lines/of/the/central/warehouse/" * 3)
dry = Run.objects.create(**values, kind="dry_run", status="succeeded", changes=[
    {"table": "warehouse_reorder_suggestion_line", "inserted": 1234567, "updated": 12345678, "deleted": 123456}])
print(failed.pk, dry.pk)
"""
STICKS_OUT = """selector => [...document.querySelectorAll(selector)].filter(each => each.scrollWidth > each.clientWidth)
    .map(each => each.outerHTML.slice(0, 100))"""
# What stands before the facts of the first run.
LABELS = """() => [...document.querySelectorAll('#result_list tbody tr:first-child :is(td, th)')].map(each =>
    getComputedStyle(each, '::before').content).filter(text => text !== 'none').map(text => text.slice(1, -1))"""
# Each part of a name up to its next "_" is a text of its own, on one line.
BROKEN = """() => [...document.querySelectorAll('td.field-migration_link a, #changelist-filter a')].filter(each =>
    each.textContent.includes('_') && [...each.childNodes].some(node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return node.nodeType === Node.TEXT_NODE && range.getClientRects().length > 1;
    })).map(each => each.textContent)"""
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\\u001b]8;;javascript:alert(1)\\u0007x"


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, int]]]:
    """A site without a worker, with a run in each state."""
    with running(
        tmp_path_factory.mktemp("still"), worker=False, DJANGO_SETTINGS_MODULE="console.site.settings"
    ) as site:
        yield site, pictures.write_states(site)


Still = tuple[Site, dict[str, int]]


def go(page: Any, still: Still, picture: Picture) -> None:
    site, runs = still
    page.goto(pictures.address(site, picture, runs))
    if picture.confirm:
        page.fill("[name=reason]", "to look at the confirm page")
        steps.follow(page, "text=Go on to confirm")
        page.wait_for_selector("[name=ticket]", state="attached")


def test_axe_finds_nothing_serious_on_any_page_in_any_state(still: Still, visit: Visit) -> None:
    page = visit(still[0])
    found = {}
    for name, picture in PAGES.items():
        go(page, still, picture)
        page.wait_for_timeout(200)
        seen = violations(page)
        # Django's own part of its list is Django's.
        found[name] = [each for each in seen if "console-" in each] if picture.route == "run_changelist" else seen
    assert {name: each for name, each in found.items() if each} == {}


def test_a_strict_policy_holds_nothing_scrolls_sideways_and_nothing_breaks_from_right_to_left(
    still: Still, visit: Visit
) -> None:
    page = visit(still[0])
    said = steps.strict(page)
    wrong: dict[str, Any] = {}
    for name, picture in PAGES.items():
        page.set_viewport_size({"width": 1180, "height": 800})
        go(page, still, picture)
        page.set_viewport_size({"width": 360, "height": 740})
        for direction in ("ltr", "rtl"):
            page.evaluate("direction => { document.documentElement.dir = direction; }", direction)
            for colours in ("none", "active"):
                page.emulate_media(forced_colors=colours)
                width = page.evaluate("document.documentElement.scrollWidth")
                if width > 360:
                    wrong[f"{name} {direction} {colours}"] = width
        if said:
            wrong[f"{name} policy"] = said.copy()
            said.clear()
    assert wrong == {}


def test_long_words_stay_in_their_boxes_and_no_column_is_cut_off_at_360_pixels(still: Still, visit: Visit) -> None:
    page = visit(still[0], viewport={"width": 360, "height": 740})
    failed, dry = map(int, still[0].manage("shell", "-c", LONG).stdout.split()[-2:])
    page.goto(f"{still[0].url}/admin/console/run/{failed}/change/")
    assert page.evaluate(STICKS_OUT, ".console-error") == []
    page.goto(f"{still[0].url}/admin/console/run/{dry}/change/")
    assert page.locator(".console-numbers").count() == 1
    assert page.evaluate(STICKS_OUT, ".console-scroll") == []


def test_the_rows_of_the_history_are_cards_on_a_small_screen_each_fact_with_its_label(
    still: Still, visit: Visit
) -> None:
    page = visit(still[0], viewport={"width": 360, "height": 740})
    still[0].manage("shell", "-c", LONG)
    page.goto(f"{still[0].url}/admin/console/run/")
    assert page.locator("#result_list tbody tr").count() > 5
    assert page.evaluate(STICKS_OUT, "#result_list, .results, #result_list :is(tr, td, th)") == []
    assert page.evaluate(LABELS) == ["What", "Asked for", "Took", "By"]
    # What the list can be sorted by stays in reach.
    sortable = page.locator("#result_list thead th .text a").all()
    assert [each.inner_text().casefold() for each in sortable if each.is_visible()] == ["run", "asked for"]
    assert page.locator("a[href='#changelist-filter']").is_visible()
    # So they are where the filters beside them leave them no more room.
    page.set_viewport_size({"width": 1100, "height": 900})
    assert page.evaluate(STICKS_OUT, "#result_list, .results, #result_list :is(tr, td, th)") == []
    assert not page.locator("a[href='#changelist-filter']").is_visible()
    # On a wide one it is a table.
    page.set_viewport_size({"width": 1600, "height": 900})
    assert page.evaluate(LABELS) == []


def test_names_in_the_history_break_after_an_underscore_only(still: Still, visit: Visit) -> None:
    page = visit(still[0], viewport={"width": 1280, "height": 900})
    still[0].manage("shell", "-c", LONG)
    page.goto(f"{still[0].url}/admin/console/run/")
    assert page.locator("td.field-migration_link a").count() > 5
    assert page.evaluate(BROKEN) == []


def test_the_browser_asks_for_a_missing_reason_before_anything_is_sent(still: Still, visit: Visit) -> None:
    site = still[0]
    missing = "document.querySelector('[name=reason]').matches(':invalid')"
    page = visit(site)
    page.goto(steps.migration_url(site, pictures.STALE, "mark"))
    page.click("input[type=submit][value^='Yes']")
    assert page.evaluate(missing)
    assert page.locator(".errornote").count() == 0
    page.goto(steps.migration_url(site, pictures.STALE, "run") + "?kind=run")
    page.click("text=Go on to confirm")
    assert page.evaluate(missing)
    # What is required goes with what is chosen.
    page.check("[name=kind][value=dry_run]")
    assert not page.evaluate(missing)
    page.check("[name=kind][value=run]")
    assert page.evaluate(missing)
    page.check("[name=kind][value=dry_run]")
    steps.follow(page, "text=Go on to confirm")
    assert page.locator("[name=ticket]").count() == 1
    # Without a script nobody is held up by a choice that was made after the page came; the server looks at it.
    plain = visit(site, java_script_enabled=False)
    plain.goto(steps.migration_url(site, pictures.STALE, "run") + "?kind=run")
    plain.check("[name=kind][value=dry_run]")
    steps.follow(plain, "text=Go on to confirm")
    assert plain.locator("[name=ticket]").count() == 1


def test_everything_is_reached_by_keyboard_and_shows_where_it_is(still: Still, visit: Visit) -> None:
    page = visit(still[0])
    wrong: dict[str, Any] = {}
    for name, picture in PAGES.items():
        go(page, still, picture)
        page.wait_for_timeout(300)
        wanted = page.evaluate(REACHABLE)
        reached, unmarked = 0, []
        for _ in range(wanted * 2 + 60):
            page.keyboard.press("Tab")
            seen = page.evaluate(FOCUSED)
            if seen is None:
                if reached:
                    break
                continue
            is_new, is_marked, html = seen
            # A field for a date has several stops.
            reached += is_new
            if not is_marked:
                unmarked.append(html)
        # Of radio buttons, Tab reaches the chosen one; the arrows reach the others.
        radios = page.evaluate("document.querySelectorAll('#content input[type=radio]').length")
        if reached < wanted - radios:
            wrong[name] = f"{reached} of {wanted} reached"
        if unmarked:
            wrong[f"{name} focus"] = unmarked
    assert wrong == {}


def test_each_page_says_the_same_without_a_script(still: Still, visit: Visit) -> None:
    with_scripts, without = visit(still[0]), visit(still[0], java_script_enabled=False)
    wrong = {}
    for name, picture in PAGES.items():
        titles = []
        for page in (with_scripts, without):
            go(page, still, picture)
            titles.append(page.title())
        if titles[0] != titles[1] or not without.inner_text("#content").strip():
            wrong[name] = titles
    assert wrong == {}


def test_no_script_in_a_text_runs_in_a_browser(still: Still, visit: Visit) -> None:
    site, runs = still
    code = f'''
from console.models import LogChunk, Run
run = Run.objects.get(pk={runs["failed"]})
bad = "{NASTY}"
values = dict(reason=bad, requested_by=bad[:150], error_message=bad, traceback=bad, note=bad, result=bad,
    host=bad[:255], arguments={{"x": bad}}, release=bad[:200])
new = Run.objects.create(migration=bad[:100] + "/../x", status="failed", **values)
LogChunk.objects.create(run=new, first=1, count=2, bytes=9, at=run.requested_at, text=bad + chr(10) + bad,
    meta='[[0, "o"], [0, "r"]]')
Run.objects.filter(pk=new.pk).update(log_next=3)
print("hostile", new.pk)
'''
    number = int(site.manage("shell", "-c", code).stdout.split()[-1])
    page = visit(site)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in (
        f"run/{number}/change/",
        "run/",
        "migration/",
        f"run/{number}/compare/",
        "run/?q=%3Cscript%3Ealert(1)",
    ):
        page.goto(f"{site.url}/admin/console/{path}")
        page.wait_for_timeout(500)
        assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        assert (
            page.evaluate("[...document.querySelectorAll('a')].filter(a => a.protocol === 'javascript:').length") == 0
        )
    assert dialogs == []
