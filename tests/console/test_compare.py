"""Two runs side by side."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import compare
from console.compare import Pair, Section
from console.models import Run
from tests.console.pages import INCREMENT, a_run, person, run_address

pytestmark = pytest.mark.django_db(databases="__all__")

HISTORY = "/admin/console/run/"
COMPARE = f"{HISTORY}compare/"


def took(seconds: float, **fields: Any) -> Run:
    now = timezone.now()
    return a_run(started_at=now - timedelta(seconds=seconds), finished_at=now, **fields)


def pairs(sections: list[Section]) -> dict[str, Pair]:
    return {pair.label: pair for section in sections for pair in section.pairs}


def compared(left: Run, right: Run) -> dict[str, Pair]:
    return pairs(compare.of(left, right, with_arguments=True))


def test_what_differs_is_marked_and_what_is_the_same_is_not() -> None:
    left = took(10, arguments={"chunk": 5, "token": "***"}, affected_rows=100, release="1.0", checksum="a" * 64)
    right = took(25, arguments={"chunk": 9, "dry": True, "token": "***"}, affected_rows=250, release="1.1")
    found = compared(left, right)
    differing = {label for label, pair in found.items() if pair.differs}
    assert {"chunk", "dry", "Took", "Rows", "Release", "Checksum", "Began"} == differing
    assert (found["chunk"].left, found["chunk"].right) == ("5", "9")
    assert (found["dry"].left, found["dry"].right) == ("–", "True")
    assert (found["Took"].left, found["Took"].right, found["Took"].note) == ("10 s", "25 s", "2.5 × as long")
    assert (found["Rows a second"].left, found["Rows a second"].right) == ("10", "10")
    assert found["Checksum"].right == "–"


def test_a_run_that_was_much_quicker_is_compared_in_words() -> None:
    note = compared(took(62), took(0.02))["Took"].note
    assert note == "less than a tenth as long"
    assert compared(took(20), took(10))["Took"].note == "0.5 × as long"


def test_rows_are_compared_table_by_table() -> None:
    left = took(1, changes=[{"table": "shop_order", "inserted": 0, "updated": 1200, "deleted": 0}])
    right = took(1, changes=[{"table": "shop_item", "inserted": 7, "updated": 0, "deleted": 0}, "odd"])
    found = compared(left, right)
    assert (found["shop_order, updated"].left, found["shop_order, updated"].right) == ("1,200", "0")
    assert (found["shop_item, inserted"].left, found["shop_item, inserted"].right) == ("0", "7")
    assert "shop_order, inserted" not in found


def test_errors_and_marks_are_compared() -> None:
    left = took(1, status="failed", error_class="ValueError", error_message="no")
    right = a_run(kind="mark", door="marked")
    found = compared(left, right)
    assert (found["Error"].left, found["Error"].right) == ("ValueError", "–")
    assert (found["Record"].left, found["Record"].right) == ("–", "not applied → applied")


def test_a_run_that_goes_on_or_never_began_can_be_compared() -> None:
    going = a_run(status="running", finished_at=None)
    waiting = a_run(status="enqueued", started_at=None, finished_at=None)
    found = compared(going, waiting)
    assert found["Took"].left.endswith("so far")
    assert found["Took"].right == "–"
    assert found["Took"].note == ""


def test_the_page_shows_the_older_on_the_left_and_escapes(client_of_ana: Client) -> None:
    old = took(1, reason="<b>old</b>", error_message="<script>alert(1)</script>")
    new = took(1, reason="new")
    html = client_of_ana.get(f"{COMPARE}?run={new.pk}&run={old.pk}").content.decode()
    heads = re.findall(r'<th scope="col"><a href="[^"]+">Run (\d+)</a>', html)
    assert heads[:2] == [str(old.pk), str(new.pk)]
    assert "<b>old</b>" not in html
    assert "<script>alert" not in html
    assert "&lt;b&gt;old&lt;/b&gt;" in html
    rows = re.findall(r'<tr class="console-differs">.*?</tr>', html, re.S)
    assert any("Reason" in row for row in rows)
    assert not any("Database" in row for row in rows)
    assert client_of_ana.get(run_address(old, "compare_with") + f"?with={new.pk}").status_code == 200


def test_parameters_are_hidden_from_those_who_may_not_see_them(viewer: Client) -> None:
    left, right = took(1, arguments={"chunk": "sesame"}), took(1, arguments={"chunk": "other"})
    html = viewer.get(f"{COMPARE}?run={left.pk}&run={right.pk}").content.decode()
    assert "sesame" not in html
    assert "chunk" not in html
    assert "You may not see the parameters." in html


@pytest.mark.parametrize("query", ["", "?run=", "?run=1&run=2&run=3", "?run=7&run=7"])
def test_anything_but_two_leads_back_with_what_to_do(client_of_ana: Client, query: str) -> None:
    response = client_of_ana.get(COMPARE + query, follow=True)
    assert response.redirect_chain[0][0] == HISTORY
    assert "Tick two runs to compare them." in response.content.decode()


def test_one_alone_is_asked_with_which(client_of_ana: Client) -> None:
    run, other = took(1), took(2)
    foreign = took(3, migration="another_2026_01_01")
    for address in (run_address(run, "compare_with"), f"{COMPARE}?run={run.pk}"):
        html = client_of_ana.get(address).content.decode()
        assert f'href="?with={other.pk}"' in html or f"with={other.pk}" in html
        assert f"with={foreign.pk}" not in html
    assert "Nothing to compare with" in client_of_ana.get(run_address(foreign, "compare_with")).content.decode()
    assert run_address(run, "compare_with") in client_of_ana.get(run_address(run)).content.decode()


@pytest.mark.parametrize("query", ["?run=999999&run=1", "?run=x&run=y", "?run=%s" % ("9" * 30)])
def test_an_unknown_run_is_a_404(client_of_ana: Client, query: str) -> None:
    assert client_of_ana.get(COMPARE + query).status_code == 404


def test_it_takes_the_permission_to_view_and_only_shows(client_of_ana: Client) -> None:
    run = took(1)
    other = Client()
    other.force_login(person("otto", "view_log", "view_arguments"))
    for address in (COMPARE, run_address(run, "compare_with")):
        assert other.get(address).status_code == 403
        assert client_of_ana.post(address).status_code == 405


def test_the_history_has_a_box_for_each_run_and_the_form_for_them(client_of_ana: Client) -> None:
    run = took(1, reason="because of <the> test")
    mark = a_run(kind="mark", door="marked", reason="done by hand")
    html = client_of_ana.get(reverse("admin:console_run_changelist")).content.decode()
    assert f'<form method="get" action="{COMPARE}" id="console-compare">' in html
    for each in (run, mark):
        assert f'name="run" value="{each.pk}" form="console-compare"' in html
    assert "because of &lt;the&gt; test" in html
    assert "not applied → applied" in html
    assert INCREMENT in html.replace("<wbr>", "")


def test_a_run_in_batches_that_stopped_has_the_rows_that_are_kept(db: None) -> None:
    fields: dict[str, Any] = {"in_batches": True, "progress_done": 40, "rows_before": 15}
    assert [a_run(status=status, **fields).own_rows for status in ("failed", "cancelled", "running")] == [25, 25, None]
