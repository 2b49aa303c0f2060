"""How long a run took against what is usual, in words and as a chart."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import chart, usual
from console.models import Run
from tests.console.pages import INCREMENT, a_run, address, run_address

pytestmark = pytest.mark.django_db(databases="__all__")

LIST = "/admin/console/migration/"


def took(seconds: float, **fields: Any) -> Run:
    now = timezone.now()
    return a_run(started_at=now - timedelta(seconds=seconds), finished_at=now, **fields)


def test_usual_is_the_median_of_the_last_ten_that_succeeded() -> None:
    took(9999)
    for seconds in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100):
        took(seconds)
    run = took(1)
    assert usual.before(run) == pytest.approx(55)
    assert usual.read("default", [INCREMENT]).before(run) == pytest.approx(55)


def test_only_runs_of_the_same_kind_migration_and_database_that_did_the_work_count() -> None:
    took(10)
    took(20)
    took(500, kind="dry_run")
    took(500, database="other")
    took(500, migration="other_2026_01_01")
    took(500, status="failed")
    took(500, status="cancelled")
    took(0, note="Already applied: nothing was done.")
    took(0, rows_before=1199)
    a_run(status="running", finished_at=None)
    run = took(1)
    took(700)
    assert usual.before(run) == pytest.approx(15)
    assert usual.read("default", [INCREMENT]).before(run) == pytest.approx(15)


def test_one_run_alone_is_not_what_is_usual() -> None:
    took(10)
    assert usual.before(took(10)) is None
    assert usual.before(took(1, kind="mark")) is None


@pytest.mark.parametrize(
    ("seconds", "usually", "words"),
    [
        (552, 240, "2.3 × its usual 4 m 00 s"),
        (120, 240, "0.5 × its usual 4 m 00 s"),
        (240, 245, "about its usual 4 m 05 s"),
        (4800, 240, "20 × its usual 4 m 00 s"),
        (2, 240, "less than a tenth of its usual 4 m 00 s"),
        (0.002, 0.9, ""),
    ],
)
def test_a_duration_is_told_against_the_usual_one(seconds: float, usually: float, words: str) -> None:
    assert usual.against(timedelta(seconds=seconds), usually) == words


def test_a_run_that_goes_on_is_not_called_fast() -> None:
    assert usual.against(timedelta(seconds=5), 240, is_over=False) == "usually 4 m 00 s"
    assert usual.against(timedelta(seconds=552), 240, is_over=False) == "2.3 × its usual 4 m 00 s"


def test_list_migration_and_run_say_it(client_of_ana: Client) -> None:
    took(100)
    took(100)
    run = took(230)
    words = "2.3 × its usual 1 m 40 s"
    for page in (LIST, address("change"), run_address(run)):
        assert words in client_of_ana.get(page).content.decode(), page
    took(0, note="Already applied: nothing was done.")
    assert "its usual" not in client_of_ana.get(LIST).content.decode()


def test_the_list_asks_once_for_all_of_them(client_of_ana: Client, django_assert_num_queries: Any) -> None:
    from django.db import connections, router
    from django.test.utils import CaptureQueriesContext

    connection = connections[router.db_for_read(Run)]
    took(5)
    client_of_ana.get(LIST)
    with CaptureQueriesContext(connection) as few:
        client_of_ana.get(LIST)
    for name in ("reversible_v2_2026_01_06", "dependent_2026_01_04", INCREMENT):
        for _ in range(5):
            took(5, migration=name)
    with CaptureQueriesContext(connection) as many:
        client_of_ana.get(LIST)
    assert len(many) == len(few)


def test_the_chart_has_a_bar_for_each_run_that_ended() -> None:
    runs = [took(10), took(40, status="failed"), took(20, kind="dry_run"), a_run(kind="mark")]
    drawn = chart.of(list(reversed(runs)), 20.0)
    assert drawn is not None
    assert [bar.height for bar in drawn.bars] == [18, 72, 36]
    assert [bar.tone for bar in drawn.bars] == ["good", "bad", "good"]
    assert [bar.is_dry for bar in drawn.bars] == [False, False, True]
    assert drawn.usual_y == 36
    assert drawn.description.startswith(f"Oldest first: run {runs[0].pk}, run, succeeded, 10 s; ")
    assert all(bar.x >= 0 and bar.x + bar.width <= drawn.width for bar in drawn.bars)
    assert all(bar.y + bar.height == drawn.height for bar in drawn.bars)


def test_too_few_runs_make_no_chart() -> None:
    assert chart.of([took(1)], None) is None
    assert chart.of([], None) is None


def test_runs_that_took_nothing_are_still_drawn() -> None:
    drawn = chart.of([took(0), took(0)], None)
    assert drawn is not None
    assert [bar.height for bar in drawn.bars] == [2, 2]


@pytest.mark.parametrize("language", ["en-us", "de"])
def test_the_picture_is_well_formed_and_has_no_style_of_its_own(
    client_of_ana: Client, language: str, settings: Any
) -> None:
    settings.LANGUAGE_CODE = language
    settings.USE_THOUSAND_SEPARATOR = True
    for seconds in (1.5, 7, 3):
        took(seconds)
    html = client_of_ana.get(address("change")).content.decode()
    found = re.search(r"<svg viewBox.*?</svg>", html, re.S)
    assert found is not None
    picture = ElementTree.fromstring(found[0])
    assert "style" not in found[0]
    bars = picture.findall("rect")
    assert len(bars) == 3
    assert [float(bar.attrib["height"]) > 0 for bar in bars] == [True] * 3
    assert picture.findtext("title") == "How long the last 3 runs took"
    assert "7.0 s" in (picture.findtext("desc") or "")


def test_the_command_for_the_shell_can_be_copied(client_of_ana: Client) -> None:
    html = client_of_ana.get(address("change")).content.decode()
    assert "data-copy>python manage.py increment</code>" in html
    assert "console/copy.js" in html
    html = client_of_ana.get(address("change", database="other")).content.decode()
    assert "python manage.py increment --database other</code>" in html


def test_the_time_between_attempts_does_not_count() -> None:
    paused = took(3600, attempt=2, worked_seconds=20.0)
    assert paused.elapsed == timedelta(seconds=20)
    took(10)
    run = took(1)
    assert usual.before(run) == usual.read("default", [INCREMENT]).before(run) == pytest.approx(15)


def test_a_run_that_only_did_the_rest_is_compared_with_nothing() -> None:
    assert usual.words(took(2, rows_before=1199), 240) == ""
