"""When a batched data migration may work: by the clock on the wall, also where that is put forward or back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from data_migrations import checks, clock, executor, ledger, registry, windows
from data_migrations.exceptions import OutsideWindow
from data_migrations.models import Checkpoint
from data_migrations.terminal import TerminalReporter
from data_migrations.utils.migrations import RunDataMigration
from data_migrations.windows import InvalidWindow, Window, parse
from tests.data_migrations.test_migrations import apply
from tests.testapp.management.commands.batch_increment import Command
from tests.testapp.models import Item

NAME = "batch_increment_2026_02_01"


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(opens: str, closes: str) -> Window:
    found = parse((opens, closes))
    assert found is not None
    return found


def shut() -> tuple[str, str]:
    """A window that opens in about six hours, so that it is closed during the test."""
    now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    return f"{now + timedelta(hours=6):%H:%M}", f"{now + timedelta(hours=7):%H:%M}"


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [("08:59:59", False), ("09:00", True), ("16:59:59", True), ("17:00", False), ("23:00", False)],
)
def test_by_day(settings, moment: str, is_open: bool):
    settings.TIME_ZONE = "UTC"
    assert window("09:00", "17:00").is_open(at(f"2026-11-21T{moment}")) is is_open


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [("21:59:59", False), ("22:00", True), ("23:59:59", True), ("00:00", True), ("05:59:59", True), ("06:00", False)],
)
def test_across_midnight(settings, moment: str, is_open: bool):
    settings.TIME_ZONE = "UTC"
    assert window("22:00", "6:00").is_open(at(f"2026-11-21T{moment}")) is is_open


def test_the_clock_is_that_of_the_site(settings):
    settings.TIME_ZONE = "Asia/Kolkata"
    night = window("22:00", "06:00")
    assert night.is_open(at("2026-11-21T16:30"))
    assert not night.is_open(at("2026-11-21T16:29"))
    assert str(night) == "22:00 to 06:00 Asia/Kolkata"


def test_it_opens_next_at_its_time_and_is_open_already_while_it_is(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    night = window("22:00", "06:00")
    assert night.next_opening(at("2026-11-21T12:00:30")) == at("2026-11-21T21:00")
    now = at("2026-11-21T21:00:17")
    assert night.next_opening(now) == now
    assert night.next_closing(now) == at("2026-11-22T05:00")


# On 2026-03-29 the clocks of Berlin go from 01:59 CET to 03:00 CEST, at 01:00 UTC.


@pytest.mark.parametrize(
    ("opens", "closes", "expected"),
    [
        ("02:30", "06:00", "2026-03-29T01:00"),  # it opens as soon as the clock shows a later time
        ("02:15", "02:45", "2026-03-30T00:15"),  # the clock never shows it on that day
        ("01:30", "02:30", "2026-03-29T00:30"),
        ("03:00", "04:00", "2026-03-29T01:00"),
    ],
)
def test_when_clocks_go_forward(settings, opens: str, closes: str, expected: str):
    settings.TIME_ZONE = "Europe/Berlin"
    assert window(opens, closes).next_opening(at("2026-03-29T00:10")) == at(expected)


def test_a_window_that_closes_in_the_hour_left_out_closes_with_the_change(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    assert window("01:00", "02:30").next_closing(at("2026-03-29T00:10")) == at("2026-03-29T01:00")


def test_when_clocks_go_back_the_hour_that_comes_twice_is_open_twice(settings):
    # On 2026-10-25 from 02:59 CEST back to 02:00 CET, at 01:00 UTC.
    settings.TIME_ZONE = "Europe/Berlin"
    short = window("02:15", "02:45")
    assert short.next_opening(at("2026-10-25T00:00")) == at("2026-10-25T00:15")
    assert short.next_closing(at("2026-10-25T00:15")) == at("2026-10-25T00:45")
    assert short.next_opening(at("2026-10-25T00:45")) == at("2026-10-25T01:15")
    # The night of that day has an hour more.
    night = window("22:00", "06:00")
    assert night.next_closing(at("2026-10-24T20:00")) - at("2026-10-24T20:00") == timedelta(hours=9)


@pytest.mark.parametrize(
    "value",
    [
        "22:00",
        ("22:00",),
        ("22:00", "06:00", "07:00"),
        ("22:00", "22:00"),
        ("24:00", "06:00"),
        ("22:00", 6),
        7,
        ("", ""),
    ],
)
def test_what_is_no_window_is_refused(value: Any):
    with pytest.raises(InvalidWindow):
        parse(value)


def test_a_command_has_its_own_window_or_that_of_the_settings_or_none(settings, monkeypatch):
    settings.TIME_ZONE = "UTC"
    assert windows.of(Command) is None
    settings.DATA_MIGRATIONS = {"WINDOW": ["22:00", "06:00"]}
    assert str(windows.of(Command)) == "22:00 to 06:00 UTC"
    monkeypatch.setattr(Command, "window", ("01:00", "02:00"))
    assert str(windows.of(Command)) == "01:00 to 02:00 UTC"
    monkeypatch.setattr(Command, "window", ())
    assert windows.of(Command) is None
    monkeypatch.setattr(Command, "window", None)
    monkeypatch.setattr(Command, "in_batches", False)
    assert windows.of(Command) is None


# Checks.


def test_malformed_windows_are_errors(settings, monkeypatch):
    settings.DATA_MIGRATIONS = {"WINDOW": ("22:00", "25:00")}
    monkeypatch.setattr(Command, "window", "22:00-06:00")
    [setting] = [each for each in checks.check_settings(None) if each.id == "data_migrations.E011"]
    assert "DATA_MIGRATIONS['WINDOW'] is no daily window: '25:00' is not a time" in setting.msg
    [own] = checks.check_windows(None)
    assert own.id == "data_migrations.E011"
    assert "batch_increment" in own.msg


def test_a_window_where_nothing_could_keep_it_is_warned_of(monkeypatch):
    command = registry.get("increment_items_2026_01_01").command_class
    monkeypatch.setattr(command, "window", ("22:00", "06:00"), raising=False)
    [found] = checks.check_windows(None)
    assert found.id == "data_migrations.W003"


# Runs.


def in_an_hour() -> datetime:
    return clock.aware(timezone.now()) + timedelta(hours=1)


@pytest.fixture
def items(transactional_db):
    Item.objects.bulk_create([Item(name=str(number)) for number in range(30)])


@pytest.fixture
def closed(monkeypatch):
    monkeypatch.setattr(Command, "window", shut())


def amounts() -> list[int]:
    return sorted(set(Item.objects.values_list("amount", flat=True)))


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_run_that_is_not_to_wait_leaves_before_its_first_batch_and_says_when_it_opens(items, closed):
    before = clock.aware(timezone.now())
    with pytest.raises(OutsideWindow) as raised:
        executor.run_command("batch_increment", window="leave")
    assert raised.value.reason == "window"
    assert before + timedelta(hours=5) < raised.value.opens_at < before + timedelta(hours=7)
    assert amounts() == [0]
    assert not ledger.is_applied(NAME, "default")


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_window_that_closes_stops_the_run_between_two_batches_and_it_goes_on_there(items, monkeypatch):
    monkeypatch.setattr(Command, "window", ("00:00", "23:59"))
    looks = iter([True, True, False])
    monkeypatch.setattr(Window, "is_open", lambda self, moment: next(looks, True))
    with pytest.raises(OutsideWindow):
        executor.run_command("batch_increment", window="leave")
    assert Checkpoint.objects.get(name=NAME).rows == 20
    assert amounts() == [0, 1]
    executor.run_command("batch_increment", window="leave")
    assert amounts() == [1]


@pytest.mark.django_db(databases="__all__", transaction=True)
@pytest.mark.parametrize("options", [{"ignore_window": True}, {"dry_run": True}])
def test_from_the_shell_the_window_can_be_ignored_and_holds_no_dry_run(items, closed, options):
    call_command("batch_increment", **options)
    assert amounts() == ([0] if "dry_run" in options else [1])


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_from_the_shell_it_waits_and_says_why(items, monkeypatch, settings, capsys):
    settings.DATA_MIGRATIONS = {"THROTTLE_SECONDS": 0.01}
    monkeypatch.setattr(Command, "window", shut())
    opened = threading.Event()
    monkeypatch.setattr(Window, "is_open", lambda self, moment: opened.is_set() or clock.aware(moment) > in_an_hour())
    reasons: list[str] = []

    def throttled(self: Any, reason: str) -> None:
        reasons.append(reason)
        if len(reasons) == 3:
            opened.set()

    monkeypatch.setattr(TerminalReporter, "throttled", throttled)
    call_command("batch_increment")
    assert "is closed until" in reasons[0]
    assert reasons[-1] == ""
    said = "".join(capsys.readouterr())
    assert said.count("Waiting: its daily window, ") == 1
    assert "Going on." in said
    assert amounts() == [1]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_inside_migrate_the_window_does_not_hold(items, closed):
    # Not atomic, so that each batch commits: the one place where waiting would be possible.
    apply(RunDataMigration("batch_increment"), atomic=False)
    assert amounts() == [1]
