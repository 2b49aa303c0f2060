"""The log as data: pages of lines, ETags, search, download, permission."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client

from console.models import LogChunk, Run
from tests.console.pages import a_run, person, print_lines, run_address

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def run() -> Run:
    run = a_run(status="running", finished_at=None)
    print_lines(run, *(f"line {number}" for number in range(1, 101)))
    return run


def get(client: Client, run: Run, query: str = "", **headers: str):
    return client.get(run_address(run, "log") + query, headers=headers)


def numbers(response) -> list[int]:
    assert response.status_code == 200, response.content
    return [line[0] for line in response.json()["lines"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?after=0&limit=3", [1, 2, 3]),
        ("?after=98", [99, 100]),
        ("?after=100", []),
        ("?before=4", [1, 2, 3]),
        ("?before=50&limit=2", [48, 49]),
        ("?tail=2", [99, 100]),
        ("?after=50&limit=0", []),
        ("", list(range(1, 101))),
    ],
)
def test_lines_from_anywhere(client_of_ana: Client, run: Run, query: str, expected: list[int]):
    assert numbers(get(client_of_ana, run, query)) == expected


@pytest.mark.parametrize("query", ["?after=90", "?tail=5", "?around=5", "?after=0&level=errors"])
def test_a_run_that_is_gone_is_not_found(client_of_ana: Client, run: Run, query: str):
    assert get(client_of_ana, run, query).status_code == 200
    run.delete()
    assert get(client_of_ana, run, query).status_code == 404


def test_a_log_that_cannot_be_read_is_an_error_and_no_missing_run(client_of_ana: Client, run: Run):
    LogChunk.objects.filter(run_id=run.pk).update(meta="[")
    with pytest.raises(ValueError, match="Expecting value"):
        get(client_of_ana, run)


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30])
def test_a_number_that_no_run_has_is_not_found(client_of_ana: Client, run: Run, number: str):
    address = run_address(run, "log").replace(f"/{run.pk}/", f"/{number}/")
    assert client_of_ana.get(address).status_code == 404


def test_around_has_the_line(client_of_ana: Client, run: Run):
    found = numbers(get(client_of_ana, run, "?around=50&limit=10"))
    assert 50 in found
    assert len(found) == 10


def test_the_answer_says_how_far_the_log_is_and_whether_it_is_over(client_of_ana: Client, run: Run):
    answer = get(client_of_ana, run, "?after=100&limit=0").json()
    assert (answer["last"], answer["status"], answer["over"]) == (100, "running", False)
    Run.objects.filter(pk=run.pk).update(status="succeeded")
    assert get(client_of_ana, run, "?after=100&limit=0").json()["over"] is True


def test_an_idle_poll_is_a_304_until_a_line_or_the_end_comes(client_of_ana: Client, run: Run):
    query = "?after=100"
    tag = get(client_of_ana, run, query)["ETag"]
    assert get(client_of_ana, run, query, **{"If-None-Match": tag}).status_code == 304
    print_lines(run, "one more")
    more = get(client_of_ana, run, query, **{"If-None-Match": tag})
    assert numbers(more) == [101]
    assert get(client_of_ana, run, query, **{"If-None-Match": more["ETag"]}).status_code == 304
    Run.objects.filter(pk=run.pk).update(status="failed")
    assert get(client_of_ana, run, query, **{"If-None-Match": more["ETag"]}).status_code == 200


def test_the_same_log_at_another_place_is_not_a_304(client_of_ana: Client, run: Run):
    tag = get(client_of_ana, run, "?after=100")["ETag"]
    assert get(client_of_ana, run, "?after=90", **{"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "?after=x",
        "?after=-1",
        "?limit=1e3",
        "?after=1&tail=2",
        "?after=" + "9" * 30,
        "?level=loud",
        "?skip=1",
        "?skip=x-y",
        "?skip=" + ",".join(["1-2"] * 201),
    ],
)
def test_nonsense_is_a_400(client_of_ana: Client, run: Run, query: str):
    assert get(client_of_ana, run, query).status_code == 400


def test_text_that_looks_like_html_travels_as_data(client_of_ana: Client, run: Run):
    print_lines(run, "<script>alert(1)</script>")
    response = get(client_of_ana, run, "?after=100")
    assert response["Content-Type"] == "application/json"
    assert response.json()["lines"][0][3] == "<script>alert(1)</script>"


def test_search_is_over_the_whole_log(client_of_ana: Client, run: Run):
    print_lines(run, "LINE 7 again, louder")
    answer = client_of_ana.get(run_address(run, "log_search") + "?text=line+7").json()
    assert answer == {"matches": [7, *range(70, 80), 101], "through": 101, "last": 101, "done": True}

    def ask(query: str) -> list[int]:
        return client_of_ana.get(run_address(run, "log_search") + query).json()["matches"]

    assert ask("?text=LINE+7&case=1") == [101]
    assert ask("?text=line+7&after=75&limit=2") == [76, 77]
    assert ask("?text=line+7&before=75&limit=2") == [74, 73]
    assert ask("?text=line+7&level=errors") == []


@pytest.mark.parametrize("query", ["", "?text=", "?text=x&after=y", "?text=x&level=loud", "?text=x&limit=1e9"])
def test_a_search_that_makes_no_sense_is_a_400(client_of_ana: Client, run: Run, query: str):
    assert client_of_ana.get(run_address(run, "log_search") + query).status_code == 400


def test_only_lines_of_a_level(client_of_ana: Client, run: Run):
    print_lines(run, "careful", level="w")
    print_lines(run, "broken", level="r")
    answer = get(client_of_ana, run, "?level=problems&limit=500").json()
    assert ([line[0] for line in answer["lines"]], answer["start"], answer["next"]) == ([101, 102], 1, 102)
    assert numbers(get(client_of_ana, run, "?level=errors")) == [102]
    tag = get(client_of_ana, run, "?level=errors")["ETag"]
    assert get(client_of_ana, run, "?level=problems", **{"If-None-Match": tag}).status_code == 200


def test_lines_can_be_left_out(client_of_ana: Client, run: Run):
    assert numbers(get(client_of_ana, run, "?skip=4-50,60-98")) == [1, 2, 3, *range(51, 60), 99, 100]


def test_the_groups_of_the_log(client_of_ana: Client, run: Run):
    print_lines(run, "Loading", level="g")
    print_lines(run, "broken", level="r")
    answer = client_of_ana.get(run_address(run, "log_groups")).json()
    assert answer == {"groups": [[101, None, "Loading", 0, True, False]], "through": 102, "more": False}


def test_download_has_everything(client_of_ana: Client, run: Run):
    response = client_of_ana.get(run_address(run, "log_download"))
    assert response["Content-Type"].startswith("text/plain")
    assert "attachment" in response["Content-Disposition"]
    body = response.getvalue().decode()
    assert body.splitlines() == [f"line {number}" for number in range(1, 101)]


def test_download_with_times_says_when_and_at_which_level(client_of_ana: Client, run: Run):
    print_lines(run, "look out", level="w")
    response = client_of_ana.get(run_address(run, "log_download") + "?times=1")
    lines = response.getvalue().decode().splitlines()
    assert len(lines) == 101
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z stdout  line 1", lines[0])
    assert lines[-1].endswith("Z warning look out")
    at = datetime.fromisoformat(lines[-1].partition("Z")[0]).replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - at).total_seconds()) < 600


@pytest.mark.parametrize("page", ["log", "log_search", "log_groups", "log_download"])
def test_without_the_permission_the_log_is_hidden(viewer: Client, run: Run, page: str):
    assert viewer.get(run_address(run, page) + "?text=line").status_code == 403
    html = viewer.get(run_address(run)).content.decode()
    assert "line 1" not in html
    assert "You may not read the logs" in html


def test_the_permission_for_logs_alone_is_not_enough(run: Run):
    client = Client()
    client.force_login(person("lea", "view_log"))
    assert get(client, run).status_code == 403


@pytest.mark.parametrize("page", ["log", "log_search", "log_groups", "log_download"])
def test_only_get(client_of_ana: Client, run: Run, page: str):
    assert client_of_ana.post(run_address(run, page)).status_code == 405


def test_a_search_for_a_nul_character_is_refused_not_asked_of_the_database(client_of_ana: Client, run: Run):
    assert client_of_ana.get(run_address(run, "log_search") + "?text=%00").status_code == 400
