"""How many rows, and how long: found within bounds, and never at the price of the page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.expressions import RawSQL
from django.utils import timezone

from console import estimates
from console.estimates import Estimate
from console.models import Run
from console.rehearsals import Parameters
from data_migrations import registry
from data_migrations.models import Checkpoint, QuarantinedRow
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

BATCHED = "batch_increment_2026_02_01"
SLOW = {"postgresql": "(SELECT 1 FROM pg_sleep(5))", "mysql": "SLEEP(5)", "sqlite": "1"}


@pytest.fixture(autouse=True)
def items() -> None:
    Item.objects.bulk_create([Item(name=str(number)) for number in range(5000)])


def slow() -> Any:
    """Rows that cannot be counted in the time that there is."""
    rows = Item.objects.annotate(slow=RawSQL(SLOW[connection.vendor], ())).filter(slow=1)
    return rows.filter(name__contains="x") if connection.vendor == "sqlite" else rows


def limit() -> Any:
    """What the connection's own limit is now."""
    if connection.vendor == "sqlite":
        return None
    name = "statement_timeout" if connection.vendor == "postgresql" else "@@SESSION.max_statement_time"
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}" if connection.vendor == "postgresql" else f"SELECT {name}")
        return cursor.fetchone()


def test_what_is_quickly_counted_is_counted() -> None:
    assert estimates.count(Item.objects.filter(name__startswith="1"), "default", seconds=30) == (1111, True)


def test_what_takes_too_long_is_guessed() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {Item._meta.db_table}")
    rows, is_exact = estimates.count(slow(), "default", seconds=0.05 if connection.vendor != "sqlite" else 0)
    assert not is_exact
    # SQLite keeps no statistics that would do.
    assert (rows is None) is (connection.vendor == "sqlite")
    assert Item.objects.count() == 5000


def test_inside_a_transaction_that_goes_on_its_limit_is_given_back() -> None:
    before = limit()
    with transaction.atomic():
        estimates.count(slow(), "default", seconds=0.05 if connection.vendor != "sqlite" else 0)
        estimates.count(Item.objects.all(), "default", seconds=30)
        assert limit() == before
        Item.objects.filter(name="1").update(amount=7)
    assert limit() == before
    assert Item.objects.get(name="1").amount == 7


def a_run(**fields: Any) -> Run:
    now = timezone.now()
    values = {"status": "succeeded", "attempt": 1, "started_at": now - timedelta(seconds=60), "finished_at": now}
    return Run.objects.create(migration=BATCHED, **values | fields)


def estimate_of(kind: str = "run", values: dict[str, Any] | None = None) -> Estimate:
    migration = registry.get(BATCHED)
    return estimates.of(migration, kind, "default", values or {}, Parameters.asked(migration, values or {}))


def told(kind: str = "run") -> Run | None:
    return estimate_of(kind).run


def test_the_time_is_that_of_the_last_run_that_did_it_all_in_one_go() -> None:
    assert told() is None
    good = a_run()
    a_run(status="failed")
    a_run(attempt=2)
    a_run(note="Already applied: nothing was done.")
    a_run(database="other")
    a_run(kind="reverse")
    estimate = estimate_of()
    assert (estimate.run, estimate.seconds, estimate.rows) == (good, 60, 5000)
    assert told("dry_run") is None


def test_without_one_it_is_what_a_dry_run_worked_out() -> None:
    a_run(kind="dry_run")
    assert told() is None
    dry = a_run(kind="dry_run", estimated_seconds=724.0)
    estimate = estimate_of()
    assert (estimate.run, estimate.seconds) == (dry, 724.0)
    again = estimate_of("dry_run")
    assert (again.run, again.seconds, again.rows) == (dry, 60, None)


@pytest.fixture
def place() -> Checkpoint:
    """An earlier run came so far."""
    now = timezone.now()
    return Checkpoint.objects.create(
        name=BATCHED, rows=4000, total=5000, batches=4, batch_size=1000, started_at=now, updated_at=now
    )


def test_of_a_run_that_goes_on_it_is_what_is_left(place: Checkpoint) -> None:
    dry = a_run(kind="dry_run", estimated_seconds=50.0, progress_done=3000, progress_total=5000)
    estimate = estimate_of()
    assert (estimate.run, estimate.rows, estimate.done) == (dry, 1000, 4000)
    assert estimate.seconds == pytest.approx(10)
    # A dry run after it was of what is left.
    a_run(kind="dry_run", estimated_seconds=12.0, progress_total=5000, progress_done=5000, rows_before=4000)
    assert estimate_of().seconds == pytest.approx(12)
    a_run(affected_rows=4000)
    assert estimate_of().seconds == pytest.approx(15)


def test_of_a_run_that_has_only_its_quarantine_left_it_is_those_rows(place: Checkpoint) -> None:
    Checkpoint.objects.update(exhausted=True, rows=4999)
    QuarantinedRow.objects.create(name=BATCHED, key="7", at=timezone.now())
    QuarantinedRow.objects.create(name=BATCHED, key="8", at=timezone.now(), accepted_at=timezone.now())
    a_run(affected_rows=5000)
    estimate = estimate_of()
    assert (estimate.rows, estimate.done, estimate.is_exact) == (1, 4999, True)
    assert estimate.seconds == pytest.approx(60 / 5000)
    QuarantinedRow.objects.all().delete()
    estimate = estimate_of()
    assert (estimate.rows, estimate.seconds) == (0, None)


def test_where_nobody_knows_what_is_left_it_is_said_to_be_of_all(place: Checkpoint) -> None:
    Checkpoint.objects.update(total=None)
    a_run(affected_rows=5000)
    estimate = estimate_of()
    assert (estimate.rows, estimate.done, estimate.seconds, estimate.is_of_all) == (None, 4000, 60, True)


def test_a_run_that_did_only_the_rest_tells_nothing_of_the_whole() -> None:
    a_run(rows_before=4999, affected_rows=5000)
    a_run(kind="dry_run", estimated_seconds=1.0, rows_before=4999)
    assert told() is None


@pytest.mark.parametrize("name", ["batch_numbers_2026_02_03", "import_items_2026_02_20", "increment_items_2026_01_01"])
def test_what_comes_from_no_table_has_no_rows_to_tell(name: str) -> None:
    assert estimates.of(registry.get(name), "run", "default", {}, None).rows is None


def test_a_run_that_did_all_but_the_rows_it_set_aside_tells_more_than_an_old_dry_run() -> None:
    a_run(kind="dry_run", estimated_seconds=724.0)
    aside = a_run(status="failed", error_class="data_migrations.exceptions.QuarantineNotEmpty", progress_total=5000)
    estimate = estimate_of()
    assert (estimate.run, estimate.seconds, estimate.is_scaled) == (aside, 60, False)


def test_what_took_so_long_for_another_number_of_rows_is_taken_for_those_there_are() -> None:
    a_run(progress_total=2500, affected_rows=3)
    estimate = estimate_of()
    assert estimate.is_scaled
    assert estimate.seconds == pytest.approx(120)
    Run.objects.all().delete()
    a_run(kind="dry_run", estimated_seconds=10.0, progress_done=30, progress_total=10_000)
    estimate = estimate_of()
    assert estimate.is_scaled
    assert estimate.seconds == pytest.approx(5)


def test_a_run_of_next_to_nothing_tells_nothing_of_many_rows() -> None:
    whole = a_run(progress_total=40_000)
    a_run(affected_rows=0, progress_total=0)
    a_run(progress_total=3)
    estimate = estimate_of()
    assert estimate.run == whole
    assert estimate.seconds == pytest.approx(60 * 5000 / 40_000)
    whole.delete()
    # Rather nothing than the time of nothing, or a dry run.
    assert told() is None
    dry = a_run(kind="dry_run", estimated_seconds=24.0, progress_done=30, progress_total=5000)
    assert told() == dry


def test_a_run_with_the_same_parameters_tells_before_a_newer_one_with_others() -> None:
    same = a_run(arguments={"each": 0.5})
    other = a_run(arguments={"each": 0.1})
    found = [estimate_of("run", {"each": each}) for each in (0.5, 0.7)]
    assert [(each.run, each.is_of_others) for each in found] == [(same, False), (other, True)]
    # What a shell kept without its being given is the same as what nobody gave.
    plain = a_run(arguments={"each": 0.0})
    estimate = estimate_of()
    assert (estimate.run, estimate.is_of_others) == (plain, False)


def test_the_pace_that_somebody_asked_for_goes_on_with_the_next_run(place: Checkpoint) -> None:
    Checkpoint.objects.update(wanted_batch_size=250, wanted_pause=0.5)
    estimate = estimate_of()
    assert (estimate.batch_size, estimate.pause) == (250, 0.5)
