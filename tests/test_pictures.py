"""The pictures of docs/console.md are a whole set: each page, each state that a run can have, small enough to keep."""

from __future__ import annotations

import os
import re

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.skipif(os.environ.get("TEST_CONSOLE") == "0", reason="no console in this session")

# What programs ask for, and what only answers a POST or sends a file.
NOT_PAGES = {
    "health_json", "health_metrics", "migration_marking", "run_state", "run_export", "run_log", "run_log_search",
    "run_log_groups", "run_log_stream", "run_log_download",
}  # fmt: skip
MOST_BYTES, MOST_BYTES_IN_ALL = 60_000, 2_500_000


def test_each_page_of_the_console_is_in_the_set() -> None:
    from tests.browser.pictures import PICTURES
    from tests.console.test_matrix import routes

    pages = {name.removeprefix("console_") for name in routes()} - NOT_PAGES
    assert pages == {picture.route for picture in PICTURES.values()}


def test_each_state_of_a_run_is_in_the_set() -> None:
    from console.states import Status
    from tests.browser.pictures import PICTURES

    shown = {picture.what for picture in PICTURES.values() if picture.route == "run_change"}
    assert {*Status.values, "dry"} <= shown


def test_each_picture_is_there_small_and_shown_in_the_tour_with_words() -> None:
    from tests.browser.pictures import FOLDER, PICTURES

    files = {path.stem: path.stat().st_size for path in FOLDER.glob("*.webp")}
    assert set(files) == set(PICTURES)
    assert {name: size for name, size in files.items() if size > MOST_BYTES} == {}
    assert sum(files.values()) < MOST_BYTES_IN_ALL
    tour = (ROOT / "docs" / "console.md").read_text()
    shown = dict(re.findall(r"\[([^\]]+)\]\(images/console/([\w-]+)\.webp\)", tour))
    assert set(shown.values()) == set(PICTURES)
    # A server that answers with an error is small, too.
    assert {name: size for name, size in files.items() if size < 9_000} == {}
