"""The list of runs when there are many: bounds that it names, dates, a number of queries that does not grow."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import catalogue, history, runfilters
from console.models import Run
from data_migrations import clock, ledger
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, a_run, address, print_lines, run_address

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.slow]

HISTORY = "/admin/console/run/"
LIST = "/admin/console/migration/"


def moment(*numbers: int) -> Any:
    """A time by the clock of the site, as the models of this project hold it."""
    return clock.stored(timezone.make_aware(datetime(*numbers)))  # type: ignore[arg-type]


def shown(client: Client, query: str = "", url: str = HISTORY) -> str:
    response = client.get(url + query)
    assert response.status_code == 200, response.status_code
    return unescape(response.content.decode())


def numbers(html: str) -> list[int]:
    """The runs in the list."""
    return [int(each) for each in re.findall(r'class="field-number"><a [^>]*>(\d+)</a>', html)]


def choices(html: str) -> list[str]:
    """The words of the date hierarchy."""
    found = re.search(r'<nav class="toplinks".*?</nav>', html, re.S)
    return re.findall(r">([^<>]+)</a>", found[0]) if found else []


def queries(ask: Callable[[], Any]) -> int:
    captured = {alias: CaptureQueriesContext(connections[alias]) for alias in connections}
    for each in captured.values():
        each.__enter__()
    ask()
    for each in captured.values():
        each.__exit__(None, None, None)
    return sum(len(each) for each in captured.values())


@pytest.mark.parametrize(
    "page",
    [
        HISTORY, f"{HISTORY}?q=because", f"{HISTORY}?status__exact=succeeded&by=ana", f"{HISTORY}?p=2",
        f"{HISTORY}?requested_at__year=2024", f"{HISTORY}?requested_at__year=2024&requested_at__month=3",
        LIST, f"{LIST}?q=increment", "migration", "run",
    ],
)  # fmt: skip
def test_the_number_of_queries_does_not_grow_with_what_there_is(
    client_of_ana: Client, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some of its answers are remembered for a minute.
    monkeypatch.setattr("console.health.problems", list)

    def write(count: int) -> None:
        for number in range(count):
            run = a_run(migration=INCREMENT if number % 2 else f"gone_{number}", requested_by=f"by-{number % 7}",
                        requested_at=moment(2024, 1 + number % 12, 1 + number % 28))  # fmt: skip
            ledger.record(f"gone_{number}", using="default", by="ben", door=Door.SHELL)
            print_lines(run, "a line")

    first = a_run(requested_at=moment(2023, 5, 5))
    write(60)
    url = {"migration": address("change"), "run": run_address(first)}.get(page, page)
    client_of_ana.get(url)
    before = queries(lambda: shown(client_of_ana, url=url))
    write(120)
    assert queries(lambda: shown(client_of_ana, url=url)) == before


def test_counting_ends_at_a_bound_and_says_so(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_COUNTED", 60)
    for _ in range(60):
        a_run()
    html = shown(client_of_ana)
    assert "60 runs" in html
    assert "There are more" not in html
    newest = a_run()
    html = shown(client_of_ana)
    assert "60 runs" in html
    assert "There are more: these pages have the newest 60." in html
    assert numbers(shown(client_of_ana, "?p=2"))[-1] == newest.pk - 59
    assert "There are more" not in shown(client_of_ana, "?status__exact=failed")


def test_texts_are_searched_in_the_newest_runs_and_names_in_all(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_SEARCHED", 2)
    old = a_run(reason="the old ticket", requested_by="olga")
    other = a_run(migration="elsewhere_2026_01_01", command_name="elsewhere", reason="the ticket")
    last = a_run(migration="elsewhere_2026_01_01", command_name="elsewhere", reason="the ticket")
    found = shown(client_of_ana, "?q=ticket")
    assert numbers(found) == [last.pk, other.pk]
    assert "Texts were searched in the newest 2 runs of these" in found
    for words in ("increment_items", "increment 2026", INCREMENT, "olga"):
        assert numbers(shown(client_of_ana, f"?q={words}")) == [old.pk], words
    assert old.pk in numbers(shown(client_of_ana, f"?q={old.pk}"))
    # A filter brings it into reach.
    narrowed = shown(client_of_ana, "?q=ticket&by=olga")
    assert numbers(narrowed) == [old.pk]
    assert "Texts were searched" not in narrowed


def test_each_word_has_to_be_there_and_quotes_hold_words_together(client_of_ana: Client) -> None:
    one = a_run(reason="lower case", error_message="then it broke")
    two = a_run(reason="case of lower priority")
    assert numbers(shown(client_of_ana, "?q=lower+case")) == [two.pk, one.pk]
    assert numbers(shown(client_of_ana, "?q=LOWER+broke")) == [one.pk]
    assert numbers(shown(client_of_ana, '?q="lower case"')) == [one.pk]
    assert numbers(shown(client_of_ana, "?q=%25")) == []


def test_more_than_a_search_shows_is_cut_at_the_newest(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_FOUND", 2)
    runs = [a_run() for _ in range(4)]
    found = shown(client_of_ana, "?q=because")
    assert numbers(found) == [runs[3].pk, runs[2].pk]
    assert "More were found; these are the newest 2." in found


def test_the_dates_that_have_runs_are_offered_and_lead_there(client_of_ana: Client) -> None:
    for when in ((2022, 3, 4), (2024, 2, 29), (2024, 2, 1), (2024, 11, 5)):
        a_run(requested_at=moment(*when, 12))
    a_run(requested_at=moment(2023, 6, 6), status="failed")
    assert choices(shown(client_of_ana)) == ["2022", "2023", "2024"]
    assert choices(shown(client_of_ana, "?status__exact=succeeded")) == ["2022", "2024"]
    html = shown(client_of_ana, "?requested_at__year=2024")
    assert choices(html)[1:] == ["February 2024", "November 2024"]
    html = shown(client_of_ana, "?requested_at__year=2024&requested_at__month=2")
    assert choices(html)[1:] == ["February 1", "February 29"]
    assert len(numbers(html)) == 2
    day = shown(client_of_ana, "?requested_at__year=2024&requested_at__month=2&requested_at__day=29")
    assert choices(day) == ["‹ February 2024"]
    assert len(numbers(day)) == 1
    # Where all are of one year, its months come first.
    assert choices(shown(client_of_ana, "?status__exact=failed"))[1:] == ["June 6"]


@pytest.mark.parametrize(
    "query", ["requested_at__year=9999", "requested_at__year=x", "requested_at__month=13&requested_at__year=2024"]
)
def test_a_date_that_no_calendar_has_leads_back_to_the_list(client_of_ana: Client, query: str) -> None:
    a_run()
    response = client_of_ana.get(f"{HISTORY}?{query}")
    assert response.status_code == 302 or numbers(response.content.decode()) == []


def test_filters_offer_what_the_newest_runs_have_and_keep_what_was_chosen(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runfilters, "RECENT", 2)
    a_run(requested_by="long-gone", host="pod-1")
    a_run(requested_by="ben", host="pod-2")
    a_run(requested_by="cleo", host="pod-3")
    html = shown(client_of_ana)
    assert "?by=ben" in html
    assert "?host=pod-3" in html
    assert "?by=long-gone" not in html
    assert "By person of the newest 2 runs" in " ".join(html.split())
    chosen = shown(client_of_ana, "?by=long-gone")
    assert len(numbers(chosen)) == 1
    assert "?by=long-gone" in chosen


def test_a_filter_is_offered_only_where_there_is_something_to_choose(client_of_ana: Client) -> None:
    a_run(database="default", requested_by="ben")
    a_run(database="default", requested_by="cleo")
    html = shown(client_of_ana)
    assert "?by=ben" in html
    assert "?database=" not in html
    # What an address says is shown, so that it can be taken back.
    assert "?database=other" in shown(client_of_ana, "?database=other")
    a_run(database="other")
    assert "?database=other" in shown(client_of_ana)


def test_the_way_to_all_runs_is_offered_only_where_some_were_left_out(client_of_ana: Client) -> None:
    a_run(requested_by="ben")
    assert "Show all" not in shown(client_of_ana)
    for query in ("?q=ben", "?by=ben"):
        assert "Show all" in shown(client_of_ana, query), query


def test_of_statuses_kinds_and_doors_those_are_offered_that_runs_have(client_of_ana: Client) -> None:
    a_run()
    html = shown(client_of_ana)
    assert [column for column in ("status", "kind", "door") if f"?{column}__exact=" in html] == []
    a_run(status="failed", kind="dry_run", door="shell")
    html = shown(client_of_ana)
    assert sorted(re.findall(r"\?((?:status|kind|door)__exact=\w+)", html)) == [
        "door__exact=shell", "door__exact=worker", "kind__exact=dry_run", "kind__exact=run",
        "status__exact=failed", "status__exact=succeeded",
    ]  # fmt: skip
    # In the order in which a run goes, by the words that a person knows.
    assert html.index(">succeeded</a>") < html.index(">failed</a>")
    assert ">dry run</a>" in html
    assert len(numbers(shown(client_of_ana, "?status__exact=failed"))) == 1
    # What an address says is shown, so that it can be taken back.
    assert "?status__exact=paused" in shown(client_of_ana, "?status__exact=paused")


def test_a_status_that_only_an_old_run_has_is_offered_too(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runfilters, "RECENT", 2)
    a_run(status="failed")
    for _ in range(3):
        a_run()
    html = shown(client_of_ana)
    assert "?status__exact=failed" in html
    assert "?status__exact=paused" not in html
    assert "By status of the newest" not in " ".join(html.split())


def test_the_last_run_of_each_is_the_newest_of_its_database_and_found_through_the_index() -> None:
    a_run()
    newest = a_run(status="failed")
    a_run(database="other")
    a_run(migration="gone")
    rows = [catalogue.Row(name, "pending", None, None) for name in (INCREMENT, "never", "gone")]
    with CaptureQueriesContext(connections[Run.objects.db]) as captured:
        found = catalogue.with_last_runs(rows, "default")
    assert [row.last_run and row.last_run.migration for row in found] == [INCREMENT, None, "gone"]
    assert found[0].last_run == newest
    assert len(captured) == 1
    assert catalogue.with_last_runs(rows[:1], "other")[0].last_run.database == "other"
    assert catalogue.with_last_runs([], "default") == []
    if connections[Run.objects.db].vendor == "sqlite":
        with connections[Run.objects.db].cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + captured[0]["sql"])
            plan = [str(row[-1]) for row in cursor.fetchall()]
        assert not [step for step in plan if step.startswith("SCAN")], plan


def test_the_list_shows_its_page_of_many_and_counts_all(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.views.migrations.PER_PAGE", 2)
    for number in range(40):
        ledger.record(f"gone_{number:02d}", using="default", by="ben", door=Door.SHELL)
    html = shown(client_of_ana, "?state=unregistered", LIST)
    assert len(re.findall(r'<tr id="row-', html)) == 2
    assert "40 data migrations" in html
    assert "?state=unregistered&p=20" in html or "p=20" in html
    assert 'p=10"' not in html  # left out between the first and the last ones
    assert "gone_39" in shown(client_of_ana, "?state=unregistered&p=20", LIST)


def test_one_data_migration_is_read_without_the_others(client_of_ana: Client) -> None:
    for number in range(30):
        ledger.record(f"gone_{number:02d}", using="default", by="ben", door=Door.SHELL)
    row = catalogue.find("gone_07", "default")
    assert row is not None
    assert row.state == "unregistered"
    assert [each.name for each in catalogue.read("default", names=["gone_07", "gone_08"]).rows] == [
        "gone_07",
        "gone_08",
    ]
    assert catalogue.find("nobody", "default") is None
    assert catalogue.find("dependent_2026_01_04", "default").missing == (INCREMENT,)
    ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL)
    assert catalogue.find("dependent_2026_01_04", "default").missing == ()
