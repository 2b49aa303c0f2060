"""The log in the page of a run, as it is without a script."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import spool
from console.models import LogChunk, Run
from tests.console.pages import a_run, print_lines, run_address

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def run() -> Run:
    run = a_run()
    for start in range(1, 1001, 100):
        print_lines(run, *(f"line {number}" for number in range(start, start + 100)))
    return run


def page(client: Client, run: Run, query: str = "") -> str:
    response = client.get(run_address(run) + query)
    assert response.status_code == 200
    return str(response.content.decode())


def numbers(html: str, marked: bool = False) -> list[int]:
    lines = re.findall(r'<div class="console-line ([^"]*)" id="L(\d+)"', html)
    return [int(number) for classes, number in lines if not marked or "console-line-current" in classes]


def test_it_begins_with_the_end(client_of_ana: Client, run: Run):
    html = page(client_of_ana, run)
    assert numbers(html) == list(range(801, 1001))
    assert 'href="?before=801"' in html
    assert "Later" not in html
    assert numbers(page(client_of_ana, run, "?before=801")) == list(range(601, 801))
    assert 'href="?after=200"' in page(client_of_ana, run, "?after=0")


def test_a_line_and_a_range_have_an_address_and_are_marked(client_of_ana: Client, run: Run):
    html = page(client_of_ana, run, "?around=300")
    assert 300 in numbers(html)
    assert numbers(html, marked=True) == [300]
    html = page(client_of_ana, run, "?around=320-300")
    assert numbers(html, marked=True) == list(range(300, 321))
    assert 'href="?around=305#L305"' in html
    for nonsense in (
        "?around=x",
        "?around=1-",
        "?around=-1",
        "?around=1-2-3",
        "?around=" + "9" * 30,
        "?before=" + "9" * 30,
    ):
        assert numbers(page(client_of_ana, run, nonsense)) == list(range(801, 1001))


def test_levels_are_chosen_from_the_whole_log(client_of_ana: Client, run: Run):
    print_lines(run, "careful", level="w")
    print_lines(run, "broken", level="r")
    print_lines(run, *["more"] * 300)
    assert numbers(page(client_of_ana, run, "?level=problems")) == [1001, 1002]
    html = page(client_of_ana, run, "?level=errors")
    assert numbers(html) == [1002]
    assert '<option value="errors" selected>' in html
    assert numbers(page(client_of_ana, run, "?level=loud")) == list(range(1103, 1303))
    LogChunk.objects.filter(first=1002).delete()
    assert "No line of that level." in page(client_of_ana, run, "?level=errors")


def test_a_search_gives_the_lines_that_have_it(client_of_ana: Client, run: Run):
    html = page(client_of_ana, run, "?find=LINE+99")
    assert numbers(html) == [99, *range(990, 1000)]
    assert "11 lines have “LINE 99”" in html
    assert 'value="LINE 99"' in html
    assert "No line has that." in page(client_of_ana, run, "?find=LINE&case=1")
    html = page(client_of_ana, run, "?find=line")
    assert numbers(html) == list(range(1, 101))
    assert "100 or more lines have" in html
    assert 'href="?find=line&amp;after=100"' in html
    assert numbers(page(client_of_ana, run, "?find=line&after=900"))[0] == 901


def test_it_takes_as_many_queries_wherever_one_looks(client_of_ana: Client, run: Run):
    def queries(query: str) -> int:
        with CaptureQueriesContext(connections[spool.alias()]) as seen:
            page(client_of_ana, run, query)
        return len(seen)

    assert queries("?around=5") == queries("?around=500-700") == queries("?around=990")
    assert queries("?find=line+1") <= queries("?around=5") + 4


def test_a_log_that_was_taken_away_is_said(client_of_ana: Client, run: Run):
    LogChunk.objects.filter(run=run).delete()
    Run.objects.filter(pk=run.pk).update(
        log_pruned_at=timezone.now() - timedelta(days=3), status="failed", error_line=7
    )
    html = page(client_of_ana, run)
    assert "The 1,000 lines of this log were taken away" in html
    assert "data-log-none" in html
    assert "Nothing was printed" not in html
    assert "#L7" not in html


HOSTILE = [
    ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("\x1b[31mred\x1b[0m <b>", '<span class="ansi-red">red</span> &lt;b&gt;'),
    ('\x1b[31"onclick="x"m', "nclick=&quot;x&quot;m"),
    ("\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07", "click"),
    ("\x1b[38;5;196mx\x1b[99999999999999999999my", "xy"),
    ("evil \u202etxt.exe\u2066", "evil \u27e8U+202E\u27e9txt.exe\u27e8U+2066\u27e9"),
    ("bell \x07 back \x08 delete \x7f c1 \x9b", "bell \u2407 back \u2408 delete \u2421 c1 \u27e8U+009B\u27e9"),
    ("👩‍👩‍👧 \U0001f600", "👩‍👩‍👧 \U0001f600"),
    ("{{ run.pk }} {% csrf_token %}", "{{ run.pk }} {% csrf_token %}"),
    ("tab\there", "tab\there"),
]


@pytest.mark.parametrize(("printed", "shown"), HOSTILE)
def test_what_is_printed_is_only_ever_text(client_of_ana: Client, printed: str, shown: str):
    run = a_run()
    print_lines(run, printed)
    assert f'<span class="console-line-text">{shown}</span>' in page(client_of_ana, run)


def test_what_is_searched_for_is_only_ever_text(client_of_ana: Client, run: Run):
    html = page(client_of_ana, run, "?find=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&level=%22%3E")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
