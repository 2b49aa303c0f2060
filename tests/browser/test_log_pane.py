"""The log pane: it keeps one's place, loses and doubles nothing, finds lines anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import logs, steps
from tests.browser.site import Site
from tests.browser.steps import WATCHED

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]


def wait_for_current(page: Any, text: str) -> None:
    """Until the line that was gone to has that text, and can be seen in the pane."""
    page.wait_for_function(
        """text => {
            const line = document.querySelector(".console-line-current");
            const pane = document.querySelector("[data-log-pane]").getBoundingClientRect();
            const box = line?.getBoundingClientRect();
            return box && line.textContent.includes(text) && box.top >= pane.top && box.bottom <= pane.bottom;
        }""",
        arg=text,
    )


def top_line(page: Any) -> int:
    """The first line that can be seen in the pane."""
    return int(
        page.evaluate(
            """() => {
                const top = document.querySelector("[data-log-pane]").getBoundingClientRect().top + 2;
                const lines = [...document.querySelectorAll(".console-line")];
                return lines.find((line) => line.getBoundingClientRect().bottom > top)?.id.slice(1) ?? 0;
            }"""
        )
    )


def chip(page: Any) -> str:
    return str(page.inner_text("[data-log-chip]"))


def without_streams(page: Any) -> None:
    """As it is under WSGI."""
    page.route("**/log/stream/*", lambda route: route.fulfill(status=204))


def test_scrolling_up_ends_following_and_the_button_brings_it_back(site: Site, visit: Visit) -> None:
    page = visit(site, viewport={"width": 1280, "height": 500})
    steps.ask(page, site, WATCHED, "dry_run", lines=150, pause=0.05)
    page.wait_for_selector("#L50")
    assert page.is_checked("[name=log-follow]")
    page.locator("[data-log-pane]").scroll_into_view_if_needed()
    page.hover("[data-log-pane]")
    page.mouse.wheel(0, -400)
    page.wait_for_function("!document.querySelector('[name=log-follow]').checked")
    top = page.evaluate("document.querySelector('[data-log-pane]').scrollTop")
    page.wait_for_function("/[1-9]\\d* new lines? ↓/.test(document.querySelector('[data-log-new]').textContent)")
    assert page.evaluate("document.querySelector('[data-log-pane]').scrollTop") == top
    page.click("[data-log-new]")
    assert page.is_checked("[name=log-follow]")
    assert not page.is_visible("[data-log-new]")
    steps.wait_for_status(page, "Succeeded")
    page.wait_for_selector("#L152")
    below = "pane => pane.scrollHeight - pane.scrollTop - pane.clientHeight"
    assert page.locator("[data-log-pane]").evaluate(below) < 4


def test_only_a_persons_hand_ends_following(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=100, pause=0.05)
    page.wait_for_selector("#L60")
    for width in (400, 1280, 500):
        page.set_viewport_size({"width": width, "height": 600})
        page.wait_for_timeout(200)
    # Text that wraps anew, or a block that gets its real height, moves the position without a hand.
    page.locator("[data-log-pane]").evaluate("pane => { pane.scrollTop -= 200; }")
    page.wait_for_timeout(200)
    assert page.is_checked("[name=log-follow]")


def test_lines_are_neither_lost_nor_doubled_when_the_connection_breaks(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=120, pause=0.05)
    page.wait_for_selector("#L10")
    for _ in range(3):
        page.context.set_offline(True)
        page.wait_for_function("document.querySelector('[data-log-chip]').dataset.state === 'reconnecting'")
        page.wait_for_timeout(300)
        page.context.set_offline(False)
        page.wait_for_function("document.querySelector('[data-log-chip]').dataset.state !== 'reconnecting'")
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent === 'Ended'", timeout=30_000)
    assert steps.line_numbers(page) == list(range(1, 123))


def test_answers_that_come_twice_late_or_out_of_order_change_nothing(site: Site, visit: Visit) -> None:
    page = visit(site)
    without_streams(page)
    kept: list[Any] = []

    def tamper(route: Any) -> None:
        answer = route.fetch()
        if answer.status == 200:
            kept.append((answer, answer.body()))
        # Every other answer is an old one again.
        old, body = kept[len(kept) // 2] if len(kept) % 2 else kept[-1]
        route.fulfill(response=old, body=body)

    page.route("**/log/?*", tamper)
    # Six lines at a time, so that there are many answers.
    page.route("**/static/console/reading.js", lambda route: _with_small_pages(route))
    steps.ask(page, site, WATCHED, "dry_run", lines=200, pause=0.01)
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent === 'Ended'", timeout=60_000)
    numbers = steps.line_numbers(page)
    assert numbers == list(range(numbers[0], 203))
    assert len(kept) >= 10


def test_an_answer_that_does_not_adjoin_leaves_no_hole(site: Site, visit: Visit) -> None:
    run = logs.make(site, "plain", 300)
    page = visit(site)
    wrong: list[str] = []

    def tamper(route: Any) -> None:
        """Every other time lines from somewhere else, as an answer that was long on its way would be."""
        url = route.request.url
        asked = re.search(r"(before|after)=(\d+)", url)
        if asked is None or (wrong and wrong[-1] == url):
            route.continue_()
            return
        wrong.append(url)
        number = int(asked[2]) + (-40 if asked[1] == "before" else 40)
        route.fulfill(response=route.fetch(url=url.replace(asked[0], f"{asked[1]}={number}")))

    page.route("**/log/?*", tamper)
    page.route("**/static/console/reading.js", lambda route: _with_small_pages(route))
    page.goto(f"{site.url}/admin/console/run/{run}/change/#L150")
    wait_for_current(page, "step 150:")
    page.hover("[data-log-pane]")
    for way, end in ((-400, 1), (400, 300)):
        for _ in range(400):
            page.mouse.wheel(0, way)
            page.wait_for_timeout(20)
            numbers = steps.line_numbers(page)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            if end in numbers:
                break
        assert end in steps.line_numbers(page)
    assert any("before=" in url for url in wrong)
    assert any("after=" in url for url in wrong)


def _with_small_pages(route: Any) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace("const LIMIT = 500;", "const LIMIT = 6;"))


def test_search_counts_and_steps_through_the_whole_log(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=1200, pause=0)
    steps.wait_for_status(page, "Succeeded")
    page.reload()
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent === 'Ended'")
    assert page.locator("#L13").count() == 0, "the page begins with the end of a long log"
    page.keyboard.press("/")
    page.keyboard.type("STEP 10 of")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent === '1 of 1'")
    wait_for_current(page, "step 10 of")
    page.fill("[name=find]", "step 11")
    page.click("[data-log-search] [type=submit]")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent.startsWith('1 of 111')")
    page.click("[data-log-next]")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent.startsWith('2 of 111')")
    wait_for_current(page, "step 110 of")
    page.click("[data-log-previous]")
    page.click("[data-log-previous]")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent.startsWith('111 of 111')")
    wait_for_current(page, "step 1199 of")
    page.fill("[name=find]", "nobody said this")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[data-log-count]').textContent === 'No line has that.'")


def test_a_line_has_an_address(site: Site, visit: Visit) -> None:
    page = visit(site)
    run = steps.ask(page, site, WATCHED, "dry_run", lines=1500, pause=0)
    steps.wait_for_status(page, "Succeeded")
    page.goto("about:blank")
    page.goto(f"{site.url}/admin/console/run/{run}/change/#L700")
    wait_for_current(page, "step 697 of")
    numbers = steps.line_numbers(page)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    page.fill("[name=around]", "30")
    page.keyboard.press("Enter")
    wait_for_current(page, "step 27 of")
    assert page.evaluate("location.hash") == "#L30"


def test_earlier_lines_are_loaded_without_losing_the_place(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=1200, pause=0)
    steps.wait_for_status(page, "Succeeded")
    page.reload()
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent === 'Ended'")
    first = steps.line_numbers(page)[0]
    assert first > 500
    page.hover("[data-log-pane]")
    seen = [top_line(page)]
    for _ in range(200):
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(20)
        now = top_line(page)
        # A turn of the wheel is 15 lines: no jump, whatever was loaded meanwhile.
        assert 0 <= seen[-1] - now <= 40, (seen[-1], now)
        seen.append(now)
        if now == 1:
            break
    assert seen[-1] == 1
    assert steps.line_numbers(page) == list(range(1, 1203))


def test_choices_are_remembered_and_keys_are_off_in_fields(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=2, pause=0)
    steps.wait_for_status(page, "Succeeded")
    page.wait_for_selector("#L2")
    assert page.is_visible("#L2 .console-line-time")
    page.click("#console-log-title")
    page.keyboard.press("w")
    page.select_option("[name=log-time]", "off")
    page.fill("[name=find]", "")
    page.type("[name=find]", "wtf")
    assert page.input_value("[name=find]") == "wtf"
    page.reload()
    page.wait_for_selector("#L2")
    assert not page.is_visible("#L2 .console-line-time")
    assert not page.is_checked("[name=log-wrap]")


def test_ending_is_told_politely_and_lines_are_not(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=2, pause=0)
    page.wait_for_selector("[data-log-status]:text('Run succeeded. The log has ended')")
    assert page.get_attribute("[data-log-pane]", "role") == "log"
    assert page.get_attribute("[data-log-pane]", "aria-live") == "off"
    assert page.get_attribute("[data-log-status]", "aria-live") == "polite"
    assert chip(page) == "Ended"


def test_an_idle_poll_is_a_304(site: Site, visit: Visit) -> None:
    page = visit(site)
    without_streams(page)
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "/log/?" in answer.url else None)
    steps.ask(page, site, WATCHED, "dry_run", lines=2, pause=2)
    page.wait_for_selector("#L3")
    page.wait_for_timeout(1200)
    assert 304 in statuses


def test_the_download_is_the_whole_log(site: Site, visit: Visit) -> None:
    page = visit(site)
    steps.ask(page, site, WATCHED, "dry_run", lines=3000, pause=0)
    steps.wait_for_status(page, "Succeeded")
    with page.expect_download() as waiting:
        page.click("text=Download")
    text = waiting.value.path().read_text()
    assert [line for line in text.splitlines() if line.startswith("step")] == [
        f"step {number} of 3000" for number in range(3000)
    ]


def test_a_session_that_ended_is_said_and_asks_no_more(site: Site, visit: Visit) -> None:
    page = visit(site)
    without_streams(page)
    steps.ask(page, site, WATCHED, "dry_run", lines=60)
    page.wait_for_selector("#L5")
    page.context.clear_cookies()
    page.wait_for_function("document.querySelector('[data-log-chip]').textContent.startsWith('Signed out')")
    count = len(steps.line_numbers(page))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/log/" in request.url else None)
    page.wait_for_timeout(1500)
    assert asked == []
    assert len(steps.line_numbers(page)) == count
