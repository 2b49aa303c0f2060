"""Parts of the log with a heading."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command

from data_migrations.exceptions import MigrationFailed
from data_migrations.groups import group
from data_migrations.reporting import GroupEnd, Reporter
from data_migrations.stopping import StopRequested
from tests.testapp.management.commands.grouped import Command


class Listener(Reporter):
    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []

    def group_began(self, title: str) -> None:
        self.heard.append(("began", title))

    def group_ended(self, title: str, end: GroupEnd, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append((end.value, title))


@pytest.mark.django_db(transaction=True)
def test_a_shell_prints_the_heading_and_how_long_it_took():
    out = io.StringIO()
    call_command("grouped", stdout=out, stderr=io.StringIO(), no_color=True)
    lines = [re.sub(r"\d+\.\d s", "N s", line) for line in out.getvalue().splitlines()]
    assert lines[:6] == [
        "before", "Loading", "loading", "Users of the shop", "half a lineUsers of the shop: N s", "Loading: N s",
    ]  # fmt: skip
    assert "after" in lines


@pytest.mark.django_db(transaction=True)
def test_a_shell_prints_that_a_group_failed():
    out = io.StringIO()
    with pytest.raises(MigrationFailed, match="no users"):
        call_command("grouped", "--broken", stdout=out, stderr=io.StringIO(), no_color=True)
    assert "Users of the shop: failed after" in out.getvalue()
    assert "Loading: failed after" in out.getvalue()


def test_without_a_run_around_it_a_group_is_just_a_block():
    with Command().log_group("Loading"):
        pass


@pytest.mark.parametrize(
    ("error", "end"), [(ValueError, "failed"), (StopRequested, "stopped"), (KeyboardInterrupt, "stopped")]
)
def test_how_a_group_ended_is_told_and_the_exception_goes_on(error, end):
    listener = Listener()
    with pytest.raises(error), group(listener, "Outer"), group(listener, "Inner"):
        raise error
    assert listener.heard == [("began", "Outer"), ("began", "Inner"), (end, "Inner"), (end, "Outer")]


@pytest.mark.parametrize(("title", "told"), [("", "Group"), (" a\n\tb ", "a b"), ("x" * 900, "x" * 200), (7, "7")])
def test_a_title_is_one_short_line(title, told):
    listener = Listener()
    with group(listener, title):
        pass
    assert listener.heard[0] == ("began", told)
