"""The log viewer with a million lines, in a real Chromium: first paint, ways to a line, search, memory.

``python -m benchmarks.console_viewer [--lines 1000000] [--rounds 7]``. On SQLite, through uvicorn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser import logs
from tests.browser.site import ARGUMENTS, Site, chromium, running

# Resolves once the line is in the pane, drawn, and a frame has been painted with it; gives milliseconds.
SEEN = """
window.seen = (wanted) => new Promise((resolve) => {
    const began = performance.now();
    const look = () => {
        const pane = document.querySelector("[data-log-pane]").getBoundingClientRect();
        const line = wanted();
        const box = line?.getBoundingClientRect();
        if (!box || box.bottom <= pane.top || box.top >= pane.bottom) return requestAnimationFrame(look);
        return requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
    };
    look();
});
"""
PLACES = (0.5, 0.001, 0.99, 0.3, 0.7, 0.1, 0.9)


def main() -> int:
    """Measure and print a table. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--long-lines", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    if chromium() is None:
        print("No Chromium found: install one, or name it in CHROMIUM.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as data, running(Path(data)) as site, sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, "--js-flags=--expose-gc"])
        page = _logged_in(chrome, site)
        for kind, count in (("plain", chosen.lines), ("long", chosen.long_lines)):
            # One among many.
            logs.make(site, "grouped", 3000, runs=50)
            run = logs.make(site, kind, count)
            print(f"\n{count:,} lines, {kind}")
            measure(page, f"{site.url}/admin/console/run/{run}/change/", count, chosen.rounds)
        chrome.close()
    return 0


def _logged_in(chrome: Any, site: Site) -> Any:
    page = chrome.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.context.set_default_timeout(60_000)
    page.add_init_script(SEEN)
    page.goto(f"{site.url}/admin/login/")
    page.fill("#id_username", "ana")
    page.fill("#id_password", "demo")
    page.click("[type=submit]")
    page.wait_for_url(f"{site.url}/admin/")
    return page


def measure(page: Any, url: str, count: int, rounds: int) -> None:
    """Print how long each way takes, as median and worst of the rounds, in milliseconds."""

    def told(what: str, once: Callable[[int], float]) -> None:
        times = [once(number) for number in range(rounds)]
        print(f"{what:38} median {statistics.median(times):6.0f} ms   worst {max(times):6.0f} ms")

    def opened(number: int) -> float:
        page.goto("about:blank")
        page.goto(url)
        page.wait_for_selector(f"#L{count}")
        # The script has drawn it; what the server had drawn was there before.
        page.wait_for_selector("[data-log-chip][data-state=ended]")
        return float(page.evaluate("performance.now()"))

    def painted(number: int) -> float:
        page.goto("about:blank")
        page.goto(url)
        page.wait_for_selector(f"#L{count}")
        return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))

    def line_of(number: int) -> int:
        return max(1, int(count * PLACES[number % len(PLACES)]) + number)

    def went(number: int) -> float:
        line = line_of(number)
        page.fill("[name=around]", str(line))
        return float(
            page.evaluate(
                """(line) => {
                    const done = seen(() => document.getElementById(`L${line}`));
                    document.querySelector("[name=around]").form.requestSubmit();
                    return done;
                }""",
                line,
            )
        )

    def linked(number: int) -> float:
        line = line_of(number)
        page.goto("about:blank")
        page.goto(f"{url}#L{line}")
        page.wait_for_selector(f"#L{line}", state="attached")
        there = "(line) => seen(() => document.getElementById(`L${line}`)).then(() => performance.now())"
        return float(page.evaluate(there, line))

    def scrolled(number: int) -> float:
        share = PLACES[number % len(PLACES)]
        return float(
            page.evaluate(
                """([share, count]) => {
                    const pane = document.querySelector("[data-log-pane]");
                    pane.scrollTop = share * pane.scrollHeight;
                    const wanted = share * count;
                    const box = pane.getBoundingClientRect();
                    return seen(() => {
                        const line = document.elementFromPoint(box.left + 20, box.top + 60)?.closest(".console-line");
                        return line && Math.abs(line.id.slice(1) - wanted) < 0.02 * count + 100 ? line : null;
                    });
                }""",
                [share, count],
            )
        )

    def found(number: int) -> float:
        line = line_of(number)
        page.fill("[name=find]", f"step {line}:")
        return float(
            page.evaluate(
                """(line) => {
                    const done = seen(() => document.getElementById(`L${line}`));
                    document.querySelector("[name=find]").form.requestSubmit();
                    return done;
                }""",
                line,
            )
        )

    told("first paint of the page", painted)
    told("the end of the log is there", opened)
    told("a link to a line", linked)
    page.goto(url)
    page.wait_for_selector(f"#L{count}")
    page.wait_for_timeout(1000)
    page.locator("[data-log-pane]").scroll_into_view_if_needed()
    told("go to a line", went)
    told("drag the scroll bar there", scrolled)
    told("search for the one line that has it", found)
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_selector("[data-log-chip][data-state=ended]")
    print(f"{'memory with the end of the log in it':38} {_resident(page):6.0f} MiB")
    page.evaluate(FURTHER, 250)
    lines = page.locator(".console-line").count()
    print(f"{f'with {lines:,} lines, after reading on':38} {_resident(page):6.0f} MiB")


# Reads upwards, page after page, as one does who keeps the key pressed.
FURTHER = """async (pages) => {
    const pane = document.querySelector("[data-log-pane]");
    const still = () => new Promise((resolve) => setTimeout(resolve, 60));
    for (let page = 0; page < pages; page += 1) {
        const above = document.querySelector("[data-log-above]").getBoundingClientRect().bottom;
        pane.scrollTop -= pane.getBoundingClientRect().top - above - 200;
        await still();
    }
}"""


def _resident(page: Any) -> float:
    """MiB of the process that shows the page."""
    page.evaluate("globalThis.gc && gc()")
    page.wait_for_timeout(500)
    processes = page.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = []
    for process in processes:
        if process["type"] == "renderer":
            status = Path(f"/proc/{process['id']}/status").read_text()
            sizes.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")))
    return max(sizes) / 1024


if __name__ == "__main__":
    sys.exit(main())
