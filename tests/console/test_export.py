"""The history as a file."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, router
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import export
from console.models import Run
from tests.console.pages import a_run, person

pytestmark = pytest.mark.django_db(databases="__all__")

HISTORY = "/admin/console/run/"


def sent(client: Client, form: str, query: str = "") -> str:
    response: Any = client.get(f"{HISTORY}export/{form}/{query}")
    assert response.status_code == 200
    assert response.streaming
    assert response["Content-Disposition"].startswith('attachment; filename="runs-')
    return b"".join(response.streaming_content).decode()


def as_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_all_three_say_the_same(client_of_ana: Client) -> None:
    now = timezone.now()
    a_run(reason='with "quotes", commas\nand ünïcode', arguments={"chunk": 5}, affected_rows=7)
    a_run(started_at=now - timedelta(seconds=90), finished_at=now, changes=[{"table": "t", "updated": 3}])
    lines = [json.loads(line) for line in sent(client_of_ana, "jsonl").splitlines()]
    assert json.loads(sent(client_of_ana, "json")) == lines
    rows = as_rows(sent(client_of_ana, "csv"))
    assert (
        [int(row["run"]) for row in rows]
        == [line["run"] for line in lines]
        == sorted((run.pk for run in Run.objects.all()), reverse=True)
    )
    assert rows[1]["reason"] == lines[1]["reason"] == 'with "quotes", commas\nand ünïcode'
    assert lines[1]["arguments"] == json.loads(rows[1]["arguments"]) == {"chunk": 5}
    assert lines[1]["affected_rows"] == int(rows[1]["affected_rows"]) == 7
    assert lines[0]["seconds"] == float(rows[0]["seconds"]) == 90
    assert lines[0]["changes"] == [{"table": "t", "updated": 3}]


def test_the_rows_of_a_run_that_failed_on_its_way_are_there(client_of_ana: Client) -> None:
    a_run(status="failed", in_batches=True, progress_done=30, rows_before=10)
    [row] = as_rows(sent(client_of_ana, "csv"))
    assert (row["affected_rows"], row["rows_before"], row["rows"]) == ("", "10", "20")


def test_an_empty_history_is_a_valid_file(client_of_ana: Client) -> None:
    assert json.loads(sent(client_of_ana, "json")) == []
    assert sent(client_of_ana, "jsonl") == ""
    assert as_rows(sent(client_of_ana, "csv")) == []
    assert "requested_by" in sent(client_of_ana, "csv")


def test_filters_and_search_of_the_list_hold(client_of_ana: Client) -> None:
    wanted = a_run(status="failed", requested_by="carl", reason="needle")
    a_run(status="failed", requested_by="carl")
    a_run(status="failed", reason="needle")
    a_run(requested_by="carl", reason="needle")
    query = "?status__exact=failed&by=carl&q=needle"
    assert [row["run"] for row in as_rows(sent(client_of_ana, "csv", query))] == [str(wanted.pk)]
    html = client_of_ana.get(HISTORY + query + "&p=1").content.decode()
    assert f'href="{HISTORY}export/csv/?status__exact=failed&amp;by=carl&amp;q=needle"' in html


def test_a_filter_that_means_nothing_is_refused(client_of_ana: Client) -> None:
    assert client_of_ana.get(f"{HISTORY}export/csv/?requested_at__year=nonsense").status_code == 400
    assert client_of_ana.get(f"{HISTORY}export/csv/?by=%00").status_code == 400
    # Django would let a database take them: a broken one is its error, an evil one its whole time.
    for page in (HISTORY, f"{HISTORY}export/csv/"):
        assert client_of_ana.get(f"{page}?migration__regex=(").status_code == 400
        assert client_of_ana.get(f"{page}?host__iregex=x").status_code == 400
    assert client_of_ana.get(f"{HISTORY}export/xlsx/").status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "=cmd|'/c calc'!A1"),
        *("\uff1d1+1", "\uff20SUM(A1)", "\u3000=1", "\u200b=1", "\x0b=1"),
    ],
)
def test_a_spreadsheet_does_not_execute_what_somebody_typed(client_of_ana: Client, text: str) -> None:
    a_run(reason=text, result=text, error_message=text, requested_by=text, host=text)
    row = as_rows(sent(client_of_ana, "csv"))[0]
    for column in ("reason", "result", "error_message", "requested_by", "host"):
        assert row[column] == f"'{text}", column
    # JSON is no spreadsheet: there the text stays as it is.
    assert json.loads(sent(client_of_ana, "json"))[0]["reason"] == text


def test_numbers_and_plain_texts_have_no_quote_before_them(client_of_ana: Client) -> None:
    a_run(affected_rows=-5, reason="a = b")
    row = as_rows(sent(client_of_ana, "csv"))[0]
    assert row["affected_rows"] == "-5"
    assert row["reason"] == "a = b"


def test_arguments_only_for_those_who_may_see_them(viewer: Client) -> None:
    a_run(arguments={"word": "sesame"})
    for form in export.FORMATS:
        text = sent(viewer, form)
        assert "sesame" not in text
        assert "arguments" not in text


def test_what_no_list_shows_is_not_in_it(client_of_ana: Client) -> None:
    a_run(traceback="TRACE-SECRET", sealed_arguments="SEALED-SECRET")
    for form in export.FORMATS:
        assert "SECRET" not in sent(client_of_ana, form)


def test_it_takes_the_permission_to_view_and_only_reads(client_of_ana: Client) -> None:
    other = Client()
    other.force_login(person("otto", "view_log", "view_arguments"))
    assert other.get(f"{HISTORY}export/csv/").status_code == 403
    assert client_of_ana.post(f"{HISTORY}export/csv/").status_code == 405
    assert Client().get(f"{HISTORY}export/csv/").status_code == 302


def test_marks_have_the_record_before_and_after(client_of_ana: Client) -> None:
    before = {"applied_at": "2026-01-02T03:04:05+00:00", "by": "ben", "door": "shell", "times_applied": 2}
    a_run(kind="unmark", door="marked", changes=[{"before": before, "after": None}])
    row = json.loads(sent(client_of_ana, "json"))[0]
    assert row["record_before"] == before
    assert row["record_after"] is None
    assert row["changes"] == []


def test_one_query_for_each_piece_and_none_for_a_run(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE", 10)
    for index in range(25):
        a_run(arguments={"index": index}, changes=[{"table": "t", "updated": index}])
    connection = connections[router.db_for_read(Run)]
    response: Any = client_of_ana.get(f"{HISTORY}export/jsonl/")
    with CaptureQueriesContext(connection) as queries:
        lines = b"".join(response.streaming_content).decode().splitlines()
    assert len(queries) == 3
    assert [json.loads(line)["arguments"]["index"] for line in lines] == list(reversed(range(25)))


def test_runs_of_the_same_moment_are_sent_once(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE", 4)
    now = timezone.now()
    for index in range(18):
        a_run(requested_at=now - timedelta(seconds=index // 7))
    found = [json.loads(line)["run"] for line in sent(client_of_ana, "jsonl").splitlines()]
    assert found == list(Run.objects.order_by("-requested_at", "-pk").values_list("pk", flat=True))


def test_no_more_than_a_piece_is_read_ahead(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE", 10)
    for _ in range(25):
        a_run()
    made: list[int] = []
    monkeypatch.setattr(export, "_row", lambda run, *, with_arguments: made.append(run.pk) or {"run": run.pk})
    response: Any = client_of_ana.get(f"{HISTORY}export/jsonl/")
    pieces = iter(response.streaming_content)
    assert made == []
    next(pieces)
    assert len(made) == 1


def test_an_asynchronous_server_gets_it_piece_by_piece(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(40):
        a_run()
    client = AsyncClient()
    client.cookies = client_of_ana.cookies

    async def read() -> list[bytes]:
        response: Any = await client.get(f"{HISTORY}export/jsonl/")
        assert response.is_async
        return [piece async for piece in response.streaming_content]

    pieces = async_to_sync(read)()
    assert len(pieces) == 3
    assert len(b"".join(pieces).splitlines()) == 40
