"""A dry run changes nothing, whatever its body does."""

# ruff: noqa: S608

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import mail
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from data_migrations.dryrun import DryRunNotUndone, DryRunRefused, undone
from data_migrations.exceptions import DataMigrationError
from data_migrations.reporting import TableChange
from tests import databases
from tests.testapp.models import Item, User

# Real transactions, so that what a dry run commits by mistake is there afterwards.
pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

ITEM = Item._meta.db_table
USER = User._meta.db_table


def only_on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(databases.chosen() not in kinds, reason=f"says something about {', '.join(kinds)}")


def execute(sql: str, params: Any = None, using: str = "default") -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)


@pytest.fixture(params=["alone", "inside transactions"])
def surroundings(request: pytest.FixtureRequest) -> Iterator[None]:
    """A dry run has a transaction of its own, or a savepoint in one that was there, as in a Django migration."""
    if request.param == "alone":
        yield
    else:
        with transaction.atomic(), transaction.atomic(using="other"):
            yield


@pytest.fixture(autouse=True)
def everything_as_before(settings: Any) -> Iterator[None]:
    """After each test: the rows of before, and connections that work as before."""
    # Django 6.1 wants it; 5.2 does not know it.
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    Item.objects.bulk_create([Item(name=f"item {n}") for n in range(5)])
    Item.objects.using("other").create(name="there")
    start = threading.Thread.start
    before = {alias: list(connections[alias].execute_wrappers) for alias in connections}
    yield
    assert [item.amount for item in Item.objects.all()] == [0] * 5
    assert [item.amount for item in Item.objects.using("other")] == [0]
    assert threading.Thread.start is start
    for alias in connections:
        left = connections[alias]
        assert left.execute_wrappers == before[alias]
        assert not left.in_atomic_block
        assert left.get_autocommit()
        assert "get_autocommit" not in vars(left)
        assert "on_commit" not in vars(left)


def test_what_is_written_is_undone_and_counted(surroundings: None) -> None:
    with undone("default") as run:
        Item.objects.update(amount=1)
        Item.objects.filter(name="item 1").delete()
        User.objects.create(email="new@example.org")
        assert Item.objects.count() == 4
    assert Item.objects.count() == 5
    assert run.changes == [TableChange(ITEM, 0, 5, 1), TableChange(USER, 1, 0, 0)]


def test_what_is_written_before_an_error_is_undone(surroundings: None) -> None:
    with pytest.raises(ZeroDivisionError), undone("default"):
        Item.objects.update(amount=1)
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_written_before_an_interruption_is_undone(error: type[BaseException]) -> None:
    with pytest.raises(error), undone("default"):
        Item.objects.update(amount=1)
        raise error


def test_an_error_of_the_database_is_undone_too(surroundings: None) -> None:
    with pytest.raises(IntegrityError), undone("default"):
        Item.objects.update(amount=1)
        Item.objects.create(name="item 1")


def test_a_broken_transaction_is_undone_without_an_error(surroundings: None) -> None:
    with undone("default"):
        Item.objects.update(amount=1)
        with pytest.raises(IntegrityError), transaction.atomic(savepoint=False):
            Item.objects.create(name="item 1")


def test_nested_atomic_blocks_are_undone(surroundings: None) -> None:
    with undone("default") as run, transaction.atomic():
        Item.objects.update(amount=1)
        with transaction.atomic():
            Item.objects.filter(name="item 1").update(amount=2)
    assert run.changes == [TableChange(ITEM, 0, 6, 0)]


def test_an_atomic_block_that_is_never_left_is_undone() -> None:
    with undone("default"):
        transaction.atomic().__enter__()
        Item.objects.update(amount=1)


def test_callbacks_on_commit_do_not_run(surroundings: None) -> None:
    ran: list[str] = []
    with undone("default"):
        transaction.on_commit(lambda: ran.append("default"))
        with transaction.atomic():
            transaction.on_commit(lambda: ran.append("nested"))
        transaction.on_commit(lambda: ran.append("other"), using="other")
    assert ran == []


def test_callbacks_that_were_there_before_still_run() -> None:
    ran: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("before"))
        with undone("default"):
            transaction.on_commit(lambda: ran.append("within"))
    assert ran == ["before"]


def test_emails_are_held_and_counted(surroundings: None) -> None:
    with undone("default") as run:
        mail.send_mail("Subject", "Text", "from@example.org", ["to@example.org"])
    assert mail.outbox == []
    assert run.emails_held == 1


def test_results_are_there_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), undone("default") as run:
        Item.objects.update(amount=1)
        mail.send_mail("Subject", "Text", "from@example.org", ["to@example.org"])
        raise ZeroDivisionError
    assert run.changes == [TableChange(ITEM, 0, 5, 0)]
    assert run.emails_held == 1


# Another database


def test_a_write_to_another_database_is_undone_and_counted(surroundings: None) -> None:
    with undone("default") as run:
        Item.objects.using("other").update(amount=1)
        assert Item.objects.using("other").get().amount == 1
    assert run.changes == [TableChange(f"{ITEM} (database other)", 0, 1, 0)]


def test_a_transaction_of_the_body_on_another_database_is_undone(surroundings: None) -> None:
    with undone("default"):
        with transaction.atomic(using="other"):
            Item.objects.using("other").update(amount=1)
        with transaction.atomic(using="other", durable=True):
            Item.objects.using("other").update(amount=2)
        assert Item.objects.using("other").get().amount == 2


def test_a_body_that_only_reads_another_database_holds_no_lock_there() -> None:
    with undone("default"):
        assert Item.objects.using("other").count() == 1
        if connection.vendor == "sqlite":
            assert not connections["other"].in_atomic_block
        written: list[int] = []

        def somebody_else() -> None:
            written.append(User.objects.using("other").create(email="x").pk)
            connections.close_all()

        thread = threading.Thread(target=somebody_else)
        thread.outside_dry_runs = True  # type: ignore[attr-defined]
        thread.start()
        thread.join(10)
    assert written


def test_an_unused_database_is_not_asked_for_anything() -> None:
    connections["other"].close()
    with undone("default"):
        Item.objects.update(amount=1)
    assert connections["other"].connection is None


def test_manual_transactions_on_another_database_are_undone() -> None:
    with undone("default"):
        transaction.set_autocommit(False, using="other")
        Item.objects.using("other").update(amount=1)
        with pytest.raises(TransactionManagementError):
            transaction.commit(using="other")
    transaction.rollback(using="other")
    transaction.set_autocommit(True, using="other")


# Ways out


@pytest.mark.parametrize(
    "way",
    [
        lambda: transaction.commit(),
        lambda: transaction.rollback(),
        lambda: transaction.set_autocommit(True),
        lambda: connection.set_autocommit(False),
    ],
    ids=["commit", "rollback", "autocommit on", "autocommit off"],
)
def test_django_refuses_to_end_the_transaction(way: Callable[[], None], surroundings: None) -> None:
    with pytest.raises(TransactionManagementError), undone("default"):
        Item.objects.update(amount=1)
        way()


@pytest.mark.parametrize(
    "sql",
    ["COMMIT", "commit;", " /* now */ Commit WORK", "END", "ROLLBACK", "BEGIN", "SELECT 1; COMMIT", "-- done\nCOMMIT"],
)
def test_a_raw_commit_is_refused_before_it_runs(sql: str, surroundings: None) -> None:
    with pytest.raises(DryRunRefused) as refused, undone("default"):
        Item.objects.update(amount=1)
        execute(sql)
    message = str(refused.value)
    assert "refused this statement before it ran" in message
    assert "Nothing was changed" in message
    assert refused.value.returncode == 3
    assert isinstance(refused.value, DataMigrationError)


def test_a_refusal_that_the_body_swallows_still_fails_the_dry_run(surroundings: None) -> None:
    with pytest.raises(DryRunRefused, match="COMMIT"), undone("default"):
        Item.objects.update(amount=1)
        try:
            execute("COMMIT")
        except Exception:
            pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_not_taken_for_a_refusal(error: type[BaseException]) -> None:
    with pytest.raises(error), undone("default"):
        with pytest.raises(DryRunRefused):
            execute("COMMIT")
        raise error


def test_a_raw_commit_on_another_database_is_refused() -> None:
    with pytest.raises(DryRunRefused), undone("default"):
        Item.objects.using("other").update(amount=1)
        execute("COMMIT", using="other")


def test_savepoints_by_hand_are_let_through(surroundings: None) -> None:
    with undone("default") as run:
        Item.objects.update(amount=1)
        execute("SAVEPOINT mine")
        Item.objects.update(amount=2)
        execute("ROLLBACK TO SAVEPOINT mine")
        assert Item.objects.first().amount == 1
        execute("RELEASE SAVEPOINT mine")
    assert run.changes == [TableChange(ITEM, 0, 5, 0)]


def test_a_closed_connection_takes_its_changes_with_it() -> None:
    with pytest.raises((ProgrammingError, InterfaceError, OperationalError)), undone("default"):
        Item.objects.update(amount=1)
        connection.close()
        Item.objects.update(amount=2)


def test_a_connection_that_the_body_closes_last_is_undone() -> None:
    with undone("default"):
        Item.objects.update(amount=1)
        connection.close()
    with undone("default"):
        Item.objects.using("other").update(amount=1)
        connections["other"].close()


def test_a_connection_thrown_away_is_undone() -> None:
    with pytest.raises(DryRunRefused, match="connection of its own"), undone("default"):
        Item.objects.update(amount=1)
        if connection.vendor == "mysql":
            # Else the new connection waits for the locks of the old one even to read.
            Item.objects.using("other").count()
        del connections["default"]
        Item.objects.update(amount=2)


@only_on("sqlite")
@pytest.mark.parametrize(
    "way",
    [
        lambda: connection.connection.commit(),
        lambda: connection.cursor().executescript("UPDATE testapp_item SET amount = 3"),
        lambda: connection.connection.execute("COMMIT"),
    ],
    ids=["driver", "executescript", "driver's cursor"],
)
def test_sqlite_itself_refuses_a_commit_round_the_wrapper(way: Callable[[], None]) -> None:
    with pytest.raises((sqlite3.DatabaseError, DatabaseError), match="not authorized"), undone("default"):
        Item.objects.update(amount=1)
        way()


@only_on("postgresql", "mariadb")
def test_a_commit_by_the_driver_is_found_out_and_said() -> None:
    with pytest.raises(DryRunNotUndone, match="default") as told, undone("default"):
        User.objects.create(email="kept")
        connection.connection.commit()
    assert "Look at the data" in str(told.value)
    assert User.objects.filter(email="kept").exists()
    User.objects.all().delete()


@only_on("postgresql", "mariadb")
def test_a_commit_by_the_driver_is_said_after_an_error_too() -> None:
    with pytest.raises(DryRunNotUndone) as told, undone("default"):
        connection.connection.commit()
        raise ZeroDivisionError
    assert isinstance(told.value.__cause__, ZeroDivisionError)


@only_on("mariadb")
def test_a_procedure_that_commits_is_found_out_and_said() -> None:
    """callproc() goes round Django's wrappers."""
    execute(f"CREATE PROCEDURE dry_run_commits() BEGIN INSERT INTO {USER} VALUES (1, 'kept', 1, 1); COMMIT; END")
    try:
        with pytest.raises(DryRunNotUndone), undone("default"), connection.cursor() as cursor:
            cursor.callproc("dry_run_commits")
    finally:
        execute("DROP PROCEDURE dry_run_commits")
        User.objects.all().delete()


@only_on("postgresql")
def test_a_lost_session_is_no_broken_promise() -> None:
    with pytest.raises(DatabaseError), undone("default"):
        Item.objects.update(amount=1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        execute("SELECT pg_terminate_backend(%s)", [pid], using="other")
        Item.objects.update(amount=2)


@only_on("postgresql")
def test_postgresql_undoes_ddl_and_truncate() -> None:
    with undone("default") as run:
        execute(f"TRUNCATE {ITEM}")
        execute("CREATE TABLE made_by_a_dry_run (a int)")
        execute("INSERT INTO made_by_a_dry_run VALUES (1), (2)")
    assert "made_by_a_dry_run" not in connection.introspection.table_names()
    assert run.changes == [
        TableChange("made_by_a_dry_run", 2, 0, 0),
        TableChange(f"{ITEM} (emptied by TRUNCATE)", 0, 0, 5),
    ]


@only_on("sqlite")
def test_sqlite_undoes_ddl() -> None:
    with undone("default"):
        execute("CREATE TABLE made_by_a_dry_run (a int)")
    assert "made_by_a_dry_run" not in connection.introspection.table_names()


@only_on("mariadb")
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE made_by_a_dry_run (a int)",
        f"ALTER TABLE {ITEM} ADD COLUMN made int",
        f"TRUNCATE {ITEM}",
        f"TRUNCATE TABLE `{ITEM}`",
        f"DROP TABLE {ITEM}",
        f"CREATE INDEX made ON {ITEM} (amount)",
        f"RENAME TABLE {ITEM} TO gone",
        f"OPTIMIZE TABLE {ITEM}",
        f"LOCK TABLES {ITEM} WRITE",
        "SET autocommit = 1",
        "SET @@SESSION.autocommit=ON",
        f"/*!50000 TRUNCATE {ITEM} */",
        "CALL something()",
        "START TRANSACTION",
        "FLUSH TABLES",
    ],
)
def test_mariadb_is_not_allowed_to_commit_by_itself(sql: str, surroundings: None) -> None:
    with pytest.raises(DryRunRefused, match="before it ran"), undone("default"):
        Item.objects.update(amount=1)
        execute(sql)
    assert ITEM in connection.introspection.table_names()


@only_on("mariadb")
def test_the_schema_editor_is_refused_on_mariadb() -> None:
    # Django says it before the dry run does.
    with pytest.raises(TransactionManagementError), undone("default"):
        Item.objects.update(amount=1)
        with connection.schema_editor(atomic=False) as editor:
            editor.remove_field(Item, Item._meta.get_field("amount"))


@only_on("mariadb")
def test_temporary_tables_are_let_through_on_mariadb() -> None:
    with undone("default"):
        Item.objects.update(amount=1)
        execute("CREATE TEMPORARY TABLE scratch (a int)")
        execute("DROP TEMPORARY TABLE scratch")


@only_on("mariadb")
def test_a_table_without_transactions_is_not_written_to() -> None:
    execute("CREATE TABLE plain (a int) ENGINE=MyISAM")
    try:
        with pytest.raises(DryRunRefused, match="no transactions"), undone("default"):
            execute("INSERT INTO plain VALUES (1)")
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM plain")
            assert cursor.fetchone()[0] == 0
    finally:
        execute("DROP TABLE plain")


def test_a_durable_block_fails_as_in_the_real_run(surroundings: None) -> None:
    with pytest.raises(RuntimeError, match="durable"), undone("default"), transaction.atomic(durable=True):
        pass


def test_a_durable_block_passes_where_the_real_run_is_not_atomic(surroundings: None) -> None:
    with undone("default", atomic=False), transaction.atomic(durable=True):
        Item.objects.update(amount=1)


# Threads


def in_thread(function: Callable[[], Any]) -> list[BaseException]:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return errors


@pytest.mark.parametrize("using", ["default", "other"])
def test_a_thread_that_the_body_starts_may_not_write(using: str) -> None:
    with pytest.raises(DryRunRefused, match="connection of its own"), undone("default"):
        in_thread(lambda: Item.objects.using(using).update(amount=1))


def test_a_pool_of_the_body_may_not_write() -> None:
    def write(number: int) -> int:
        try:
            return Item.objects.filter(name=f"item {number}").update(amount=1)
        finally:
            connections.close_all()

    with pytest.raises(DryRunRefused), undone("default"), ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(5)))


def test_a_thread_of_a_thread_may_not_write() -> None:
    with pytest.raises(DryRunRefused), undone("default"):
        in_thread(lambda: in_thread(lambda: Item.objects.update(amount=1)))


def test_a_thread_that_outlives_the_dry_run_may_not_write() -> None:
    over = threading.Event()
    errors: list[BaseException] = []

    def write_later() -> None:
        over.wait(20)
        try:
            Item.objects.update(amount=1)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    with undone("default"):
        thread = threading.Thread(target=write_later)
        thread.start()
    over.set()
    thread.join(20)
    assert isinstance(errors[0], DryRunRefused)


def test_a_thread_may_read() -> None:
    read: list[int] = []
    with undone("default"):
        assert in_thread(lambda: read.append(Item.objects.count())) == []
    assert read == [5]


def test_the_database_itself_keeps_a_thread_from_writing() -> None:
    """Also where the statement does not look like a write."""

    def write() -> None:
        with connection.cursor() as cursor:
            raw: Any = cursor
            while hasattr(raw, "cursor") and connection.vendor != "sqlite":
                raw = raw.cursor
            (raw.cursor if connection.vendor == "sqlite" else raw).execute(f"UPDATE {ITEM} SET amount = 1")

    with undone("default"):
        errors = in_thread(write)
    assert len(errors) == 1
    assert "read" in str(errors[0]).lower()


def test_emails_of_a_thread_that_the_body_starts_are_held() -> None:
    with undone("default") as run:
        in_thread(lambda: mail.send_mail("Subject", "Text", "from@example.org", ["to@example.org"]))
    assert (run.emails_held, mail.outbox) == (1, [])


def test_threads_of_others_write_as_ever() -> None:
    """Threads that ran before, threads that another thread starts, and threads that say they stay outside."""
    ready, done = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def write(name: str) -> None:
        try:
            User.objects.using("other").create(email=name)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    def earlier() -> None:
        ready.wait(20)
        write("earlier")
        later = threading.Thread(target=write, args=["started by another"])
        later.start()
        later.join()
        done.set()

    thread = threading.Thread(target=earlier)
    thread.start()
    with undone("default"):
        Item.objects.update(amount=1)
        ready.set()
        assert done.wait(20)
        outside = threading.Thread(target=write, args=["outside"])
        outside.outside_dry_runs = True  # type: ignore[attr-defined]
        outside.start()
        outside.join(20)
    thread.join(20)
    assert errors == []
    assert sorted(User.objects.using("other").values_list("email", flat=True)) == [
        "earlier",
        "outside",
        "started by another",
    ]


def test_a_library_may_wrap_the_start_of_threads_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped: list[str] = []

    def wrap() -> None:
        start = threading.Thread.start

        def traced(thread: threading.Thread) -> None:
            wrapped.append(thread.name)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", traced)

    with undone("default"):
        wrap()
    with pytest.raises(DryRunRefused), undone("default"):
        in_thread(lambda: Item.objects.update(amount=1))
    assert len(wrapped) == 1
    assert in_thread(lambda: User.objects.using("other").create(email="free")) == []
    monkeypatch.undo()
    with undone("default"):
        pass


def test_a_connection_that_the_body_opens_itself_may_not_write() -> None:
    with pytest.raises(DryRunRefused), undone("default"):
        mine = connections.create_connection("other")
        try:
            with mine.cursor() as cursor:
                cursor.execute(f"UPDATE {ITEM} SET amount = 1")
        finally:
            mine.close()


# Dry runs in dry runs


def test_a_dry_run_in_a_dry_run_is_undone_by_itself() -> None:
    with undone("default") as outer:
        Item.objects.filter(name="item 1").update(amount=1)
        with undone("default") as inner:
            Item.objects.update(amount=2)
            Item.objects.using("other").update(amount=2)
        assert sorted(Item.objects.values_list("amount", flat=True)) == [0, 0, 0, 0, 1]
        assert Item.objects.using("other").get().amount == 0
        with transaction.atomic(using="other"):
            Item.objects.using("other").update(amount=3)
    assert TableChange(ITEM, 0, 5, 0) in inner.changes
    assert TableChange(f"{ITEM} (database other)", 0, 1, 0) in outer.changes


@only_on("sqlite")
def test_a_dry_run_in_a_dry_run_leaves_the_outer_one_guarded() -> None:
    with pytest.raises((sqlite3.DatabaseError, DatabaseError), match="not authorized"), undone("default"):
        with undone("default"):
            Item.objects.update(amount=2)
        connection.connection.commit()


def test_after_a_dry_run_everything_can_be_written_again() -> None:
    with undone("default"):
        Item.objects.update(amount=1)
        Item.objects.using("other").update(amount=1)
    for using in ("default", "other"):
        User.objects.using(using).create(email="after")
        with transaction.atomic(using=using):
            User.objects.using(using).create(email="after")
        assert User.objects.using(using).filter(email="after").count() == 2
