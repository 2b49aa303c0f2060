"""Asking something of a run from its page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from console import pace, queue, spool
from console.models import Run
from data_migrations import checkpoints
from data_migrations.models import Checkpoint
from tests.console.pages import EVERYTHING, INCREMENT, a_run, person, run_address
from tests.testapp.management.commands.batch_increment import Command

pytestmark = pytest.mark.django_db(databases="__all__")

BATCHED = "batch_increment_2026_02_01"
VERBS = ("pause", "resume", "cancel", "force", "tune")


def under_way(**fields: Any) -> Run:
    values: dict[str, Any] = {"status": "running", "finished_at": None, "migration": BATCHED, "in_batches": True}
    return a_run(**values | fields)


def checkpoint(**fields: Any) -> Checkpoint:
    now = timezone.now()
    values: dict[str, Any] = {"batches": 3, "rows": 30, "batch_size": 10, "started_at": now, "updated_at": now}
    return Checkpoint.objects.create(name=BATCHED, **values | fields)


def asked(run: Run) -> tuple[str, str]:
    run.refresh_from_db()
    return run.control, run.control_by


@pytest.fixture
def boss(db: None) -> Client:
    """A browser of somebody who may also stop by force."""
    client = Client()
    client.force_login(person("bea", *EVERYTHING, "force_stop_run"))
    return client


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(queue, "ring", found.append)
    return found


@pytest.mark.parametrize("verb", ["pause", "cancel", "force"])
def test_get_asks_again_and_post_asks_the_run(boss: Client, verb: str) -> None:
    run = under_way()
    page = boss.get(run_address(run, verb)).content.decode()
    assert "No, take me back" in page
    assert "finished batches are kept" in page
    assert asked(run) == ("", "")
    assert boss.post(run_address(run, verb)).status_code == 302
    assert asked(run) == (verb, "bea")
    assert f"run {run.pk}" in LogEntry.objects.get().change_message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "It was asked to stop, and is cancelled after its present batch."),
        ({"in_batches": False}, "It was asked to stop, and is cancelled at its next safe point."),
        ({"status": "paused"}, "It is cancelled."),
        ({"status": "enqueued"}, "It is cancelled."),
    ],
)
def test_after_cancelling_the_page_says_what_came_of_it(boss: Client, fields: dict[str, Any], said: str) -> None:
    page = boss.post(run_address(under_way(**fields), "cancel"), follow=True)
    assert [str(message) for message in page.context["messages"]] == [said]


def test_a_paused_run_goes_back_into_the_queue_as_the_same_run(
    boss: Client, rung: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    run = under_way(status="paused")
    assert "next attempt of this same run" in boss.get(run_address(run, "resume")).content.decode()
    with django_capture_on_commit_callbacks(using=spool.alias(), execute=True):
        boss.post(run_address(run, "resume"))
    run.refresh_from_db()
    assert (run.status, run.control_by) == ("enqueued", "bea")
    assert rung == [run.pk]


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_asks_anything_of_a_run_without_the_permission(viewer: Client, verb: str) -> None:
    run = under_way(status="paused" if verb == "resume" else "running")
    checkpoint()
    page = viewer.get(run_address(run)).content.decode()
    assert run_address(run, verb) not in page
    assert viewer.get(run_address(run, verb)).status_code == 403
    assert viewer.post(run_address(run, verb), {"batch_size": 5}).status_code == 403
    assert asked(run) == ("", "")
    assert checkpoints.wishes(BATCHED, "default") == (None, None)


def test_to_force_takes_a_permission_of_its_own(client_of_ana: Client) -> None:
    run = under_way()
    page = client_of_ana.get(run_address(run)).content.decode()
    assert "Cancel…" in page
    assert "Force stop…" not in page
    assert client_of_ana.post(run_address(run, "force")).status_code == 403


@pytest.mark.parametrize(
    ("verb", "fields", "why"),
    [
        ("pause", {"in_batches": False}, "It does not work in batches"),
        ("pause", {"door": "shell"}, "stop it where it was started"),
        ("pause", {"control": "cancel", "control_by": "ben"}, "Cancelling was asked for by ben"),
        ("pause", {"status": "enqueued"}, "only a running run can be paused"),
        ("resume", {}, "only a paused or interrupted run can be resumed"),
        ("resume", {"status": "interrupted", "door": "shell"}, "came from outside the console"),
        ("cancel", {"control": "force", "control_by": "ben"}, "being stopped by force, as asked for by ben"),
        ("force", {"door": "migrate"}, "stop it where it was started"),
        ("force", {"status": "succeeded"}, "nothing to stop"),
        ("tune", {"in_batches": False}, "does not work in batches"),
        ("tune", {"status": "failed"}, "It has failed"),
        ("tune", {}, "None of its batches is kept yet"),
    ],
)
def test_what_is_not_possible_says_why_and_changes_nothing(
    boss: Client, verb: str, fields: dict[str, Any], why: str
) -> None:
    run = under_way(**fields)
    before = asked(run)
    page = boss.post(run_address(run, verb), {"batch_size": 5}, follow=True).content.decode()
    assert "Nothing was changed" in page
    assert why in page
    assert asked(run) == before


def test_a_resume_waits_for_another_run_of_the_same_migration(boss: Client) -> None:
    run = under_way(status="paused")
    other = under_way()
    page = boss.post(run_address(run, "resume"), follow=True).content.decode()
    assert f"Run {other.pk} of it is running; wait for it, or cancel it." in page
    run.refresh_from_db()
    assert run.status == "paused"


def test_the_stronger_word_takes_the_place_of_the_weaker(boss: Client) -> None:
    run = under_way()
    for verb in ("pause", "cancel", "force"):
        boss.post(run_address(run, verb))
        assert asked(run)[0] == verb
    for verb in ("cancel", "pause"):
        boss.post(run_address(run, verb))
        assert asked(run)[0] == "force"


def test_buttons_follow_the_state(boss: Client) -> None:
    def labels(run: Run) -> set[str]:
        page = boss.get(run_address(run)).content.decode()
        every = ("Pause…", "Resume…", "Cancel…", "Force stop…", "Batch size and pause…", "Run again…")
        return {label for label in every if f">{label}<" in page}

    assert labels(under_way()) == {"Pause…", "Cancel…", "Force stop…", "Batch size and pause…"}
    assert labels(under_way(in_batches=False)) == {"Cancel…", "Force stop…"}
    assert labels(under_way(status="paused")) == {"Resume…", "Cancel…", "Batch size and pause…"}
    assert labels(under_way(status="interrupted")) == {"Resume…", "Cancel…", "Batch size and pause…", "Run again…"}
    assert labels(a_run()) == {"Run again…"}


def test_batch_size_and_pause_are_changed_and_shown(client_of_ana: Client) -> None:
    checkpoint()
    run = under_way(progress_done=300, progress_total=1000, rate=35.0, started_at=timezone.now() - timedelta(minutes=1))
    address = run_address(run, "tune")
    untouched = client_of_ana.get(address)
    # The size of the moment is said, not sent: it may be one that adapts.
    assert untouched.context["form"]["batch_size"].value() is None
    assert client_of_ana.post(address, {"batch_size": "250", "pause": "0.5"}).status_code == 302
    assert checkpoints.wishes(BATCHED, "default") == (250, 0.5)
    page = client_of_ana.get(run_address(run)).content.decode()
    assert "35 rows/s" in page
    assert "about 20 s left" in page
    assert "10 rows in the last one, 250 asked for, a pause of 0.5 s" in page
    # What is left empty stays.
    client_of_ana.post(address, {"pause": "0"})
    assert checkpoints.wishes(BATCHED, "default") == (250, 0.0)


@pytest.mark.parametrize(
    ("kept", "door", "target", "size", "pause"),
    [
        ({}, "worker", None, "Now 10. A number given here stays", "Now 0.5 s, from the command. 0 for none."),
        ({"batch_size": 1200}, "worker", 1.0, "Now 1,200, adapting by itself.", "Now 0.5 s, from the command."),
        ({"batch_size": 0}, "worker", 1.0, "Now 10, from the command.", "Now 0.5 s, from the command."),
        ({}, "shell", None, "Now 10.", "Now 0.5 s, from the command unless an option says otherwise."),
        (
            {"wanted_batch_size": 2500, "wanted_pause": 0.0},
            "worker",
            1.0,
            "Now 2,500, as somebody asked for.",
            "Now 0 s, as somebody asked for.",
        ),
    ],
)
def test_the_form_for_batch_size_and_pause_says_what_they_are_now(
    client_of_ana: Client,
    monkeypatch: pytest.MonkeyPatch,
    kept: dict[str, Any],
    door: str,
    target: float | None,
    size: str,
    pause: str,
) -> None:
    monkeypatch.setattr(Command, "target_batch_seconds", target)
    monkeypatch.setattr(Command, "pause_seconds", 0.5)
    checkpoint(**kept)
    page = client_of_ana.get(run_address(under_way(door=door), "tune")).content.decode()
    assert f'id="id_batch_size_helptext">{size}' in page
    assert f'id="id_pause_helptext">{pause}' in page


def test_of_a_command_that_is_gone_only_what_its_checkpoint_has_is_said() -> None:
    assert pace.words(under_way(migration="gone"), checkpoint()) == {"batch_size": "Now 10."}


def test_the_state_of_a_run_as_json(client_of_ana: Client) -> None:
    checkpoint(wanted_batch_size=250)
    run = under_way(progress_done=300, progress_total=1000, rate=35.0, started_at=timezone.now() - timedelta(minutes=1))
    answer = client_of_ana.get(run_address(run, "state"))
    state = answer.json()
    assert (state["status"], state["is_active"], state["progress"]["done"]) == ("running", True, 300)
    assert state["pace"] == {
        "rate": 35.0,
        "seconds_left": 20.0,
        "batches": 3,
        "batch_size": 10,
        "wanted_batch_size": 250,
        "wanted_pause": None,
    }
    again = client_of_ana.get(run_address(run, "state"), headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304
    assert Client().get(run_address(run, "state")).status_code == 302


@pytest.mark.parametrize("values", [{}, {"batch_size": "0"}, {"pause": "-1"}, {"batch_size": "many"}])
def test_a_batch_size_that_is_none_is_not_taken(client_of_ana: Client, values: dict[str, str]) -> None:
    checkpoint()
    run = under_way()
    page = client_of_ana.post(run_address(run, "tune"), values)
    assert page.status_code == 200
    assert "Nothing was changed" in page.content.decode()
    assert checkpoints.wishes(BATCHED, "default") == (None, None)


def test_the_pace_of_a_command_that_is_not_in_batches_here_has_no_words_of_it(db: None) -> None:
    checkpoint = Checkpoint(name=INCREMENT, batches=3, batch_size=10)
    assert pace.words(Run(migration=INCREMENT, in_batches=True), checkpoint) == {"batch_size": "Now 10."}
