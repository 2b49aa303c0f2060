"""Fixtures: one site and one Chromium for the session, a fresh browser context for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import steps
from tests.browser.site import ARGUMENTS, Site, chromium, running

NO_CHROMIUM = "no Chromium found: install one, or name it in CHROMIUM"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site with web server and worker."""
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one the tests are skipped, but not in CI."""
    path = chromium()
    if path is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chrome
        chrome.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page in which somebody is logged in; fails the test when a script on it did."""
    contexts = []
    errors: list[str] = []

    def open_page(site: Site, who: str = "ana", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{site.url}/admin/login/")
        page.fill("#id_username", who)
        page.fill("#id_password", "demo")
        steps.follow(page, "[type=submit]")
        page.wait_for_url(f"{site.url}/admin/")
        return page

    yield open_page
    for context in contexts:
        # A request that is under way must not end in the next test.
        context.unroute_all(behavior="ignoreErrors")
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")
        context.close()
    assert errors == []
