"""Who may what: no button without the permission, and the POST refuses just the same."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from console.models import Run
from data_migrations import ledger, registry
from data_migrations.reporting import Door
from tests.console.pages import EVERYTHING, INCREMENT, a_run, address, person, run_address
from tests.console.test_forms import ASKED, confirmed

pytestmark = pytest.mark.django_db(databases="__all__")

REVERSIBLE = "reversible_v2_2026_01_06"


@pytest.fixture(autouse=True)
def no_queue(monkeypatch) -> None:
    monkeypatch.setattr("console.queue.ring", lambda run_id: None)


def client_with(*codenames: str) -> Client:
    client = Client()
    client.force_login(person("-".join(codenames) or "nobody", *codenames))
    return client


def all_but(codename: str) -> Client:
    return client_with(*(each for each in EVERYTHING if each != codename))


def record(name: str = INCREMENT) -> None:
    ledger.record(name, using="default", by="ben", door=Door.SHELL)


@pytest.mark.parametrize("page", ["changelist", "change"])
def test_without_the_permission_to_view_nothing_is_seen(page: str):
    run = a_run()
    client = client_with()
    addresses = {
        "changelist": ["/admin/console/migration/", "/admin/console/run/"],
        "change": [address("change"), run_address(run), run_address(run, "log")],
    }
    for url in addresses[page]:
        assert client.get(url).status_code == 403, url
    assert "/admin/console/" not in client.get("/admin/").content.decode()


def test_somebody_who_is_not_of_the_staff_is_sent_to_log_in():
    client = Client()
    for url in ("/admin/console/migration/", address("run"), run_address(a_run(), "log")):
        assert client.get(url).status_code == 302


def test_a_viewer_sees_no_button(viewer: Client):
    run = a_run(status="running", finished_at=None)
    pages = ["/admin/console/migration/", address("change", REVERSIBLE), run_address(run)]
    html = "".join(viewer.get(url).content.decode() for url in pages)
    for words in ("Run…", "Dry run…", "Mark as applied…", "Unmark…", "Cancel…", 'class="action-select"'):
        assert words not in html
    record(REVERSIBLE)
    html = viewer.get(address("change", REVERSIBLE)).content.decode()
    for words in ("Run again…", "Reverse…", "Unmark…"):
        assert words not in html


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("run", ASKED),
        ("mark", {"confirmed": "1", "reason": "x"}),
        ("unmark", {"confirmed": "1", "reason": "x"}),
    ],
)
def test_a_viewer_gets_403_for_each_post(viewer: Client, url: str, data: dict[str, str]):
    if url == "unmark":
        record()
    assert viewer.get(address(url)).status_code == 403
    assert viewer.post(address(url), data).status_code == 403
    assert not Run.objects.exists()
    assert ledger.is_applied(INCREMENT, "default") is (url == "unmark")


def test_a_viewer_gets_403_for_bulk_marks_and_cancel(viewer: Client):
    asked = {"name": [INCREMENT], "action": "mark", "confirmed": "1", "reason": "x"}
    assert viewer.post(reverse("admin:console_migration_marking"), asked).status_code == 403
    run = a_run(status="running", finished_at=None)
    assert viewer.post(run_address(run, "cancel")).status_code == 403
    run.refresh_from_db()
    assert run.control == ""
    assert not ledger.is_applied(INCREMENT, "default")


def test_a_permission_taken_away_after_the_form_stops_the_start(client_of_ana: Client, ana):
    ticket = confirmed(client_of_ana)
    ana.user_permissions.remove(ana.user_permissions.get(codename="run_migration"))
    assert client_of_ana.post(address("start"), {"ticket": ticket}).status_code == 403
    assert not Run.objects.exists()


def test_one_who_may_only_dry_run_is_offered_only_that():
    client = client_with("view_run", "dry_run_migration")
    html = client.get(address("run")).content.decode()
    assert 'value="dry_run"' in html
    assert 'value="run"' not in html
    assert "Select a valid choice" in client.post(address("run"), ASKED).content.decode()
    ticket = confirmed(client, kind="dry_run")
    assert client.post(address("start"), {"ticket": ticket}).status_code == 302
    assert Run.objects.get().kind == "dry_run"


@pytest.mark.parametrize("codename", ["mark_migration", "unmark_migration", "cancel_run", "run_migration"])
def test_each_permission_opens_its_own_door_only(codename: str):
    client = client_with("view_run", codename)
    record(REVERSIBLE)
    run = a_run(status="running", finished_at=None, migration="noisy_2026_01_08")
    doors = {
        "mark_migration": address("mark"),
        "unmark_migration": address("unmark", REVERSIBLE),
        "cancel_run": run_address(run, "cancel"),
        "run_migration": address("run"),
    }
    for door, url in doors.items():
        assert client.get(url).status_code == (200 if door == codename else 403), door


def test_a_command_may_ask_for_a_further_permission(monkeypatch):
    monkeypatch.setattr(registry.get(INCREMENT).command_class, "permission", "auth.delete_user", raising=False)
    client = client_with(*EVERYTHING)
    html = client.get(address("change")).content.decode()
    assert "auth.delete_user" in html
    assert "Run…" not in html
    assert client.post(address("run"), ASKED).status_code == 403
    assert client.post(address("mark"), {"confirmed": "1", "reason": "x"}).status_code == 403
    # Others stay open.
    assert client.get(address("run", REVERSIBLE)).status_code == 200


def test_arguments_are_hidden_without_their_permission():
    run = a_run(arguments={"country": "Atlantis"})
    assert "Atlantis" in client_with(*EVERYTHING).get(run_address(run)).content.decode()
    html = all_but("view_arguments").get(run_address(run)).content.decode()
    assert "Atlantis" not in html
    assert "You may not see them" in html


def test_the_traceback_counts_as_log():
    run = a_run(status="failed", error_message="x", traceback="Traceback of Atlantis")
    assert "Atlantis" in client_with(*EVERYTHING).get(run_address(run)).content.decode()
    assert "Atlantis" not in all_but("view_log").get(run_address(run)).content.decode()


def test_a_post_without_a_csrf_token_is_refused(ana):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    run = a_run(status="running", finished_at=None)
    posts = [
        (address("run"), ASKED),
        (address("start"), {"ticket": "x"}),
        (address("mark"), {"confirmed": "1", "reason": "x"}),
        (address("unmark"), {"confirmed": "1", "reason": "x"}),
        (reverse("admin:console_migration_marking"), {"name": [INCREMENT], "action": "mark"}),
        (run_address(run, "cancel"), {}),
    ]
    for url, data in posts:
        assert client.post(url, data).status_code == 403, url


def test_no_get_changes_anything(client_of_ana: Client):
    record(REVERSIBLE)
    run = a_run(status="running", finished_at=None, migration="noisy_2026_01_08")
    before = (Run.objects.count(), ledger.applied("default").keys())
    for url in (
        "/admin/console/migration/",
        address("change"),
        address("run") + "?kind=run&reason=x&database=default",
        address("mark") + "?confirmed=1&reason=x",
        address("unmark", REVERSIBLE) + "?confirmed=1&reason=x",
        run_address(run, "cancel"),
        run_address(run),
        run_address(run, "log"),
    ):
        assert client_of_ana.get(url).status_code == 200, url
    run.refresh_from_db()
    assert (Run.objects.count(), ledger.applied("default").keys()) == before
    assert (run.status, run.control) == ("running", "")
