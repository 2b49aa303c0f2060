"""Long logs: any line at once, links to lines and ranges, levels, groups, and nothing but text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import logs, steps
from tests.browser.site import Site
from tests.browser.test_log_pane import top_line, wait_for_current

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(site: Site) -> dict[str, int]:
    """Runs with logs of each kind."""
    lengths = {"plain": 150_000, "long": 5_000, "grouped": 3_000, "hostile": 40}
    return {kind: logs.make(site, kind, count) for kind, count in lengths.items()}


def look_at(page: Any, site: Site, run: int, rest: str = "") -> None:
    page.goto("about:blank")
    page.goto(f"{site.url}/admin/console/run/{run}/change/{rest}")
    page.wait_for_selector("[data-log-chip][data-state=ended]")


def count(page: Any) -> int:
    return int(page.locator(".console-line").count())


def marked(page: Any) -> list[int]:
    return [
        int(each) for each in page.eval_on_selector_all(".console-line-current", "all => all.map(x => x.id.slice(1))")
    ]


def scroll_to(page: Any, share: float) -> None:
    page.locator("[data-log-pane]").evaluate("(pane, share) => { pane.scrollTop = share * pane.scrollHeight; }", share)


def place(page: Any) -> str:
    return str(page.inner_text("[data-log-place]"))


def test_the_scroll_bar_is_that_of_the_whole_log(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    look_at(page, site, runs["plain"])
    assert count(page) == 500
    for share, line in ((0.5, 75_000), (0.1, 15_000), (0, 1), (0.9, 135_000)):
        scroll_to(page, share)
        page.wait_for_function(
            """line => {
                const seen = Number((/Line ([\\d,]+) of 150,000/.exec(
                    document.querySelector("[data-log-place]").textContent)?.[1] ?? "0").replace(/,/g, ""));
                const there = document.getElementById(`L${seen}`);
                return there && Math.abs(seen - line) <= 100;
            }""",
            arg=line,
        )
        assert abs(top_line(page) - line) <= 100
        numbers = steps.line_numbers(page)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    page.keyboard.press("End") if page.locator("[data-log-pane]").focus() else None
    scroll_to(page, 1)
    page.wait_for_selector("#L150000")


LINES_CAME = """() => {
    const pane = document.querySelector("[data-log-pane]");
    const observer = new MutationObserver(() => {
        if (!document.getElementById("L75000")) return;
        observer.disconnect();
        requestAnimationFrame(() => { pane.scrollTop = 0.1 * pane.scrollHeight; });
    });
    observer.observe(document.querySelector("[data-log-lines]"), { childList: true, subtree: true });
}"""


@pytest.mark.parametrize("moment", ["while its lines are on the way", "when its lines have just come"])
def test_one_who_scrolls_on_is_not_brought_back(site: Site, visit: Visit, runs: dict[str, int], moment: str) -> None:
    page = visit(site)
    look_at(page, site, runs["plain"])

    def late(route: Any) -> None:
        answer = route.fetch()
        if "on the way" in moment:
            scroll_to(page, 0.1)
        route.fulfill(response=answer)

    if "just come" in moment:
        page.evaluate(LINES_CAME)
    else:
        page.route("**/log/?*around=7*", late)
    scroll_to(page, 0.5)
    page.wait_for_function("/^Line (1[45],\\d+) of/.test(document.querySelector('[data-log-place]').textContent)")
    page.wait_for_timeout(500)
    assert abs(top_line(page) - 15_000) <= 100


@pytest.mark.parametrize("kind", ["plain", "long"])
def test_any_line_is_reached_and_the_page_never_holds_too_many(
    site: Site, visit: Visit, runs: dict[str, int], kind: str
) -> None:
    page = visit(site)
    # Fewer than the real ones, so that scrolling there does not take long.
    page.route("**/static/console/lines.js", _with_few_lines)
    look_at(page, site, runs[kind], "#L2510")
    wait_for_current(page, "step 2510:")
    page.hover("[data-log-pane]")
    for by in (3000, -3000):
        page.wait_for_timeout(500)
        seen = top_line(page)
        for _ in range(15):
            page.mouse.wheel(0, by)
            page.wait_for_timeout(40)
            # Nothing is there for a moment when one is faster than the lines come.
            now = top_line(page) or seen
            assert (now - seen) * by >= 0, "the page never moves against the wheel"
            seen = now
        page.wait_for_timeout(300)
        assert count(page) <= 2_000
        numbers = steps.line_numbers(page)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    page.fill("[name=around]", "4,999")
    page.keyboard.press("Enter")
    wait_for_current(page, "step 4999:")
    assert page.evaluate("location.hash") == "#L4999"


def _with_few_lines(route: Any) -> None:
    answer = route.fetch()
    body = answer.text()
    assert "MOST_LINES = 50000;" in body
    route.fulfill(response=answer, body=body.replace("MOST_LINES = 50000;", "MOST_LINES = 1500;"))


def test_a_range_has_an_address_and_is_chosen_with_shift(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site, permissions=["clipboard-read", "clipboard-write"])
    look_at(page, site, runs["plain"], "#L70000-L70004")
    wait_for_current(page, "step 70000:")
    assert marked(page) == list(range(70_000, 70_005))
    page.click("#L70003 .console-line-number")
    assert page.evaluate("location.hash") == "#L70003"
    assert marked(page) == [70_003]
    top = top_line(page)
    page.click("#L70009 .console-line-number", modifiers=["Shift"])
    assert page.evaluate("location.hash") == "#L70003-L70009"
    assert marked(page) == list(range(70_003, 70_010))
    page.click("#L69999 .console-line-number", modifiers=["Shift"])
    assert page.evaluate("location.hash") == "#L69999-L70003"
    assert top_line(page) == top, "choosing lines does not move them"
    assert page.inner_text("[data-log-copy]") == "Copy link to lines 69999 to 70003"
    page.click("[data-log-copy]")
    page.wait_for_selector("[data-log-status]:text('The link is copied.')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(f"/run/{runs['plain']}/change/?around=69999-70003#L69999-L70003")
    page.goto("about:blank")
    page.goto(copied)
    wait_for_current(page, "step 69999:")
    assert marked(page) == list(range(69_999, 70_004))


def test_lines_are_chosen_with_the_keyboard_alone(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    look_at(page, site, runs["plain"])
    page.focus("[data-log-pane]")
    page.keyboard.press("g")
    page.keyboard.type("5000-5002")
    page.keyboard.press("Enter")
    wait_for_current(page, "step 5000:")
    assert page.evaluate("location.hash") == "#L5000-L5002"
    page.focus("[data-log-pane]")
    # One stop for all the lines: the first that one sees.
    page.keyboard.press("Tab")
    first = top_line(page)
    assert page.evaluate("document.activeElement.textContent") in (str(first), str(first + 1))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == f"#L{page.evaluate('document.activeElement.textContent')}"
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    assert len(marked(page)) == 3
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.matches('.console-line-number')")


def test_without_a_script_a_link_shows_its_range(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    script = page.context.browser.new_context(
        java_script_enabled=False, storage_state=page.context.storage_state()
    ).new_page()
    script.goto(f"{site.url}/admin/console/run/{runs['plain']}/change/?around=70000-70003#L70000")
    lines = script.locator(".console-line-current")
    assert lines.count() == 4
    assert "step 70000:" in lines.first.inner_text()
    script.fill("[name=find]", "order 7919 ")
    steps.follow(script, "button:text-is('Search')")
    assert script.locator(".console-line").count() == 1
    assert "step 1:" in script.locator(".console-line").first.inner_text()
    steps.follow(script, "a:text-is('1')")
    assert script.url.endswith("?around=1#L1")
    script.select_option("[name=level]", "errors")
    steps.follow(script, "button:text-is('Search')")
    assert script.locator(".console-line-number").all_inner_texts() == ["100003"]
    assert not script.is_visible("[name=log-follow]")
    script.context.close()


def test_levels_work_on_the_whole_log_and_stand_in_the_address(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    look_at(page, site, runs["plain"], "#L100003")
    wait_for_current(page, "step 100003:")
    page.select_option("[name=level]", "problems")
    page.wait_for_function("document.querySelectorAll('.console-line').length === 15")
    assert steps.line_numbers(page) == sorted([*range(10_007, 150_000, 10_007), 100_003])
    assert "level=problems" in page.url
    page.reload()
    page.wait_for_function("document.querySelectorAll('.console-line').length === 15")
    assert page.input_value("[name=level]") == "problems"
    page.select_option("[name=level]", "errors")
    page.wait_for_function("document.querySelectorAll('.console-line').length === 1")
    # Search, too, looks at these lines only.
    page.fill("[name=find]", "step 10")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent === '1 of 1'")
    assert "find=step+10" in page.url
    # A line that is no error is shown all the same when one asks for it.
    page.fill("[name=around]", "500")
    page.keyboard.press("Enter")
    wait_for_current(page, "step 500:")
    assert page.input_value("[name=level]") == "all"
    assert "level" not in page.url


def test_a_search_in_the_address_is_made_again_and_shown(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    look_at(page, site, runs["plain"], "?find=STEP+14999&case=1")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent === 'No line has that.'")
    page.uncheck("[name=case]")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent === '1 of 11'")
    wait_for_current(page, "step 14999:")
    shown = "[...CSS.highlights.get('console-find')].map(range => range.toString())"
    assert page.evaluate(shown) == ["step 14999"]
    page.click("#console-log-title")
    page.keyboard.press("n")
    wait_for_current(page, "step 149990:")
    assert page.evaluate(shown) == ["step 14999"] * 10
    page.keyboard.press("N")
    page.keyboard.press("N")
    wait_for_current(page, "step 149999:")
    page.fill("[name=find]", "")
    page.keyboard.press("Enter")
    page.wait_for_function("!location.search.includes('find')")
    assert page.evaluate(shown) == []


def test_groups_are_folded_to_their_headings(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    look_at(page, site, runs["grouped"], "#L202")
    wait_for_current(page, "Part 2")
    page.wait_for_selector("#L202 .console-fold-mark")
    assert "88 lines ✕ failed" in page.inner_text("#L202")
    assert "failed" not in page.inner_text("#L302")
    assert "Attempt 1: 1,999 lines" in page.text_content("#L1")
    top = page.locator("#L202").bounding_box()["y"]
    page.click("#L202 .console-fold-mark")
    page.wait_for_selector("#L202 .console-fold-mark[aria-expanded=false]")
    numbers = steps.line_numbers(page)
    assert not {203, 250, 290} & set(numbers)
    assert {201, 202, 291, 303} <= set(numbers)
    assert abs(page.locator("#L202").bounding_box()["y"] - top) < 3, "the heading stays where it is"
    # A link to a line inside opens it.
    page.fill("[name=around]", "250")
    page.keyboard.press("Enter")
    wait_for_current(page, "it broke")
    assert page.get_attribute("#L202 .console-fold-mark", "aria-expanded") == "true"
    page.click("[data-log-fold]")
    page.wait_for_function("document.querySelectorAll('.console-line').length === 2")
    assert "Attempt 2, on host two (pid 7)" in page.text_content("#L2001")
    assert "999 lines" in page.inner_text("#L2001")
    page.click("text=Unfold all")
    page.wait_for_selector("#L1500, #L500")


def test_folding_survives_live_lines(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, "watch_groups_v1_2026_11_21", "dry_run")
    page.wait_for_selector("#L3")
    page.click(".console-fold-mark")
    page.wait_for_selector(".console-fold-mark[aria-expanded=false]")
    page.wait_for_function("parseInt(document.querySelector('.console-fold-note').textContent) >= 12")
    assert not page.locator("#L5").count()
    page.wait_for_selector("[data-log-chip][data-state=ended]", timeout=30_000)
    page.wait_for_selector("#L34")
    assert steps.line_numbers(page) == [1, 33, 34, 35]
    assert page.inner_text(".console-fold-note >> nth=0") == "31 lines"
    assert "Loading" in page.inner_text("#L1")


@pytest.mark.parametrize("key", ["?", "button"])
def test_the_keys_are_told(site: Site, visit: Visit, runs: dict[str, int], key: str) -> None:
    page = visit(site)
    look_at(page, site, runs["hostile"])
    page.click("[data-log-keys-open]") if key == "button" else page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("w")
    assert page.is_checked("[name=log-wrap]"), "keys are off while the dialog is open"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    page.focus("[name=find]")
    page.keyboard.press("?")
    assert page.input_value("[name=find]") == "?"
    assert not page.is_visible("dialog")


def test_what_is_printed_is_only_ever_text(site: Site, visit: Visit, runs: dict[str, int]) -> None:
    page = visit(site)
    look_at(page, site, runs["hostile"], "?find=%3Cimg&level=%22%3E%3Cscript%3E")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent.startsWith('1 of 6')")
    assert "taken" not in page.title()
    lines = page.locator("[data-log-lines]")
    assert lines.locator("img, script, b, a:not(.console-line-number)").count() == 0
    assert set(page.eval_on_selector_all(".console-line-text *", "all => all.map(x => x.tagName + x.className)")) == {
        "SPANansi-red"
    }
    text = page.locator(".console-line-text").all_inner_texts()
    assert text[0] == logs.HOSTILE[0]
    assert text[1] == "red link"
    assert text[3] == "evil \u27e8U+202E\u27e9txt.exe"
    assert text[4] == "bell \u2407 back \u2408 line\u27e8U+2028\u27e9separator"
    assert text[5:7] == list(logs.HOSTILE[5:7])
