"""Batches that only read are loaded without locks and stored late, and nobody can tell by what is in the database."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.utils import DatabaseError, OperationalError

from data_migrations import checkpoints, executor, keeping, reading
from data_migrations.checkpoints import Position
from data_migrations.exceptions import BatchFailed, LeaseLost, MigrationFailed, StoppedEarly
from data_migrations.leases import HeldLease
from data_migrations.management.commands.base import BatchedCommand
from data_migrations.models import Lease
from data_migrations.stopping import StopFlag
from data_migrations.work import RunRequest
from tests.data_migrations.factories import ItemFactory
from tests.testapp.models import Item, User

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "reading_2026_03_01"
# Batches that only read are told from others where the driver tells an empty transaction.
TELLS = connection.vendor in ("sqlite", "postgresql")
needs_telling = pytest.mark.skipif(not TELLS, reason="here each batch is locked and stored")


class Killed(BaseException):
    """Stands for a SIGKILL, with what comes after it left out."""


@pytest.fixture(autouse=True)
def many() -> None:
    """A hundred items: ten batches of ten."""
    ItemFactory.create_batch(100)


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, nothing is stored because it is time to."""
    monkeypatch.setattr(keeping, "LATE_SECONDS", 3600)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batches with which a checkpoint was stored."""
    numbers: list[int] = []
    original = Position.store

    def store(self: Position, lease: HeldLease) -> None:
        original(self, lease)
        numbers.append(self.batches)

    monkeypatch.setattr(Position, "store", store)
    return numbers


def go(perform: Callable[..., Any], *, stop: StopFlag | None = None, reporters: Any = (), **members: Any) -> Any:
    """Run a migration through all items; gives the outcome."""
    options = members.pop("options", {})
    members = {"migration_name": NAME, "batch_size": 10, "__module__": __name__, "perform_batch": perform, **members}
    members.setdefault("get_queryset", lambda self: Item.objects.all())
    command = type("Command", (BatchedCommand,), members)()
    command.accept(options)
    return executor.execute(command, RunRequest(), reporters, stop, recorded=False)


def read(self: Any, batch: Any) -> None:
    for item in batch:
        assert item.amount == 0


def elsewhere(work: Callable[[], Any]) -> Any:
    """Do something on a connection of one's own; its result, or its error."""
    results: list[Any] = []

    def target() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return results[0]


def after_load(monkeypatch: pytest.MonkeyPatch, number: int, work: Callable[[], Any]) -> None:
    """Have somebody else do something between the loading of a batch and its transaction."""
    original = reading.Reading.ahead

    def ahead(self: Any, cursor: Any, batch_number: int, size: int) -> Any:
        found = original(self, cursor, batch_number, size)
        if batch_number == number and found is not None:
            elsewhere(work)
        return found

    monkeypatch.setattr(reading.Reading, "ahead", ahead)


def nth(number: int) -> Item:
    """The item of that number, counted from one."""
    return Item.objects.order_by("pk")[number - 1]


def test_the_checkpoint_of_batches_that_only_read_is_not_stored_with_each(stored: list[int]) -> None:
    outcome = go(read)
    assert outcome.result == "100"
    # Three to find out, and the end; that one counts no batch.
    assert stored == ([1, 2, 3, 10] if TELLS else [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10])


def test_it_is_stored_once_a_second_all_the_same(stored: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LATE_SECONDS", 0)
    go(read)
    assert stored == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]


def test_it_is_stored_before_each_pause(stored: list[int]) -> None:
    go(read, pause_seconds=0.001)
    assert stored == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]


def test_it_is_stored_before_a_wait(stored: list[int], monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.DATA_MIGRATIONS = {"THROTTLE_SECONDS": 0.001}
    seen: list[int] = []

    def throttle(self: Any) -> str | None:
        # Asked before batches 1 to 7, then a second time before the seventh.
        seen.append(checkpoints.find(NAME, "default").batches)
        return "too busy" if len(seen) == 7 else None

    go(read, throttle=throttle)
    assert seen[7] == 6
    assert 6 in stored


def test_work_elsewhere_has_each_batch_stored_and_locked(stored: list[int]) -> None:
    held: list[Any] = []

    def perform(self: Any, batch: Any) -> None:
        read(self, batch)
        if connection.vendor == "postgresql":
            held.append(elsewhere(lambda: locked_by_somebody(batch.items[0].pk)))

    go(perform, works_elsewhere=True)
    assert stored == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]
    assert set(held) <= {True}


def locked_by_somebody(key: int) -> bool:
    with transaction.atomic():
        try:
            return not Item.objects.select_for_update(nowait=True).filter(pk=key).exists()
        except DatabaseError:
            return True


@pytest.mark.parametrize("ending", ["stop", "error", "limit"])
def test_where_it_ends_early_is_stored(ending: str) -> None:
    stop = StopFlag()
    numbers: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        read(self, batch)
        numbers.append(batch.number)
        if batch.number == 7 and ending == "stop":
            stop.request("pause")
        if batch.number == 8 and ending == "error":
            raise ValueError("this one is odd")

    options = {"limit_batches": 7} if ending == "limit" else {}
    with pytest.raises(BatchFailed if ending == "error" else StoppedEarly):
        go(perform, stop=stop, options=options)
    assert checkpoints.find(NAME, "default").rows == 70
    del numbers[7:]
    go(lambda self, batch: numbers.append(batch.number))
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_what_is_written_after_reading_commits_with_the_place_behind_all_of_it(
    amounts: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            item.amount += 1
        if batch.number in (7, 9):
            batch.save(["amount"])

    original = Position.store

    def store(self: Position, lease: HeldLease) -> None:
        original(self, lease)
        if self.batches == 9:
            raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Position, "store", store)
        patch.setattr(keeping.Keeper, "catch_up", lambda self: None)
        with pytest.raises(MigrationFailed, match="killed here"):
            go(perform)
    assert amounts() == [0] * 60 + [1] * 10 + [0] * 30
    # As a kill would leave it: batch 7 stored itself and those that read before it; after it rows are locked again.
    assert checkpoints.find(NAME, "default").rows == 80
    go(perform)
    assert amounts() == [0] * 60 + [1] * 10 + [0] * 10 + [1] * 10 + [0] * 10


@needs_telling
def test_a_kill_while_it_reads_leaves_the_place_of_the_last_writer(
    amounts: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            item.amount += 1
        if batch.number == 1:
            batch.save(["amount"])
        if batch.number == 8:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keeping.Keeper, "catch_up", lambda self: None)
        with pytest.raises(MigrationFailed, match="Killed"):
            go(perform)
    assert checkpoints.find(NAME, "default").rows == 40
    go(read)
    assert amounts() == [1] * 10 + [0] * 90


def test_what_is_done_in_a_database_that_becomes_known_on_the_way_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: Counter[int] = Counter()
    killed: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        keys = [item.pk for item in batch]
        # As sites do that have a database for each tenant.
        connections.databases.setdefault("tenant", dict(connections.databases["other"]))
        if batch.number == 8 and not killed:
            killed.append(8)
            raise Killed
        # Django's tests forbid databases that they do not know.
        if connections["tenant"].connection is None:
            connections["tenant"].connect()
        with connections["tenant"].cursor() as cursor:
            cursor.execute("SELECT 1")
        done.update(keys)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(keeping.Keeper, "catch_up", lambda self: None)
            with pytest.raises(MigrationFailed, match="Killed"):
                go(perform)
        go(perform)
    finally:
        connections["tenant"].close()
        del connections["tenant"]
        del connections.databases["tenant"]
    assert len(done) == 100
    assert set(done.values()) == {1}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Python's own driver has it")
def test_rows_that_a_site_has_its_driver_give_in_another_form_are_the_same_rows(
    amounts: Callable[[], list[int]],
) -> None:
    batches: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        batches.append(batch.number)
        for item in batch:
            item.amount += 1
        if batch.number > 5:
            batch.save(["amount"])

    connection.ensure_connection()
    connection.connection.row_factory = sqlite3.Row
    try:
        go(perform)
    finally:
        connection.connection.row_factory = None
    assert amounts() == [0] * 50 + [1] * 50
    assert batches == list(range(1, 11))


def save_all(self: Any, batch: Any) -> None:
    batch.save(["amount"])


def save_each(self: Any, batch: Any) -> None:
    for item in batch:
        item.save()


def save_each_in_a_savepoint(self: Any, batch: Any) -> None:
    for item in batch:
        with transaction.atomic():
            item.save(update_fields=["amount"])


def save_each_whatever_happens(self: Any, batch: Any) -> None:
    for item in batch:
        try:
            item.save()
        except Exception:
            pass


def save_each_and_catch_everything(self: Any, batch: Any) -> None:
    for item in batch:
        try:
            item.save()
        except:  # noqa: E722
            pass


WRITERS = [save_all, save_each, save_each_in_a_savepoint, save_each_whatever_happens, save_each_and_catch_everything]


@needs_telling
@pytest.mark.parametrize("write", WRITERS)
def test_a_change_by_somebody_else_after_loading_is_not_lost(
    write: Callable[..., None], amounts: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_load(monkeypatch, 6, lambda: Item.objects.filter(pk=nth(55).pk).update(amount=500))
    times: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        times.append(batch.number)
        for item in batch:
            item.amount += 1
        if batch.number >= 6:
            write(self, batch)

    go(perform)
    assert amounts() == [0] * 50 + [1] * 4 + [501] + [1] * 45
    # Only the batch that was changed is done again.
    assert times == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10]


@needs_telling
def test_what_is_made_of_a_row_somewhere_else_is_made_of_the_row_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    after_load(monkeypatch, 6, lambda: Item.objects.filter(pk=nth(55).pk).update(amount=500))

    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            if batch.number >= 6:
                User.objects.create(email=f"{item.name}: {item.amount}")

    go(perform)
    assert User.objects.count() == 50
    assert User.objects.filter(email=f"{nth(55).name}: 500").exists()


@needs_telling
def test_a_row_deleted_after_loading_is_not_brought_back(
    amounts: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_load(monkeypatch, 6, lambda: Item.objects.filter(pk=nth(55).pk).delete())
    sizes: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            item.amount += 1
        if batch.number >= 6:
            sizes.append(len(batch.items))
            save_each(self, batch)

    go(perform)
    assert amounts() == [0] * 50 + [1] * 49
    # The end of the batch is found again, ten rows further on.
    assert sizes == [10, 10, 10, 10, 10, 9]


@needs_telling
def test_rows_nobody_changed_are_not_done_twice(amounts: Callable[[], list[int]]) -> None:
    times: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        times.append(batch.number)
        for item in batch:
            item.amount += 1
        if batch.number % 5 == 0:
            batch.save(["amount"])

    go(perform)
    assert times == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert amounts() == ([0] * 40 + [1] * 10) * 2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="looks at PostgreSQL's row locks")
def test_rows_are_locked_before_the_first_statement_and_from_then_on() -> None:
    held: list[tuple[int, bool, bool]] = []

    def perform(self: Any, batch: Any) -> None:
        key = batch.items[0].pk
        before = elsewhere(lambda: locked_by_somebody(key))
        if batch.number >= 6:
            User.objects.exists()
        held.append((batch.number, before, elsewhere(lambda: locked_by_somebody(key))))

    go(perform)
    assert held == [
        (1, True, True),
        (2, True, True),
        (3, True, True),
        (4, False, False),
        (5, False, False),
        (6, False, True),
        (7, True, True),
        (8, True, True),
        (9, True, True),
        (10, True, True),
    ]


@needs_telling
def test_rows_asked_for_after_an_update_are_loaded_after_it(amounts: Callable[[], list[int]]) -> None:
    seen: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        if batch.number >= 6:
            batch.queryset.update(amount=7)
        seen.extend(item.amount for item in batch)

    go(perform)
    assert seen == amounts() == [0] * 50 + [7] * 50


@needs_telling
def test_work_past_djangos_connection_has_the_batch_done_once_more_with_locks(
    amounts: Callable[[], list[int]], stored: list[int]
) -> None:
    times: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        times.append(batch.number)
        keys = ", ".join(str(item.pk) for item in batch)
        if batch.number >= 6:
            sql = f"UPDATE testapp_item SET amount = amount + 1 WHERE id IN ({keys})"  # noqa: S608
            connections["default"].connection.cursor().execute(sql)

    go(perform)
    assert amounts() == [0] * 50 + [1] * 50
    # Once, and never again: each batch stores its place from here on.
    assert times == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10]
    assert stored == [1, 2, 3, 6, 7, 8, 9, 10, 10]


@pytest.mark.parametrize("queryset", ["filter", "related", "annotated", "deferred", "prefetched"])
def test_querysets_of_every_kind_are_gone_through_once(queryset: str, amounts: Callable[[], list[int]]) -> None:
    from django.db.models import F

    owner = User.objects.create()
    Item.objects.update(owner=owner)
    querysets = {
        "filter": Item.objects.filter(amount=0),
        "related": Item.objects.select_related("owner"),
        "annotated": Item.objects.annotate(more=F("amount") + 1),
        "deferred": Item.objects.only("amount"),
        "prefetched": Item.objects.prefetch_related("owner"),
    }

    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            assert item.owner == owner
            item.amount += 1
        if batch.number >= 6:
            batch.save(["amount"])

    go(perform, get_queryset=lambda self: querysets[queryset])
    assert amounts() == [0] * 50 + [1] * 50


def test_what_waits_for_the_commit_is_done_once_although_there_is_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    kills = [8]

    def perform(self: Any, batch: Any) -> None:
        first = batch.items[0].pk
        if batch.number in kills:
            raise Killed
        if batch.number >= 6:
            transaction.on_commit(lambda: done.append(first))

    with monkeypatch.context() as patch:
        patch.setattr(keeping.Keeper, "catch_up", lambda self: None)
        with pytest.raises(MigrationFailed, match="Killed"):
            go(perform)
    kills.clear()
    go(perform)
    assert done == [nth(number).pk for number in (51, 61, 71, 81, 91)]


@needs_telling
def test_what_waits_for_the_commit_is_of_the_rows_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    after_load(monkeypatch, 6, lambda: Item.objects.filter(pk=nth(55).pk).update(amount=500))
    told: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        total = sum(item.amount for item in batch)
        if batch.number == 6:
            transaction.on_commit(lambda: told.append(total))

    go(perform)
    assert told == [500]


def test_a_batch_that_is_to_be_rolled_back_is_not_done(stored: list[int]) -> None:
    def perform(self: Any, batch: Any) -> None:
        read(self, batch)
        if batch.number == 6:
            transaction.set_rollback(True)

    with pytest.raises(MigrationFailed, match="atomic"):
        go(perform)
    assert checkpoints.find(NAME, "default").rows == 50


def test_batches_that_ask_another_database_are_stored_and_locked(stored: list[int]) -> None:
    def perform(self: Any, batch: Any) -> None:
        read(self, batch)
        User.objects.using("other").create(email=f"{batch.number}")

    go(perform)
    assert stored == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]


def test_a_queryset_that_locks_by_itself_is_gone_through(stored: list[int]) -> None:
    go(read, get_queryset=lambda self: Item.objects.select_for_update())
    assert stored == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]


def test_a_passing_error_repeats_no_other_batch() -> None:
    times: list[int] = []

    def perform(self: Any, batch: Any) -> None:
        read(self, batch)
        times.append(batch.number)
        if times == [1, 2, 3, 4, 5, 6, 7, 8]:
            raise OperationalError(1213, "Deadlock found")

    go(perform)
    assert times == [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10]


@needs_telling
def test_a_lost_lease_is_noticed_when_the_place_is_stored(amounts: Callable[[], list[int]]) -> None:
    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            item.amount += 1
        if batch.number == 6:
            elsewhere_on_postgresql(lambda: Lease.objects.filter(name=NAME).update(token=77, owner="somebody else"))
        if batch.number == 8:
            if connection.vendor == "sqlite":
                Lease.objects.filter(name=NAME).update(token=77, owner="somebody else")
            batch.save(["amount"])

    with pytest.raises(LeaseLost):
        go(perform)
    assert amounts() == [0] * 100
    # On SQLite the foreign taking was in the batch's own transaction, so it is undone as well.
    assert checkpoints.find(NAME, "default").batches == (7 if connection.vendor == "sqlite" else 3)


def elsewhere_on_postgresql(work: Callable[[], Any]) -> None:
    # SQLite's one write lock is the batch's.
    if connection.vendor == "postgresql":
        elsewhere(work)


def test_a_dry_run_locks_and_undoes_as_ever(amounts: Callable[[], list[int]]) -> None:
    def perform(self: Any, batch: Any) -> None:
        for item in batch:
            item.amount += 1
        if batch.number >= 6:
            batch.save(["amount"])

    members = {"migration_name": NAME, "batch_size": 10, "__module__": __name__, "perform_batch": perform}
    command = type("Command", (BatchedCommand,), {**members, "get_queryset": lambda self: Item.objects.all()})()
    command.accept({"dry_run_batches": 0})
    outcome = executor.execute(command, RunRequest(dry_run=True), [], recorded=False)
    assert [(change.table, change.updated) for change in outcome.changes] == [("testapp_item", 50)]
    assert amounts() == [0] * 100
    assert checkpoints.find(NAME, "default") is None
