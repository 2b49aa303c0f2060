"""What a person does on the pages, in the words of the tests."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.browser.site import Site

WATCHED = "watch_me_v1_2026_11_20"
FAILING = "watch_me_fail_v1_2026_11_20"
WAITING = "watch_me_wait_v1_2026_11_20"


# What the pages load must come from the site itself, as files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'"
)


def strict(page: Any, policy: str = POLICY) -> list[str]:
    """Have the pages come with a policy; gives the list of what the browser will say against it.

    Only documents are asked for anew: what a script asks may be under way when the page is left, and then the answer
    has nowhere to go.
    """
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)

    def with_policy(route: Any) -> None:
        if route.request.resource_type != "document":
            route.continue_()
            return
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "Content-Security-Policy": policy})

    page.route("**/admin/console/**", with_policy)
    return said


def follow(page: Any, selector: str) -> None:
    """Click on what leads to another page, and wait until that is there as a whole.

    A bare click comes back while the old page, or the new one's first lines, may still be what is read next.
    """
    with page.expect_navigation():
        page.click(selector)


def list_url(site: Site, query: str = "") -> str:
    """The list of data migrations."""
    return f"{site.url}/admin/console/migration/{query}"


def migration_url(site: Site, name: str, page: str = "change") -> str:
    """A page of a data migration; the names of the tests need no quoting but for their underscores."""
    return f"{site.url}/admin/console/migration/{name.replace('_', '_5F')}/{page}/"


def ask(
    page: Any, site: Site, name: str, kind: str = "run", reason: str = "because of the test", **values: object
) -> int:
    """Go through form and confirm page; gives the number of the run."""
    deadline = time.monotonic() + 60
    while True:
        page.goto(migration_url(site, name, "run") + f"?kind={kind}")
        # The run of an earlier test may still go on; then the form is refused.
        if page.locator("[name=reason]").count() or time.monotonic() > deadline:
            break
        page.wait_for_timeout(500)
    for field, value in values.items():
        page.fill(f"[name='arg-{field}']", str(value))
    if page.locator("[name=force]").count() and kind == "run":
        page.check("[name=force]")
    page.fill("[name=reason]", reason)
    follow(page, "text=Go on to confirm")
    if page.locator("[name=typed_name]").count():
        page.fill("[name=typed_name]", name)
    follow(page, "input[type=submit][value^='Yes']")
    page.wait_for_url("**/console/run/*/change/")
    found = re.search(r"/run/(\d+)/", page.url)
    assert found is not None
    return int(found[1])


def status(page: Any) -> str:
    """The word beside the title."""
    return str(page.locator("#console-state").inner_text()).strip()


def wait_for_status(page: Any, word: str, timeout: float = 30_000) -> None:
    """Until the page itself says so, without a reload."""
    page.wait_for_function(
        "word => document.getElementById('console-state').innerText.trim() === word", arg=word, timeout=timeout
    )


def line_numbers(page: Any) -> list[int]:
    """The numbers of the lines in the page, in their order."""
    return [
        int(each) for each in page.eval_on_selector_all(".console-line", "lines => lines.map(line => line.id.slice(1))")
    ]
