"""The dry run that somebody did before, on the page where the run is confirmed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import rehearsals
from console.models import Run
from console.rehearsals import Parameters
from data_migrations import registry
from data_migrations.models import Checkpoint, QuarantinedRow
from tests.console.pages import EVERYTHING, INCREMENT, a_run, address, person, run_address
from tests.console.test_forms import ARGUMENTS, ASKED, VALUES

pytestmark = pytest.mark.django_db(databases="__all__")

CHANGES = [
    {"table": "testapp_item", "inserted": 0, "updated": 1200, "deleted": 3},
    {"table": "testapp_other", "inserted": 1, "updated": 0, "deleted": 0},
]


def a_rehearsal(name: str = INCREMENT, **fields: Any) -> Run:
    values = {"migration": name, "kind": "dry_run", "checksum": registry.get(name).checksum, "changes": CHANGES}
    return a_run(**values | fields)


def told(client: Client, name: str = INCREMENT, **asked: Any) -> str:
    """What the confirm page has about a dry run; empty where it has nothing."""
    html = client.post(address("run", name), {**ASKED, **asked}).content.decode()
    assert "No, take me back" in html
    found = re.search(r"<dt>Dry run</dt><dd>(.*?)</dd>", html, re.S)
    return found[1] if found else ""


def test_the_confirm_page_leads_to_the_dry_run_and_says_what_it_would_change(client_of_ana: Client) -> None:
    run = a_rehearsal(requested_at=timezone.now() - timedelta(minutes=5))
    found = told(client_of_ana)
    assert f'<a href="{run_address(run)}">Run {run.pk}</a>' in found
    assert "5\xa0minutes ago" in found
    words = re.sub(r"<[^>]*>", "", found)
    assert "testapp_item: 1,200 updated, 3 deleted" in words
    assert "testapp_other: 1 inserted" in words


def test_one_that_changed_nothing_says_so(client_of_ana: Client) -> None:
    a_rehearsal(changes=[])
    assert "no row was inserted, updated or deleted" in told(client_of_ana)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "run"},
        {"status": "failed"},
        {"checksum": "0" * 64},
        {"database": "other"},
        {"arguments": {"lines": 2}},
    ],
)
def test_another_one_is_not_taken_for_it(client_of_ana: Client, fields: dict[str, Any]) -> None:
    a_rehearsal(**fields)
    assert told(client_of_ana) == ""


def test_the_newest_with_the_same_parameters_is_shown(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.queue.ring", lambda run: None)
    ticket = client_of_ana.post(address("run", ARGUMENTS), {**ASKED, **VALUES, "kind": "dry_run"})
    found = re.search(r'name="ticket" value="([^"]+)"', ticket.content.decode())
    assert found is not None
    client_of_ana.post(address("start", ARGUMENTS), {"ticket": found[1]})
    same = Run.objects.get()
    Run.objects.update(status="succeeded", changes=CHANGES)
    a_rehearsal(ARGUMENTS, arguments={**same.arguments, "count": 8})
    shown = told(client_of_ana, ARGUMENTS, **VALUES)
    assert f'"{run_address(same)}"' in shown
    # Of what is hidden nobody can tell whether it was the same.
    assert "hidden" in shown


def test_a_dry_run_and_a_reversal_are_confirmed_without_it(client_of_ana: Client) -> None:
    a_rehearsal()
    assert told(client_of_ana, kind="dry_run") == ""


def test_only_the_newest_dry_runs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsals, "MOST_RUNS", 1)
    a_rehearsal()
    a_rehearsal(arguments={"lines": 2})
    migration = registry.get(INCREMENT)
    assert rehearsals.last(migration, "default", Parameters.asked(migration, {})) is None
    assert rehearsals.last(migration, "default", None) is None


@pytest.fixture
def bea(db: None) -> Client:
    """A browser of somebody who may approve."""
    client = Client()
    client.force_login(person("bea", *EVERYTHING, "approve_run"))
    return client


def waits(**fields: Any) -> Run:
    return a_run(
        **{"status": "waiting", "started_at": None, "finished_at": None, "approval_expires_at": soon()} | fields
    )


def soon() -> Any:
    return timezone.now() + timedelta(days=1)


def test_who_is_to_approve_it_sees_the_dry_run_with_the_same_parameters(bea: Client) -> None:
    dry = a_rehearsal(arguments={"lines": 2})
    checksum = registry.get(INCREMENT).checksum
    page = said(bea.get(run_address(waits(arguments={"lines": 2}, checksum=checksum), "approve")).content.decode())
    assert f"Run {dry.pk} with these parameters" in page
    assert "1,200 updated" in page
    # Of others it is only told that there was one; and a reversal is not what it tried.
    for fields in ({"arguments": {"lines": 3}}, {"arguments": {"lines": 2}, "kind": "reverse"}):
        page = said(bea.get(run_address(waits(checksum=checksum, **fields), "approve")).content.decode())
        assert f"Run {dry.pk} of the same code" in page
        assert "with these parameters" not in page
        assert "1,200 updated" not in page


def test_what_is_hidden_is_compared_by_what_is_kept_of_it(bea: Client) -> None:
    checksum = registry.get(ARGUMENTS).checksum
    kept = {"country": "de", "password": "********"}
    run = waits(migration=ARGUMENTS, arguments=kept, sealed_arguments="sealed", checksum=checksum)
    plain = a_rehearsal(ARGUMENTS, arguments={})
    page = said(bea.get(run_address(run, "approve")).content.decode())
    assert f"Run {plain.pk} of the same code" in page
    same = a_rehearsal(ARGUMENTS, arguments=kept)
    page = said(bea.get(run_address(run, "approve")).content.decode())
    assert f"Run {same.pk} with these parameters (those that are hidden may have been others)" in page


def test_rows_that_would_be_set_aside_are_said_with_the_first_keys(client_of_ana: Client) -> None:
    run = a_rehearsal(set_aside={"count": 1, "keys": ["1377"]})
    for words in (said(told(client_of_ana)), said(client_of_ana.get(run_address(run)).content.decode())):
        assert "1 row would be set aside: 1377." in words
    run = a_rehearsal(set_aside={"count": 7, "keys": ["1", "2", '["<b>", 3]', "4", "5"]})
    for words in (said(told(client_of_ana)), said(client_of_ana.get(run_address(run)).content.decode())):
        assert "7 rows would be set aside: 1, 2, [&quot;&lt;b&gt;&quot;, 3], 4, 5, …." in words
    run = a_rehearsal()
    assert "set aside" not in told(client_of_ana) + client_of_ana.get(run_address(run)).content.decode()


def test_a_dry_run_of_more_than_is_left_says_so(client_of_ana: Client) -> None:
    name = "batch_poison_2026_02_02"
    a_rehearsal(name, estimated_seconds=54.0, progress_done=1200, progress_total=1200)
    assert "before an earlier run" not in told(client_of_ana, name)
    now = timezone.now()
    Checkpoint.objects.create(
        name=name, rows=1199, total=1200, batches=12, batch_size=100, started_at=now, updated_at=now, exhausted=True
    )
    QuarantinedRow.objects.create(name=name, key="7", at=now)
    html = client_of_ana.post(address("run", name), ASKED).content.decode()
    words = " ".join(said(html).split())
    assert "1 that was set aside; 1,199 were done by earlier runs" in words
    assert "less than a second for what is left" in words
    assert "before an earlier run did a part of it: it would change" in words


def said(html: str) -> str:
    """What a page says, without its tags."""
    return re.sub(r"<[^>]*>", "", html)
