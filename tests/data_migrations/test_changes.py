"""Rows are counted by table and verb, on each database."""

# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F
from django.utils import timezone

from data_migrations.changes import ChangeCounter
from data_migrations.models import LedgerEvent
from data_migrations.reporting import TableChange
from tests.testapp.models import Item, User

pytestmark = pytest.mark.django_db(databases="__all__")

ITEM = Item._meta.db_table
USER = User._meta.db_table


def only_on(*vendors: str) -> pytest.MarkDecorator:
    from tests import databases

    return pytest.mark.skipif(databases.chosen() not in vendors, reason=f"says something about {', '.join(vendors)}")


def execute(sql: str, params: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.fixture
def items() -> list[Item]:
    return Item.objects.bulk_create([Item(name=f"item {n}") for n in range(10)])


def test_inserted_updated_and_deleted_rows_are_counted_by_table(items: list[Item]) -> None:
    with ChangeCounter("default") as counter:
        User.objects.create(email="ana@example.org")
        User.objects.bulk_create([User(email=f"{n}@example.org") for n in range(5)])
        User.objects.filter(email__startswith="1").update(migrated=True)
        Item.objects.filter(name__in=["item 1", "item 2"]).update(amount=F("amount") + 1)
        Item.objects.filter(name="item 3").delete()
    assert counter.changes() == [TableChange(ITEM, 0, 2, 1), TableChange(USER, 6, 1, 0)]
    assert counter.total == 10


def test_what_is_only_read_is_no_change(items: list[Item]) -> None:
    with ChangeCounter("default") as counter:
        list(Item.objects.all())
        list(Item.objects.all().iterator(chunk_size=2))
        Item.objects.filter(name="nobody").update(amount=1)
        Item.objects.count()
    assert counter.changes() == []
    assert counter.total == 0


def test_the_last_statement_counts_too() -> None:
    with ChangeCounter("default") as counter:
        Item.objects.create(name="the last")
    assert counter.changes() == [TableChange(ITEM, 1, 0, 0)]


def test_counts_can_be_read_while_it_runs() -> None:
    with ChangeCounter("default") as counter:
        Item.objects.create(name="one")
        assert counter.total == 1
        Item.objects.create(name="two")
        assert counter.total == 2
    assert counter.total == 2


def test_executemany_is_counted(items: list[Item]) -> None:
    with ChangeCounter("default") as counter, connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {ITEM} SET amount = %s WHERE id = %s", [[5, item.pk] for item in items[:7]])
    assert counter.changes() == [TableChange(ITEM, 0, 7, 0)]


def test_bulk_update_and_cascades_of_the_orm_are_counted(items: list[Item]) -> None:
    owner = User.objects.create(email="o@example.org")
    with ChangeCounter("default") as counter:
        for item in items:
            item.owner = owner
        Item.objects.bulk_update(items, ["owner"], batch_size=4)
        owner.delete()
    assert counter.changes() == [TableChange(ITEM, 0, 10, 10), TableChange(USER, 0, 0, 1)]


def test_insert_from_select_is_counted(items: list[Item]) -> None:
    with ChangeCounter("default") as counter:
        execute(f"INSERT INTO {USER} (email, needs_migration, migrated) SELECT name, %s, %s FROM {ITEM}", [True, False])
    assert counter.changes() == [TableChange(USER, 10, 0, 0)]


def test_a_with_clause_is_read_past(items: list[Item]) -> None:
    with ChangeCounter("default") as counter:
        if connection.vendor == "mysql":
            # MariaDB has WITH only before SELECT.
            execute(f"UPDATE /* why */ {ITEM} SET amount = 3 WHERE name = 'item 1'")
        else:
            execute(
                f"WITH chosen AS (SELECT id FROM {ITEM} WHERE name = 'item 1') "
                f"UPDATE {ITEM} SET amount = 3 WHERE id IN (SELECT id FROM chosen)"
            )
    assert counter.changes() == [TableChange(ITEM, 0, 1, 0)]


def test_a_statement_that_failed_changed_nothing(items: list[Item]) -> None:
    with ChangeCounter("default") as counter, pytest.raises(IntegrityError), transaction.atomic():
        Item.objects.create(name="item 1")
    assert counter.changes() == []


def test_what_a_savepoint_undid_is_not_counted(items: list[Item]) -> None:
    with ChangeCounter("default") as counter:
        Item.objects.create(name="kept")
        with transaction.atomic():
            Item.objects.create(name="kept too")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Item.objects.all().delete()
            with transaction.atomic():
                User.objects.create()
            raise ZeroDivisionError
        User.objects.create()
    assert counter.changes() == [TableChange(ITEM, 2, 0, 0), TableChange(USER, 1, 0, 0)]


def test_our_own_tables_are_left_out() -> None:
    with ChangeCounter("default") as counter:
        LedgerEvent.objects.create(name="x", event="applied", at=timezone.now(), door="code")
        Item.objects.create(name="mine")
    assert counter.changes() == [TableChange(ITEM, 1, 0, 0)]


def test_another_database_is_another_counter() -> None:
    with ChangeCounter("default") as here, ChangeCounter("other") as there:
        Item.objects.using("other").create(name="there")
    assert here.changes() == []
    assert there.changes() == [TableChange(ITEM, 1, 0, 0)]


def test_the_connection_is_left_as_it_was() -> None:
    before = list(connection.execute_wrappers)
    with pytest.raises(ZeroDivisionError), ChangeCounter("default"):
        raise ZeroDivisionError
    assert connection.execute_wrappers == before


def test_it_counts_around_wrappers_that_rewrite_the_statement(items: list[Item]) -> None:
    def rewrite(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return run(f"/* seen */ {sql}", params, many, context)

    with connection.execute_wrapper(rewrite), ChangeCounter("default") as counter:
        Item.objects.filter(name="item 1").update(amount=9)
    assert counter.changes() == [TableChange(ITEM, 0, 1, 0)]


def test_an_upsert_counts_the_rows_it_wrote(items: list[Item]) -> None:
    rows = [Item(name="item 1", amount=7), Item(name="item 2", amount=8), Item(name="new", amount=9)]
    unique = None if connection.vendor == "mysql" else ["name"]
    with ChangeCounter("default") as counter:
        Item.objects.bulk_create(rows, update_conflicts=True, update_fields=["amount"], unique_fields=unique)
    assert counter.total == 3


@only_on("mariadb")
def test_an_upserted_row_is_counted_once(items: list[Item]) -> None:
    change = "ON DUPLICATE KEY UPDATE amount = VALUES(amount)"
    sql = f"INSERT INTO {ITEM} (name, amount) VALUES (%s, %s) {change}"
    with ChangeCounter("default") as counter, connection.cursor() as cursor:
        cursor.execute(sql, ["item 1", 3])
        cursor.executemany(sql, [["item 2", 3], ["more", 4]])
        cursor.execute(f"INSERT INTO {ITEM} (name, amount) VALUES ('item 3', 1), ('most', 2) {change}")
    assert counter.changes() == [TableChange(ITEM, 2, 3, 0)]


@only_on("sqlite")
def test_a_returning_that_nobody_fetched_to_its_end_is_counted(items: list[Item]) -> None:
    with ChangeCounter("default") as counter, connection.cursor() as cursor:
        cursor.execute(f"UPDATE {ITEM} SET amount = 1 RETURNING id")
        assert cursor.fetchone()
    execute(f"DELETE FROM {ITEM}")
    assert counter.changes() == [TableChange(ITEM, 0, 10, 0)]


@only_on("postgresql")
def test_a_truncate_is_noted(items: list[Item]) -> None:
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    with ChangeCounter("default") as counter:
        execute(f"TRUNCATE {ITEM}")
    assert counter.changes() == [TableChange(f"{ITEM} (emptied by TRUNCATE, rows not counted)")]
    Item.objects.bulk_create(items)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    with ChangeCounter("default", exact=True) as counter:
        execute(f"TRUNCATE {ITEM}")
        Item.objects.create(name="after")
    assert counter.changes() == [
        TableChange(ITEM, 1, 0, 0),
        TableChange(f"{ITEM} (emptied by TRUNCATE)", 0, 0, 10),
    ]


@pytest.fixture
def trigger() -> Iterator[None]:
    """A trigger that writes a user for each new item."""
    execute(
        f"""
        CREATE FUNCTION tests_note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO {USER} (email, needs_migration, migrated) VALUES (NEW.name, true, false);
            RETURN NEW;
        END $$;
        CREATE TRIGGER tests_note AFTER INSERT ON {ITEM} FOR EACH ROW EXECUTE FUNCTION tests_note();
        """
    )
    yield
    execute(f"DROP TRIGGER tests_note ON {ITEM}; DROP FUNCTION tests_note()")


@only_on("postgresql")
def test_exact_counts_see_what_triggers_and_copy_do(trigger: None, items: list[Item]) -> None:
    with ChangeCounter("default", exact=True) as counter:
        Item.objects.create(name="one more")
        with connection.cursor() as cursor, cursor.copy(f"COPY {ITEM} (name, amount) FROM STDIN") as copy:
            copy.write_row(["copied", 1])
    assert counter.changes() == [TableChange(ITEM, 2, 0, 0), TableChange(USER, 2, 0, 0)]


@only_on("postgresql")
def test_exact_counts_do_not_count_what_a_savepoint_undid(trigger: None, items: list[Item]) -> None:
    with ChangeCounter("default", exact=True) as counter:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Item.objects.all().delete()
            raise ZeroDivisionError
        Item.objects.create(name="one more")
    assert counter.changes() == [TableChange(ITEM, 1, 0, 0), TableChange(USER, 1, 0, 0)]


@only_on("postgresql")
def test_exact_counts_count_no_statement_that_was_before(items: list[Item]) -> None:
    with ChangeCounter("default", exact=True) as counter:
        Item.objects.filter(name="item 1").update(amount=2)
    assert counter.changes() == [TableChange(ITEM, 0, 1, 0)]


def test_counting_costs_little() -> None:
    """A statement's overhead is microseconds: the reading of its text is remembered."""
    import timeit

    counter = ChangeCounter("default")
    with connections["default"].cursor() as cursor:
        context = {"connection": connection, "cursor": cursor}
        sql = f"UPDATE {ITEM} SET amount = amount + 1 WHERE name = %s AND amount > %s"
        seconds = min(
            timeit.repeat(lambda: counter._count(lambda *_: None, sql, (), False, context), number=2000, repeat=5)
        )
    assert seconds / 2000 < 0.0001
