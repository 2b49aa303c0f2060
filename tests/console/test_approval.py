"""Approval by a second person: who needs it, what it holds for, and who is first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections, transaction
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from console import approval, decisions, dispatch, rescue, uploads, worker
from console.decisions import Undecided
from console.models import Run, UploadPart
from console.states import Status
from data_migrations import registry
from tests.console.factories import user
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "increment_items_2026_01_01"
ARGUMENTS = "with_arguments_2026_01_09"


@pytest.fixture(autouse=True)
def items() -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(3)])


@pytest.fixture(autouse=True)
def everything_needs_approval(settings: Any, spool_dir: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": True}


@pytest.fixture
def ana() -> User:
    """Asks."""
    found: User = user("ana")
    return found


@pytest.fixture
def bea() -> User:
    """Decides."""
    found: User = user("bea")
    return found


@pytest.fixture
def waiting(ana: User) -> Run:
    return dispatch.request_run(NAME, user=ana, values={"lines": 2}, reason="the report needs it")


def amounts() -> set[int]:
    return set(Item.objects.values_list("amount", flat=True))


def approve(run: Run, by: User, note: str = "") -> Run:
    return decisions.approve(run.pk, by, note=note, shown=Run.objects.get(pk=run.pk).fingerprint)


def perform(run: Run) -> Run:
    """What a worker makes of it."""
    worker.perform(run.pk)
    run.refresh_from_db()
    return run


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """Do things in threads at the same moment; gives what each returned, or raised."""
    barrier = threading.Barrier(len(actions))
    found: list[Any] = [None] * len(actions)

    def act(index: int) -> None:
        try:
            barrier.wait()
            found[index] = actions[index]()
        except Exception as error:
            found[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# Who needs it.


@pytest.mark.parametrize(
    ("setting", "of_command", "destructive", "expected"),
    [
        (None, False, True, False),
        (None, True, False, True),
        (False, True, True, False),
        (True, False, False, True),
        ("destructive", False, True, True),
        ("destructive", False, False, False),
        ("destructive", True, False, True),
        ([NAME], False, False, True),
        (["another"], False, True, False),
        (["another", "destructive"], False, True, True),
        (("another",), True, False, True),
    ],
)
def test_command_and_settings_say_who_needs_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch, setting: Any, of_command: bool, destructive: bool, expected: bool
) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": setting}
    migration = registry.get(NAME)
    monkeypatch.setattr(migration.command_class, "requires_approval", of_command)
    monkeypatch.setattr(migration.command_class, "destructive", destructive)
    assert approval.is_needed(migration, "run") is expected
    assert approval.is_needed(migration, "reverse") is expected
    assert approval.is_needed(migration, "dry_run") is False


def test_a_dry_run_goes_at_once(ana: User) -> None:
    run = dispatch.request_run(NAME, user=ana, kind="dry_run")
    assert run.status == Status.ENQUEUED
    assert perform(run).status == Status.SUCCEEDED


# The way of one run.


def test_until_it_is_approved_nothing_is_run(waiting: Run) -> None:
    assert waiting.status == Status.WAITING
    assert OrmQ.objects.count() == 0
    assert waiting.approval_expires_at is not None
    assert timedelta(hours=23.9) < waiting.approval_expires_at - timezone.now() <= timedelta(hours=24)
    # A message that somebody made changes nothing.
    assert perform(waiting).status == Status.WAITING
    rescue.sweep()
    assert perform(waiting).status == Status.WAITING
    assert amounts() == {0}


def test_approved_it_is_run_and_who_said_so_is_kept(waiting: Run, bea: User) -> None:
    run = approve(waiting, bea, "looked at the dry run")
    assert (run.status, OrmQ.objects.count()) == (Status.ENQUEUED, 1)
    assert perform(run).status == Status.SUCCEEDED
    assert amounts() == {1}
    assert (run.decision, run.decided_by, run.decision_note) == ("approved", "bea", "looked at the dry run")
    assert run.decided_at is not None
    assert run.requested_by == "ana"
    [entry] = LogEntry.objects.all()
    assert (entry.user_id, entry.get_change_message()) == (
        bea.pk,
        f"Approve run {run.pk} of {NAME}: looked at the dry run",
    )


def test_rejected_it_is_cancelled_with_the_reason(waiting: Run, bea: User) -> None:
    with pytest.raises(Undecided, match="Say why"):
        decisions.reject(waiting.pk, bea, note="  ")
    decisions.reject(waiting.pk, bea, note="Not before the month's end.")
    waiting.refresh_from_db()
    assert (waiting.status, waiting.decision, waiting.decided_by) == (Status.CANCELLED, "rejected", "bea")
    assert waiting.note == "Rejected by bea: Not before the month's end. Nothing was run."
    assert waiting.finished_at is not None
    assert perform(waiting).status == Status.CANCELLED
    assert [entry.get_change_message() for entry in LogEntry.objects.all()] == [
        f"Reject run {waiting.pk} of {NAME}: Not before the month's end."
    ]


def test_the_reason_of_a_rejection_is_a_sentence_of_its_own(waiting: Run, bea: User) -> None:
    decisions.reject(waiting.pk, bea, note="Not before the weekend, please")
    waiting.refresh_from_db()
    assert waiting.note == "Rejected by bea: Not before the weekend, please. Nothing was run."


def test_who_asked_may_not_decide_not_even_a_superuser(waiting: Run, ana: User) -> None:
    User.objects.filter(pk=ana.pk).update(is_superuser=True, username="anna")
    ana.refresh_from_db()
    for decide in (approve, lambda run, by: decisions.reject(run.pk, by, note="no")):
        with pytest.raises(Undecided, match="You asked for it yourself"):
            decide(waiting, ana)
    waiting.refresh_from_db()
    assert waiting.status == Status.WAITING


def test_another_person_of_the_same_name_as_a_script_that_asked_may_not_decide(bea: User) -> None:
    run = dispatch.request_run(NAME, user="bea")
    with pytest.raises(Undecided, match="You asked for it yourself"):
        approve(run, bea)


def test_who_asked_may_withdraw_it(waiting: Run, ana: User, bea: User) -> None:
    assert dispatch.request_cancel(waiting.pk, ana)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.control_by) == (Status.CANCELLED, "ana")
    with pytest.raises(Undecided, match="not waiting for approval any more; it is cancelled"):
        approve(waiting, bea)


# Its time.


def late(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(approval_expires_at=timezone.now() - timedelta(seconds=1))


def test_what_nobody_approved_in_time_is_cancelled_by_the_sweep(waiting: Run) -> None:
    rescue.sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.WAITING
    late(waiting)
    rescue.sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELLED
    assert waiting.note == "Nobody approved it in time, so it was cancelled. Nothing was run; ask for it again."
    assert waiting.finished_at is not None


def test_approved_too_late_it_is_cancelled_at_the_click_with_no_worker_about(waiting: Run, bea: User) -> None:
    late(waiting)
    with pytest.raises(Undecided, match="Nobody approved it in time"):
        approve(waiting, bea)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.decision) == (Status.CANCELLED, "")
    assert OrmQ.objects.count() == 0


def test_the_time_to_approve_is_set_in_hours_and_ends_with_the_time_to_start(settings: Any, ana: User) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "APPROVAL_HOURS": 2}
    run = dispatch.request_run(NAME, user=ana)
    assert run.approval_expires_at is not None
    assert timedelta(hours=1.9) < run.approval_expires_at - timezone.now() <= timedelta(hours=2)
    soon = timezone.now() + timedelta(hours=1)
    run = dispatch.request_run(NAME, user=ana, start_at=soon)
    assert run.approval_expires_at == soon


def test_approved_for_later_it_starts_later(ana: User, bea: User) -> None:
    soon = timezone.now() + timedelta(hours=1)
    run = approve(dispatch.request_run(NAME, user=ana, start_at=soon), bea)
    assert (run.status, run.start_at) == (Status.SCHEDULED, soon)
    assert OrmQ.objects.count() == 0
    assert Schedule.objects.get().next_run == soon
    # It was approved for that time.
    assert not dispatch.request_start(run.pk, bea)
    Run.objects.filter(pk=run.pk).update(status=Status.ENQUEUED)
    assert perform(run).status == Status.SUCCEEDED


# What exactly was approved.


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"lines": 3}},
        {"arguments": {}},
        {"database": "other"},
        {"force": True},
        {"kind": "reverse"},
        {"start_at": timezone.now() + timedelta(days=1)},
        {"ignore_window": True},
        {"requested_by_pk": "4711"},
        {"checksum": ""},
        {"fingerprint": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_that_was_edited_is_not_approved_and_not_run(
    change: dict[str, Any], waiting: Run, bea: User, ana: User
) -> None:
    Run.objects.filter(pk=waiting.pk).update(**change)
    with pytest.raises(Undecided, match="its row was changed|was changed since"):
        approve(waiting, bea)
    waiting.refresh_from_db()
    assert waiting.status == Status.WAITING
    second = approve(dispatch.request_run(NAME, user=ana, values={"lines": 2}), bea)
    Run.objects.filter(pk=second.pk).update(**change)
    perform(second)
    assert (second.status, second.error_class.rpartition(".")[2]) == (Status.FAILED, "Refused")
    assert "Ask for it again" in second.error_message or "not the one that was confirmed" in second.error_message
    assert amounts() == {0}


def test_a_decision_written_into_the_row_by_hand_is_none(waiting: Run, bea: User) -> None:
    Run.objects.filter(pk=waiting.pk).update(
        status=Status.ENQUEUED, decision="approved", decided_by="bea", decided_by_pk=str(bea.pk)
    )
    assert perform(waiting).status == Status.FAILED
    assert "its row was changed" in waiting.error_message
    assert amounts() == {0}


@pytest.mark.parametrize("change", [{}, {"finished_at": None}, {"finished_at": None, "force": True}])
def test_an_approval_holds_for_one_run_only(waiting: Run, bea: User, change: dict[str, Any]) -> None:
    done = perform(approve(waiting, bea))
    assert done.status == Status.SUCCEEDED
    assert amounts() == {1}
    Run.objects.filter(pk=done.pk).update(status=Status.ENQUEUED, **change)
    again = perform(done)
    assert again.status == Status.FAILED
    assert "has come to its end" in again.error_message or "its row was changed" in again.error_message
    assert amounts() == {1}


@pytest.mark.parametrize("change", [{}, {"fingerprint": ""}])
def test_a_run_put_into_the_queue_without_an_approval_is_refused(waiting: Run, change: dict[str, Any]) -> None:
    Run.objects.filter(pk=waiting.pk).update(status=Status.ENQUEUED, **change)
    assert perform(waiting).status == Status.FAILED
    assert "needs the approval of a second person, and this run has none" in waiting.error_message
    assert amounts() == {0}


def test_one_approval_does_not_do_for_another_run(waiting: Run, ana: User, bea: User) -> None:
    approved = approve(waiting, bea)
    approved.refresh_from_db()
    other = dispatch.request_run(NAME, user=ana, values={"lines": 2}, reason="the report needs it")
    Run.objects.filter(pk=other.pk).update(
        status=Status.ENQUEUED,
        fingerprint=approved.fingerprint,
        decision=approved.decision,
        decided_by=approved.decided_by,
        decided_by_pk=approved.decided_by_pk,
    )
    assert perform(other).status == Status.FAILED
    assert amounts() == {0}


def test_secret_arguments_are_bound_by_their_true_values(ana: User, bea: User) -> None:
    def ask(password: str) -> Run:
        return dispatch.request_run(ARGUMENTS, user=ana, values={"country": "NZ", "password": password})

    first, second = ask("secret"), ask("other")
    assert first.arguments == second.arguments
    Run.objects.filter(pk=first.pk).update(sealed_arguments=second.sealed_arguments)
    with pytest.raises(Undecided, match="its row was changed"):
        approve(first, bea)
    approve(second, bea)
    assert perform(second).status == Status.SUCCEEDED
    assert second.sealed_arguments == ""


def test_an_uploaded_file_is_bound_by_its_content(ana: User, bea: User, tmp_path: Any) -> None:
    value = uploads.store(SimpleUploadedFile("items.csv", b"name,amount\na,1\n"), ana)
    run = approve(dispatch.request_run("import_items_2026_02_20", user=ana, values={"csv": value}), bea)
    UploadPart.objects.update(data=b"name,amount\na,9\n")
    assert perform(run).status == Status.FAILED
    assert "its row was changed, an uploaded file is gone" in run.error_message


def test_what_was_shown_is_what_is_approved(waiting: Run, bea: User) -> None:
    with pytest.raises(Undecided, match="not what you were shown"):
        decisions.approve(waiting.pk, bea, shown="something else")


def test_code_that_was_changed_since_is_not_approved(waiting: Run, bea: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.RegisteredMigration, "checksum", "0" * 64)
    with pytest.raises(Undecided, match="The code of .* was changed since this run was asked for"):
        approve(waiting, bea)
    waiting.refresh_from_db()
    assert waiting.status == Status.WAITING


@pytest.mark.parametrize("attempt", [0, 3])
def test_a_worker_with_other_code_does_not_begin_nor_go_on(
    waiting: Run, bea: User, monkeypatch: pytest.MonkeyPatch, attempt: int
) -> None:
    run = approve(waiting, bea)
    # As when it is resumed after a deployment: without an approval that is how an error in it is mended.
    Run.objects.filter(pk=run.pk).update(attempt=attempt)
    monkeypatch.setattr(registry.RegisteredMigration, "checksum", "0" * 64)
    perform(run)
    assert (run.status, run.error_class.rpartition(".")[2]) == (Status.FAILED, "Refused")
    assert "Nothing was run" in run.error_message or "nothing was run" in run.error_message
    assert amounts() == {0}


def test_a_secret_key_that_was_rotated_with_a_fallback_keeps_it(waiting: Run, bea: User, settings: Any) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 8
    run = approve(waiting, bea)
    settings.SECRET_KEY_FALLBACKS = []
    assert perform(run).status == Status.SUCCEEDED


def test_without_the_former_key_it_is_refused(waiting: Run, bea: User, settings: Any) -> None:
    run = approve(waiting, bea)
    settings.SECRET_KEY = "another" * 8
    assert perform(run).status == Status.FAILED
    assert "SECRET_KEY is another one" in run.error_message


@pytest.mark.parametrize("value", [1e22, 1.0, 0.1, 1e-10, -0.0, 10**30, "é\u2028", [1.5, 2.0], {"a": 2.0}, None])
def test_what_a_database_writes_in_another_way_is_the_same(ana: User, value: Any) -> None:
    run = Run(migration=NAME, arguments={"value": value}, requested_by="ana")
    run.fingerprint = approval.fingerprint(run)
    run.save()
    assert approval.is_untouched(Run.objects.get(pk=run.pk))


# Who is first.


def test_of_two_who_approve_at_once_one_does(waiting: Run, bea: User) -> None:
    people = [bea, user("cleo"), user("dan")]
    shown = waiting.fingerprint
    found = at_once(*(lambda by=by: decisions.approve(waiting.pk, by, shown=shown) for by in people))
    assert sum(isinstance(each, Run) for each in found) == 1
    assert sum(isinstance(each, Undecided) for each in found) == 2
    assert OrmQ.objects.count() == 1
    waiting.refresh_from_db()
    assert waiting.decided_by in {"bea", "cleo", "dan"}
    assert LogEntry.objects.count() == 1
    assert perform(waiting).status == Status.SUCCEEDED
    assert amounts() == {1}


def test_approved_twice_it_is_run_once(waiting: Run, bea: User) -> None:
    approve(waiting, bea)
    with pytest.raises(Undecided, match="it is enqueued: approved by bea"):
        approve(waiting, bea)
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("round", range(3))
def test_approved_and_withdrawn_at_once_it_is_one_of_the_two(waiting: Run, ana: User, bea: User, round: int) -> None:
    shown = waiting.fingerprint

    def cancel() -> bool:
        with transaction.atomic(using=Run.objects.db):
            Run.objects.select_for_update().get(pk=waiting.pk)
            return dispatch.request_cancel(waiting.pk, ana)

    approved, cancelled = at_once(lambda: decisions.approve(waiting.pk, bea, shown=shown), cancel)
    waiting.refresh_from_db()
    # One that was approved first waits in the queue, and is cancelled there.
    assert cancelled is True
    assert waiting.status == Status.CANCELLED
    assert waiting.decision == ("approved" if isinstance(approved, Run) else "")
    perform(waiting)
    assert amounts() == {0}


@pytest.mark.parametrize("round", range(3))
def test_approved_and_rejected_at_once_it_is_one_of_the_two(waiting: Run, bea: User, round: int) -> None:
    cleo = user("cleo")
    shown = waiting.fingerprint
    found = at_once(
        lambda: decisions.approve(waiting.pk, bea, shown=shown),
        lambda: decisions.reject(waiting.pk, cleo, note="no"),
    )
    waiting.refresh_from_db()
    assert sorted(isinstance(each, Undecided) for each in found) == [False, True]
    assert (waiting.status, waiting.decision) in {(Status.ENQUEUED, "approved"), (Status.CANCELLED, "rejected")}
    assert OrmQ.objects.count() == (waiting.status == Status.ENQUEUED)


def test_approved_and_expired_at_once_it_is_one_of_the_two(ana: User, bea: User) -> None:
    for _ in range(5):
        run = dispatch.request_run(NAME, user=ana)
        late(run)
        shown = run.fingerprint
        found = at_once(
            lambda pk=run.pk, shown=shown: decisions.approve(pk, bea, shown=shown),
            lambda: approval.expire(timezone.now()),
        )
        run.refresh_from_db()
        assert isinstance(found[0], Undecided)
        assert (run.status, run.decision) == (Status.CANCELLED, "")
    assert OrmQ.objects.count() == 0


def test_a_run_that_a_worker_gave_back_goes_on_with_its_approval(waiting: Run, bea: User) -> None:
    run = approve(waiting, bea)
    taken = worker.take(run.pk)
    assert taken is not None
    Run.objects.filter(pk=run.pk).update(status=Status.INTERRUPTED)
    assert dispatch.request_resume(run.pk, bea)
    assert perform(run).status == Status.SUCCEEDED
