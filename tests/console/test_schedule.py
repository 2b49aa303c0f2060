"""Runs that begin later: at a time, or when their daily window opens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from django_q.signing import SignedPackage

from console import approval, controls, dispatch, queue, rescue, schedule, worker
from console.models import Run
from console.states import Status
from data_migrations import clock, registry, windows
from data_migrations.models import Checkpoint
from tests.console.factories import user
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "increment_items_2026_01_01"
BATCHED = "batch_increment_2026_02_01"


@pytest.fixture(autouse=True)
def items() -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(30)])


@pytest.fixture
def soon() -> datetime:
    return timezone.now() + timedelta(hours=3)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batched migration's window opens in about six hours."""
    now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    times = (f"{now + timedelta(hours=6):%H:%M}", f"{now + timedelta(hours=7):%H:%M}")
    monkeypatch.setattr(registry.get(BATCHED).command_class, "window", times)


def amounts() -> set[int]:
    return set(Item.objects.values_list("amount", flat=True))


def perform(run: Run) -> Run:
    worker.perform(run.pk)
    run.refresh_from_db()
    return run


def has_come(run: Run) -> None:
    """As if the time had passed."""
    past = timezone.now() - timedelta(seconds=1)
    Run.objects.filter(pk=run.pk).update(start_at=past)
    Schedule.objects.update(next_run=past)


# Starting at a time.


def test_a_run_for_later_stands_in_the_queues_schedule_and_not_in_the_queue(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    assert (run.status, run.start_at) == (Status.SCHEDULED, soon)
    assert OrmQ.objects.count() == 0
    row = Schedule.objects.get()
    assert (row.schedule_type, row.next_run, row.func, row.args) == (Schedule.ONCE, soon, queue.PERFORM, f"({run.pk},)")
    assert perform(run).status == Status.SCHEDULED
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.SCHEDULED
    assert amounts() == {0}


def test_a_past_time_means_at_once() -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=timezone.now() - timedelta(seconds=5))
    assert (run.status, run.start_at) == (Status.ENQUEUED, None)


def test_when_its_time_has_come_the_queues_schedule_rings_once_and_it_runs_once(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    has_come(run)
    scheduler(get_broker())
    scheduler(get_broker())
    [message] = [SignedPackage.loads(row.payload) for row in OrmQ.objects.all()]
    assert (message["func"], message["args"]) == (queue.PERFORM, (run.pk,))
    assert isinstance(message["timeout"], int)
    assert message["save"] is False
    assert not Schedule.objects.exists()
    assert perform(run).status == Status.SUCCEEDED
    perform(run)
    assert (run.attempt, amounts()) == (1, {1})


def test_where_the_schedule_is_lost_the_sweep_starts_it(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    has_come(run)
    Schedule.objects.all().delete()
    rescue.sweep()
    run.refresh_from_db()
    assert (run.status, OrmQ.objects.count()) == (Status.ENQUEUED, 1)
    rescue.sweep()
    assert OrmQ.objects.count() == 1
    assert perform(run).status == Status.SUCCEEDED


def test_the_sweep_takes_the_schedule_out_so_that_it_does_not_ring_again(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    has_come(run)
    rescue.sweep()
    assert not Schedule.objects.exists()


def test_many_that_see_that_its_time_has_come_start_it_once(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    has_come(run)
    barrier = threading.Barrier(4)
    released: list[int] = []

    def look() -> None:
        try:
            barrier.wait()
            released.extend(schedule.release_due(timezone.now()))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert released == [run.pk]


def test_a_queue_that_takes_no_schedule_does_not_matter(soon: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise queue.QueueUnreachable("no")

    monkeypatch.setattr(queue, "ring_at", refuse)
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    assert run.status == Status.SCHEDULED
    has_come(run)
    rescue.sweep()
    assert perform(run).status == Status.SUCCEEDED


def test_cancelled_it_leaves_the_schedule(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    other = dispatch.request_run(BATCHED, user="ana", start_at=soon)
    assert controls.CANCEL.why_not(run) == ""
    assert dispatch.request_cancel(run.pk, "bea")
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
    assert Schedule.objects.get().name == f"run {other.pk}"
    has_come(run)
    rescue.sweep()
    assert perform(run).status == Status.CANCELLED


def test_started_before_its_time_by_a_person(soon: datetime) -> None:
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    assert controls.START.why_not(run) == ""
    assert dispatch.request_start(run.pk, "bea")
    assert not dispatch.request_start(run.pk, "bea")
    assert not Schedule.objects.exists()
    assert OrmQ.objects.count() == 1
    run.refresh_from_db()
    assert (run.note, run.ignore_window) == ("Started by bea before its time.", False)
    assert perform(run).status == Status.SUCCEEDED


def test_what_was_approved_for_a_time_is_not_started_before(soon: datetime, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": True}
    run = dispatch.request_run(NAME, user="ana", start_at=soon)
    assert "only a scheduled run" in controls.START.why_not(run)
    run.status = Status.SCHEDULED
    assert "approved for its time" in controls.START.why_not(run)


# The clock of the site.


@pytest.mark.parametrize(
    ("shown", "moment"),
    [
        ("2026-11-22T02:00", "2026-11-22T01:00"),
        ("2026-07-01T02:00", "2026-07-01T00:00"),
        # 02:30 comes twice on that day: the first is meant.
        ("2026-10-25T02:30", "2026-10-25T00:30"),
        ("2026-03-29T03:00", "2026-03-29T01:00"),
    ],
)
def test_a_time_is_one_by_the_clock_of_the_site(settings: Any, shown: str, moment: str) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    found = clock.aware(schedule.moment(datetime.fromisoformat(shown))).astimezone(UTC)
    assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC)


def test_a_time_that_the_clock_leaves_out_is_refused(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    with pytest.raises(schedule.InvalidStart, match="clocks are put forward"):
        schedule.moment(datetime(2026, 3, 29, 2, 30))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_the_last_year_that_there_is_is_far_in_any_zone(settings: Any, zone: str) -> None:
    settings.TIME_ZONE = zone
    with pytest.raises(schedule.InvalidStart, match="more than a year"):
        schedule.check(schedule.moment(datetime(9999, 12, 31, 23, 59)), timezone.now())


def test_a_time_that_is_past_or_far_is_refused() -> None:
    now = timezone.now()
    schedule.check(now + timedelta(days=365), now)
    with pytest.raises(schedule.InvalidStart, match="is past"):
        schedule.check(now, now)
    with pytest.raises(schedule.InvalidStart, match="more than a year"):
        schedule.check(now + timedelta(days=367), now)


# Daily windows.


def test_asked_for_outside_its_window_it_is_scheduled_for_the_opening(closed: None) -> None:
    run = dispatch.request_run(BATCHED, user="ana")
    assert run.status == Status.SCHEDULED
    assert run.start_at is not None
    assert timedelta(hours=5) < run.start_at - timezone.now() < timedelta(hours=7)
    assert Schedule.objects.get().next_run == run.start_at


def test_a_later_time_outside_the_window_waits_for_the_opening_after_it(closed: None) -> None:
    asked = timezone.now() + timedelta(hours=10)
    run = dispatch.request_run(BATCHED, user="ana", start_at=asked)
    assert run.start_at is not None
    assert run.start_at - asked > timedelta(hours=12)


@pytest.mark.parametrize("fields", [{"kind": "dry_run"}, {"ignore_window": True}])
def test_a_dry_run_and_one_that_ignores_the_window_go_at_once(closed: None, fields: dict[str, Any]) -> None:
    run = dispatch.request_run(BATCHED, user="ana", **fields)
    assert run.status == Status.ENQUEUED
    assert perform(run).status == Status.SUCCEEDED
    assert run.ignore_window is ("ignore_window" in fields)
    assert amounts() == ({1} if run.kind == "run" else {0})


def test_what_waited_in_the_queue_until_the_window_closed_is_put_off_without_a_batch(closed: None) -> None:
    run = dispatch.request_run(BATCHED, user="ana", ignore_window=True)
    Run.objects.filter(pk=run.pk).update(ignore_window=False)
    perform(run)
    assert run.status == Status.SCHEDULED
    assert run.start_at is not None
    assert run.start_at > timezone.now() + timedelta(hours=5)
    assert "Its finished batches are kept; it goes on when that opens again." in run.note
    assert [attempt.outcome for attempt in run.attempts.all()] == ["stopped: window"]
    assert Schedule.objects.get().next_run == run.start_at
    assert amounts() == {0}


def closes_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """A window that is open for so many looks, then closed until it is asked again."""
    monkeypatch.setattr(registry.get(BATCHED).command_class, "window", ("00:00", "23:59"))
    left = iter([True] * looks + [False])
    monkeypatch.setattr(windows.Window, "is_open", lambda self, moment: next(left, True))


def test_a_window_that_closes_has_it_make_room_and_go_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    closes_after(monkeypatch, looks=4)
    run = perform(dispatch.request_run(BATCHED, user="ana"))
    assert run.status == Status.SCHEDULED
    assert Checkpoint.objects.get(name=BATCHED).rows == 20
    has_come(run)
    rescue.sweep()
    assert perform(run).status == Status.SUCCEEDED
    assert (run.attempt, run.affected_rows, amounts()) == (2, 30, {1})
    assert [attempt.outcome for attempt in run.attempts.all()] == ["stopped: window", "applied"]


def test_what_was_approved_goes_on_to_be_approved_when_its_window_opens_again(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    from console import decisions

    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": True}
    run = dispatch.request_run(BATCHED, user=user("ana"))
    closes_after(monkeypatch, looks=4)
    decisions.approve(run.pk, user("bea"), shown=run.fingerprint)
    assert perform(run).status == Status.SCHEDULED
    assert approval.is_untouched(run)
    assert "approved for its time" in controls.START.why_not(run)
    # Nor may its time be edited.
    has_come(run)
    rescue.sweep()
    assert perform(run).status == Status.FAILED
    assert "its row was changed" in run.error_message


def test_approved_outside_its_window_it_waits_for_the_opening(closed: None, settings: Any) -> None:
    from console import decisions

    settings.CONSOLE = {**settings.CONSOLE, "REQUIRE_APPROVAL": True}
    run = dispatch.request_run(BATCHED, user=user("ana"))
    assert (run.status, run.start_at) == (Status.WAITING, None)
    run = decisions.approve(run.pk, user("bea"), shown=run.fingerprint)
    assert run.status == Status.SCHEDULED
    assert run.start_at is not None
    assert run.start_at > timezone.now() + timedelta(hours=5)
    run.refresh_from_db()
    assert approval.is_untouched(run)


def test_started_by_a_person_while_its_window_is_closed_it_ignores_that(closed: None) -> None:
    run = dispatch.request_run(BATCHED, user="ana")
    assert dispatch.request_start(run.pk, "bea")
    run.refresh_from_db()
    assert (run.ignore_window, run.note) == (True, "Started by bea before its time, its daily window put aside.")
    assert perform(run).status == Status.SUCCEEDED


def test_cancelled_while_it_stops_for_its_window_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    closes_after(monkeypatch, looks=2)
    run = dispatch.request_run(BATCHED, user="ana", values={"each": 0.0})
    taken = worker.take(run.pk)
    assert taken is not None
    recorder = worker._recorder(taken, worker.StopFlag(), worker.ForcedStop(worker.StopFlag()))
    recorder.control = "cancel"
    worker._carry_out(taken.run, recorder, worker.StopFlag())
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
