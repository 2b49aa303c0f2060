"""What the pages say of a data migration that other processes know and this one does not."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from data_migrations import clock, ledger, registry
from data_migrations.models import AppliedMigration
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, a_run, address, run_address

pytestmark = pytest.mark.django_db(databases="__all__")

LIST = "/admin/console/migration/"
NAME = "elsewhere_2026_11_22"


@pytest.fixture
def since() -> datetime:
    """When this process looked through its code."""
    return clock.stored(registry.known_since())


def shown(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).replace("<wbr>", "").split())


def row(html: str, name: str = NAME) -> str:
    return next(each for each in re.findall(r'<tr id="row-.*?</tr>', html, re.DOTALL) if f">{name}</a>" in each)


def applied(at: datetime, door: Door = Door.SHELL) -> None:
    ledger.record(NAME, using="default", by="ben", door=door)
    AppliedMigration.objects.filter(name=NAME).update(applied_at=at)


def test_what_was_applied_after_the_web_server_had_started_may_be_newer(client_of_ana: Client, since: datetime) -> None:
    applied(since + timedelta(seconds=5))
    html = shown(client_of_ana, LIST)
    assert "Not in the code here" in row(html)
    assert "so it may be newer than that: restart the web server" in row(html)
    page = shown(client_of_ana, address("change", NAME))
    assert "It is not in the code of this web server. It was in use after" in page
    assert page.count("It was in use after") == 1
    assert "any more" not in page


def test_what_was_applied_before_was_probably_deleted_and_makes_no_noise_in_the_list(
    client_of_ana: Client, since: datetime
) -> None:
    applied(since - timedelta(days=5))
    assert "console-note" not in row(shown(client_of_ana, LIST))
    page = shown(client_of_ana, address("change", NAME))
    assert "it was probably deleted since; or it is in the code of other servers only." in page


def test_a_mark_by_hand_says_nothing_of_any_code(client_of_ana: Client, since: datetime) -> None:
    applied(since + timedelta(seconds=5), Door.MARKED)
    assert "console-note" not in row(shown(client_of_ana, LIST))
    assert "It was deleted, or is newer than this web server." in shown(client_of_ana, address("change", NAME))


def test_what_is_on_the_disk_by_now_is_newer_for_certain(
    client_of_ana: Client, since: datetime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    applied(since - timedelta(days=5))
    on_disk(monkeypatch, tmp_path, "lowercase", f'migration_name = "{NAME}"')
    assert "The command lowercase on the web server's disk has it" in row(shown(client_of_ana, LIST))


def on_disk(monkeypatch: pytest.MonkeyPatch, folder: Path, command: str, text: str) -> Path:
    """An app in that folder has that command."""
    path = folder / "management" / "commands" / f"{command}.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    monkeypatch.setattr(
        registry,
        "apps",
        SimpleNamespace(get_app_configs=lambda: [SimpleNamespace(path=folder, name="shop", label="shop")]),
    )
    return path


def test_a_file_counts_that_is_new_or_was_written_since(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = on_disk(monkeypatch, tmp_path, "increment", f"migration_name = '{NAME}'")
    assert registry.newer_on_disk([NAME, "another"]) == {NAME: "increment"}
    # A command of that name that is as old as what this process knows is known.
    os.utime(path, (1, 1))
    assert registry.newer_on_disk([NAME]) == {}
    path.rename(path.with_name("never_seen.py"))
    assert registry.newer_on_disk([NAME]) == {NAME: "never_seen"}
    assert registry.newer_on_disk([]) == {}


def test_a_run_that_goes_on_is_in_the_list_though_nothing_is_recorded_yet(
    client_of_ana: Client, since: datetime
) -> None:
    a_run(migration=NAME, status="running", finished_at=None, requested_at=since + timedelta(seconds=9))
    html = row(shown(client_of_ana, LIST))
    assert "Running" in html
    assert "it may be newer" in html


def test_a_failed_run_has_a_page_of_its_data_migration_to_lead_to(
    client_of_ana: Client, since: datetime, settings: Any
) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "RELEASE": "2026.11.3"}
    later = since + timedelta(seconds=9)
    run = a_run(migration=NAME, status="failed", requested_at=later, release="2026.11.4")
    page = shown(client_of_ana, run_address(run))
    assert "(not in the code of this web server)" in page
    assert "it may be newer than that" in page
    assert "The run is of release 2026.11.4, this web server of 2026.11.3." in page
    assert f'href="{address("change", NAME)}"' in page
    there = shown(client_of_ana, address("change", NAME))
    assert "It is not recorded as applied." in there
    assert "it may be newer than that" in there
    # In the list it would stay for good where it was deleted.
    assert NAME not in shown(client_of_ana, LIST)
    assert client_of_ana.get(address("change", "nobody_2026_11_22")).status_code == 404


def test_what_code_did_itself_is_missing_nowhere(client_of_ana: Client) -> None:
    ledger.record(NAME, using="default", by="ben", door=Door.CODE)
    run = a_run(migration=NAME, door="code")
    assert "not in the code" not in shown(client_of_ana, run_address(run)).lower()
    assert "not in the code" not in row(shown(client_of_ana, LIST)).lower()
    assert "not in the code" not in shown(client_of_ana, run_address(a_run(migration=INCREMENT))).lower()


def test_when_this_process_looked_is_known(since: datetime) -> None:
    assert since <= timezone.now()
    registry.reset()
    assert clock.stored(registry.known_since()) > since
