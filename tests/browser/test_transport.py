"""How lines get into the page: streamed or asked for, through servers that go and connections that break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import hand, steps
from tests.browser.hand import Hand
from tests.browser.site import Site
from tests.console.servers import UVICORN, WSGI, serving
from tests.viewers import Proxy

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
# The two ways to serve the same site: what starts it, and the word that the page then has beside "Log".
SERVERS = pytest.mark.parametrize(("server", "word"), [(UVICORN, "Live"), (WSGI, "Polling")], ids=["asgi", "wsgi"])


@pytest.fixture(scope="module")
def here(site: Site) -> Iterator[Hand]:
    with hand.at(site) as found:
        yield found


def other(site: Site, port: int) -> Site:
    """The same site, by another server."""
    return Site(f"http://127.0.0.1:{port}", site.data)


def open_run(page: Any, site: Site, run: int) -> None:
    page.goto(f"{site.url}/admin/console/run/{run}/change/")


def wait_for_chip(page: Any, text: str, timeout: float = 30_000) -> None:
    page.wait_for_function(
        "text => document.querySelector('[data-log-chip]').textContent.startsWith(text)", arg=text, timeout=timeout
    )


def wait_for_line(page: Any, number: int) -> None:
    page.wait_for_selector(f"#L{number}", state="attached", timeout=30_000)


def asked_for(page: Any) -> list[str]:
    """The questions about the log from now on: "stream", or what a page of it was asked for by."""
    found: list[str] = []

    def note(request: Any) -> None:
        if "/log/stream/" in request.url:
            found.append("stream")
        elif "/log/?" in request.url:
            found.append(request.url.split("?")[1].split("=")[0])

    page.on("request", note)
    return found


@contextmanager
def proxied(port: int, kind: type[Proxy] = Proxy) -> Iterator[Proxy]:
    """A proxy before a server, in a thread of its own."""
    loop = asyncio.new_event_loop()
    proxy = kind(port)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    do(proxy.start())
    try:
        yield proxy
    finally:
        do(proxy.stop())
        do(asyncio.sleep(0.2))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def break_all(proxy: Proxy) -> int:
    """Break its connections, from outside its thread."""
    found: list[int] = []
    done = threading.Event()
    assert proxy.loop is not None
    proxy.loop.call_soon_threadsafe(lambda: (found.append(proxy.break_all()), done.set()))
    done.wait(10)
    return found[0]


@SERVERS
def test_lines_come_by_the_way_that_the_server_offers(
    site: Site, here: Hand, visit: Visit, tmp_path: Path, server: tuple[str, ...], word: str
) -> None:
    with serving(tmp_path, server, env=site.environment()) as found:
        site = other(site, found.port)
        page = visit(site)
        run = here.do("a_run")
        here.do("say", run, "one", "two")
        asked = asked_for(page)
        open_run(page, site, run)
        wait_for_chip(page, word)
        here.do("say", run, "three")
        wait_for_line(page, 3)
        here.do("say", run, *(f"line {number}" for number in range(4, 101)))
        wait_for_line(page, 100)
        assert page.inner_text("[data-log-chip]") == word
        here.do("end", run)
        wait_for_chip(page, "Ended")
        assert steps.line_numbers(page) == list(range(1, 101))
        if word == "Live":
            assert asked == ["tail", "stream"]
        else:
            assert asked[:2] == ["tail", "stream"]
            assert set(asked[2:]) == {"after"}


@SERVERS
def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(
    site: Site, here: Hand, visit: Visit, tmp_path: Path, server: tuple[str, ...], word: str
) -> None:
    run = here.do("a_run")
    here.do("say", run, *(f"line {number}" for number in range(1, 21)))
    with serving(tmp_path, server, env=site.environment()) as first:
        page = visit(other(site, first.port))
        open_run(page, other(site, first.port), run)
        wait_for_chip(page, word)
        first.process.kill()
        first.process.wait()
        wait_for_chip(page, "Reconnecting")
        here.do("say", run, *(f"line {number}" for number in range(21, 41)))
        with serving(tmp_path, server, port=first.port, env=site.environment()):
            wait_for_line(page, 40)
            wait_for_chip(page, word)
            assert page.inner_text("[data-log-status]") == ""
            here.do("say", run, "the last")
            wait_for_line(page, 41)
            here.do("end", run)
            wait_for_chip(page, "Ended")
            assert steps.line_numbers(page) == list(range(1, 42))


def test_fifty_broken_connections_lose_and_double_nothing(site: Site, here: Hand, visit: Visit, tmp_path: Path) -> None:
    run = here.do("a_run")
    with serving(tmp_path, env=site.environment()) as server, proxied(server.port) as proxy:
        page = visit(other(site, proxy.port))
        open_run(page, other(site, proxy.port), run)
        said = broken = 0
        while broken < 50:
            said = here.do("say", run, *(f"line {number}" for number in range(said + 1, said + 6)))
            page.wait_for_timeout(60)
            broken += break_all(proxy)
        said = here.do("say", run, "the last")
        wait_for_line(page, said)
        here.do("end", run)
        wait_for_chip(page, "Ended")
        assert steps.line_numbers(page) == list(range(1, said + 1))
        assert page.locator(f"#L{said} .console-line-text").inner_text() == "the last"


class Holding(Proxy):
    """A proxy that keeps back what is streamed, as some do to compress it."""

    def passes(self, asked: bytes) -> bool:
        return b"/log/stream/" not in asked


def test_behind_a_proxy_that_keeps_events_back_the_page_polls(
    site: Site, here: Hand, visit: Visit, tmp_path: Path
) -> None:
    run = here.do("a_run")
    here.do("say", run, "one")
    with serving(tmp_path, env=site.environment()) as server, proxied(server.port, Holding) as proxy:
        page = visit(other(site, proxy.port))
        open_run(page, other(site, proxy.port), run)
        wait_for_chip(page, "Connecting")
        wait_for_chip(page, "Polling")
        here.do("say", run, "two")
        wait_for_line(page, 2)
        here.do("end", run)
        wait_for_chip(page, "Ended")


def test_a_permission_taken_away_ends_the_stream_and_is_said(
    site: Site, here: Hand, visit: Visit, tmp_path: Path
) -> None:
    here.do("a_reader", "rita")
    run = here.do("a_run")
    here.do("say", run, "one")
    with serving(tmp_path, env={**site.environment(), "STREAM_CHECK_SECONDS": "0.5"}) as server:
        page = visit(other(site, server.port), "rita")
        open_run(page, other(site, server.port), run)
        wait_for_chip(page, "Live")
        here.do("take_away", "rita", "view_log")
        wait_for_chip(page, "The server refused")
        here.do("say", run, "a secret")
        page.wait_for_timeout(1500)
        assert steps.line_numbers(page) == [1]


def hide(page: Any, hidden: bool) -> None:
    """Headless Chromium shows every page."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_only_a_page_that_is_looked_at_holds_a_stream(site: Site, here: Hand, visit: Visit, tmp_path: Path) -> None:
    run = here.do("a_run")
    here.do("say", run, "one")
    with serving(tmp_path, env=site.environment()) as server, proxied(server.port) as proxy:
        page = visit(other(site, proxy.port))
        open_run(page, other(site, proxy.port), run)
        wait_for_chip(page, "Live")
        asked = asked_for(page)
        with page.expect_event("requestfailed", lambda request: "/log/stream/" in request.url):
            hide(page, True)
        wait_for_chip(page, "Polling")
        here.do("say", run, "two")
        page.wait_for_timeout(1500)
        assert asked == []
        hide(page, False)
        wait_for_line(page, 2)
        wait_for_chip(page, "Live")
        assert asked == ["stream"]


def test_one_who_reads_far_above_hears_only_how_far_the_log_is(
    site: Site, here: Hand, visit: Visit, tmp_path: Path
) -> None:
    run = here.do("a_run")
    for start in range(1, 1501, 500):
        here.do("say", run, *(f"line {number}" for number in range(start, start + 500)))
    page = visit(site)
    asked = asked_for(page)
    page.goto(f"{site.url}/admin/console/run/{run}/change/#L20")
    wait_for_chip(page, "Live")
    count = len(steps.line_numbers(page))
    new = page.locator("[data-log-new]")
    page.wait_for_function("/new lines/.test(document.querySelector('[data-log-new]').textContent)")
    before = new.inner_text()
    here.do("say", run, *(f"line {number}" for number in range(1501, 1601)))
    page.wait_for_function("before => document.querySelector('[data-log-new]').textContent !== before", arg=before)
    assert [int(text.split()[0].replace(",", "")) for text in (before, new.inner_text())] == [1000, 1100]
    assert len(steps.line_numbers(page)) == count
    assert asked == ["around", "stream"]
    page.click("[data-log-new]")
    wait_for_line(page, 1600)
    here.do("say", run, "the last")
    wait_for_line(page, 1601)
    assert asked == ["around", "stream", "tail", "stream"]
    here.do("end", run)
    wait_for_chip(page, "Ended")
    numbers = steps.line_numbers(page)
    assert numbers == list(range(numbers[0], 1602))


def test_a_strict_content_security_policy_lets_the_stream_through(site: Site, here: Hand, visit: Visit) -> None:
    page = visit(site)
    said = steps.strict(page, "default-src 'self'")
    run = here.do("a_run")
    open_run(page, site, run)
    wait_for_chip(page, "Live")
    here.do("say", run, "one")
    wait_for_line(page, 1)
    assert said == []


def test_a_run_that_waits_is_not_called_live_before_it_begins(site: Site, here: Hand, visit: Visit) -> None:
    page = visit(site)
    run = here.do("a_run", "enqueued")
    open_run(page, site, run)
    page.wait_for_function(
        "['Live', 'Polling'].includes(document.querySelector('[data-log-chip]').textContent)", timeout=30_000
    )
    assert not page.is_visible("[data-log-chip]")
    assert page.inner_text("#console-log-waits") == "Not started: waiting for a worker"
    here.do("go_on", run)
    page.wait_for_selector("[data-log-chip]", state="visible", timeout=30_000)
    page.wait_for_selector("#console-log-waits", state="hidden", timeout=30_000)
    here.do("end", run)
    wait_for_chip(page, "Ended")
