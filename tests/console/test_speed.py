"""The chart of how fast a run goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import course, speed, worker
from console.models import Run
from data_migrations import clock, progress
from data_migrations.progress import Progress
from tests.console.pages import a_run, run_address
from tests.console.test_worker import requested
from tests.data_migrations.factories import ItemFactory

pytestmark = pytest.mark.django_db(databases="__all__")
COURSE = [(1000, 0, 1), (1010, 100, 1), (1020, 500, 1), (1040, 900, 1)]


def test_each_stretch_is_as_high_as_it_was_fast_and_as_wide_as_it_was_long() -> None:
    chart = speed.of(Run(course=COURSE))
    assert chart is not None
    # 10, 40 and 20 rows a second, in 10, 10 and 20 seconds.
    assert chart.areas == ["0.0,48.0 0.0,36.0 80.0,36.0 80.0,0.0 160.0,0.0 160.0,24.0 320.0,24.0 320.0,48.0"]
    assert chart.description == "Rows a second: between 10 and 40, at last 20."


def test_the_time_between_attempts_is_a_gap_and_no_slowness() -> None:
    chart = speed.of(Run(course=[*COURSE, (90_000, 900, 2), (90_040, 1700, 2)]))
    assert chart is not None
    assert len(chart.areas) == 2
    assert chart.areas[0].endswith("158.0,48.0")
    assert chart.areas[1] == "162.0,48.0 162.0,24.0 320.0,24.0 320.0,48.0"
    assert chart.description == "Rows a second, in 2 attempts: between 10 and 40, at last 20."


def test_where_it_is_now_is_the_last_point() -> None:
    at = clock.from_timestamp(1100)
    chart = speed.of(Run(course=COURSE, progress_done=6900, progress_at=at))
    assert chart is not None
    assert chart.description.endswith("between 10 and 100, at last 100.")


def test_what_it_did_after_its_last_row_is_no_slowness() -> None:
    at = clock.from_timestamp(1100)
    chart = speed.of(Run(course=COURSE, progress_done=900, progress_at=at))
    assert chart is not None
    assert chart.description.endswith("between 10 and 40, at last 20.")


@pytest.mark.parametrize("points", [None, [], COURSE[:3], [(1000 + n, 5, 1) for n in range(9)]])
def test_a_run_too_short_to_tell_and_one_that_stands_still_have_none(points: Any) -> None:
    assert speed.of(Run(course=points)) is None


def test_the_page_of_a_run_has_it(client_of_ana: Client) -> None:
    now = timezone.now()
    run = a_run(status="running", finished_at=None, progress_done=900, course=COURSE, heartbeat_at=now)
    html = client_of_ana.get(run_address(run)).content.decode()
    assert '<polygon points="0.0,48.0 0.0,36.0' in html
    assert "<figcaption>Rows a second: between 10 and 40, at last 20.</figcaption>" in html
    assert "polygon" not in client_of_ana.get(run_address(a_run())).content.decode()


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_run_leaves_it_and_a_second_attempt_goes_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    # Each batch tells where it is, and waits until that is stored.
    ItemFactory.create_batch(60)
    tell = Progress.update
    run = requested("batch_increment_2026_02_01")

    def update(self: Progress, done: int, total: int | None = None) -> None:
        before = Run.objects.values_list("progress_at", flat=True).get(pk=run.pk)
        tell(self, done, total)
        deadline = timezone.now() + timedelta(seconds=30)
        while Run.objects.values_list("progress_at", flat=True).get(pk=run.pk) == before:
            assert timezone.now() < deadline, "the progress was not stored"

    monkeypatch.setattr(Progress, "update", update)
    earlier = [[1000.0, 0, 0]]
    Run.objects.filter(pk=run.pk).update(course=earlier)
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.course is not None
    assert run.course[:1] == earlier
    done = [(rows, attempt) for _, rows, attempt in run.course[1:]]
    assert len(done) > 2
    assert done == sorted(done)
    assert {attempt for _, attempt in done} == {run.attempt}
    assert done[-1][0] == run.progress_done
