"""Fixtures of the core's tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command

from data_migrations import registry
from data_migrations.reporting import Holder, Outcome, Reporter, RunInfo
from tests.data_migrations.factories import ItemFactory
from tests.testapp.models import Item


@pytest.fixture
def items(db: None) -> list[Item]:
    """Three items named item 1 to item 3, with an amount of 0."""
    return [ItemFactory(name=f"item {number}") for number in (1, 2, 3)]


@pytest.fixture
def amounts() -> Callable[[], list[int]]:
    """The amounts of all items as the database has them now."""
    return lambda: list(Item.objects.order_by("pk").values_list("amount", flat=True))


@pytest.fixture
def run() -> Callable[..., str]:
    """Call a command and give what it printed."""

    def call(name: str, *args: Any, **options: Any) -> str:
        out = io.StringIO()
        call_command(name, *args, stdout=out, stderr=out, no_color=True, **options)
        return out.getvalue()

    return call


@pytest.fixture
def odd_app(settings: Any) -> Iterator[None]:
    """With an app whose data migrations are wrong in every way there is."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.oddapp"]
    registry.reset()
    yield
    registry.reset()


class Listener(Reporter):
    """Remembers everything it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def started(self, run: RunInfo) -> None:
        self.told.append(("started", run))

    def waiting(self, holder: Holder) -> None:
        self.told.append(("waiting", holder))

    def working(self) -> None:
        self.told.append(("working", None))

    def going_on(self, rows: int) -> None:
        self.told.append(("going_on", rows))

    def pace_changed(self) -> None:
        self.told.append(("pace_changed", None))

    def message(self, level: str, text: str) -> None:
        self.told.append(("message", (level, text)))

    def output(self, stream: str, text: str) -> None:
        self.told.append(("output", (stream, text)))

    def progress(self, done: int, total: int | None) -> None:
        self.told.append(("progress", (done, total)))

    def finished(self, outcome: Outcome) -> None:
        self.told.append(("finished", outcome))

    def committed(self) -> None:
        self.told.append(("committed", None))

    def failed(self, error: BaseException, traceback_text: str) -> None:
        self.told.append(("failed", (error, traceback_text)))

    def of(self, kind: str) -> list[Any]:
        """Everything told of one kind."""
        return [value for name, value in self.told if name == kind]

    def text(self, stream: str) -> str:
        """All output of one stream."""
        return "".join(text for name, text in self.of("output") if name == stream)


@pytest.fixture
def listener() -> Listener:
    """A reporter that remembers."""
    return Listener()
