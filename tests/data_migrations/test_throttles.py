"""What the database says against the next batch: provoked for real wherever that can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

from data_migrations import executor, throttles
from data_migrations.exceptions import StoppedEarly
from data_migrations.stopping import StopFlag
from data_migrations.throttles import Throttle
from tests.data_migrations.factories import ItemFactory
from tests.testapp.management.commands.batch_increment import Command
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL only")
on_mariadb = pytest.mark.skipif("connection.vendor != 'mysql'", reason="MariaDB only")

OFF = dict.fromkeys(
    ["replication_lag", "blocked_sessions", "oldest_transaction", "vacuum", "threads_running"],
)
TABLE = Item._meta.db_table


@pytest.fixture
def ask(settings, listener) -> Callable[..., str]:
    """Ask the database with these limits and no others."""

    def ask(**limits) -> str:
        settings.DATA_MIGRATIONS = {"THROTTLE": {**OFF, **limits}}
        return Throttle(Command(), "default", listener, TABLE).reason()

    return ask


def warnings(listener) -> list[str]:
    return [text for level, text in listener.of("message") if level == "warning"]


@contextmanager
def another_session() -> Iterator[BaseDatabaseWrapper]:
    """A second connection to the same database."""
    other = connections[DEFAULT_DB_ALIAS].copy()
    try:
        other.connect()
        yield other
    finally:
        other.close()


def execute(sql, params=None, on=connection):
    with on.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else None


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return found


@contextmanager
def in_a_session_of_its_own(*statements: str) -> Iterator[None]:
    """Execute statements one after the other in another thread, until the block ends."""
    other = connections[DEFAULT_DB_ALIAS].copy()
    other.inc_thread_sharing()

    def work():
        try:
            for statement in statements:
                execute(statement, on=other)
        except OperationalError:
            pass  # cancelled below

    other.connect()
    if connection.vendor == "postgresql":
        (pid,) = execute("SELECT pg_backend_pid()", on=other)[0]
        end = "SELECT pg_cancel_backend(%s)"
    else:
        (pid,) = execute("SELECT CONNECTION_ID()", on=other)[0]
        end = "KILL QUERY %s"
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        while thread.is_alive():
            execute(end, [pid])
            thread.join(0.1)
        other.close()


# All databases.


def test_on_a_quiet_database_the_defaults_keep_nobody_waiting(settings, listener):
    settings.DATA_MIGRATIONS = {}
    assert Throttle(Command(), "default", listener, TABLE).reason() == ""
    assert listener.told == []


def test_the_database_is_asked_once_a_second(listener, monkeypatch):
    asked: list[Any] = []
    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: {"replication_lag": asked.append}})
    throttle = Throttle(Command(), "default", listener)
    for _ in range(100):
        throttle.reason()
    assert len(asked) == 1
    monkeypatch.setattr(throttles, "SECONDS", 0)
    throttle.reason()
    assert len(asked) == 2


def test_inside_a_transaction_the_database_is_not_asked(listener, monkeypatch):
    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: {"replication_lag": lambda question: "no"}})
    with transaction.atomic():
        assert Throttle(Command(), "default", listener).reason() == ""
    assert Throttle(Command(), "default", listener).reason() == "no"


def test_sqlite_is_asked_nothing(listener, django_assert_num_queries):
    if connection.vendor == "sqlite":
        with django_assert_num_queries(0):
            assert Throttle(Command(), "default", listener, TABLE).reason() == ""


def test_a_question_that_fails_breaks_nothing_and_is_passed_over(amounts, listener, monkeypatch, settings):
    ItemFactory.create_batch(20)
    settings.DATA_MIGRATIONS = {"THROTTLE": {"replication_lag": 5}}
    monkeypatch.setattr(throttles, "SECONDS", 0)
    broken = {"replication_lag": lambda question: question.rows("SELECT * FROM nowhere_at_all")}
    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: broken})
    executor.run_command("batch_increment", reporters=[listener])
    assert amounts() == [1] * 20
    (warning,) = warnings(listener)
    assert warning.startswith("replication lag cannot be read: ")
    assert "nowhere_at_all" in warning
    assert warning.endswith("Going on without it.")


def test_where_nobody_asked_for_it_an_unreadable_indicator_is_told_at_debug_level(listener, monkeypatch, settings):
    settings.DATA_MIGRATIONS = {}

    def unreadable(question):
        raise throttles.Unreadable("no privilege")

    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: {"replication_lag": unreadable}})
    assert Throttle(Command(), "default", listener).reason() == ""
    assert warnings(listener) == []
    assert "cannot be read: no privilege" in listener.text("logging:DEBUG")


def test_an_unreadable_indicator_stops_where_the_settings_say_so(ask, monkeypatch):
    def unreadable(question):
        raise throttles.Unreadable("no privilege")

    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: {"replication_lag": unreadable}})
    assert ask(replication_lag=5, unreadable="stop") == (
        'replication lag cannot be read: no privilege. DATA_MIGRATIONS["THROTTLE"]["unreadable"] says to stop then'
    )


def test_a_reason_whose_numbers_change_is_told_once(listener, monkeypatch, settings):
    settings.DATA_MIGRATIONS = {"THROTTLE_SECONDS": 0.001}
    monkeypatch.setattr(throttles, "SECONDS", 0)
    lags = iter(
        ["replication lag of a is 12.3 s", "replication lag of a is 11 s", "7 sessions wait", "6 sessions wait"]
    )
    asked = {"replication_lag": lambda question: next(lags, "")}
    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: asked})
    Throttle(Command(), "default", listener).wait(StopFlag())
    assert [text for _, text in listener.of("message")] == [
        "Waiting: replication lag of a is 12.3 s",
        "Waiting: 7 sessions wait",
        "Going on.",
    ]


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no connection to lose")
def test_a_lost_connection_is_left_to_the_next_batch(listener, monkeypatch):
    def lost(question):
        connection.ensure_connection()
        connection.connection.close()
        question.rows("SELECT 1")

    monkeypatch.setattr(throttles, "INDICATORS", {connection.vendor: {"replication_lag": lost}})
    assert Throttle(Command(), "default", listener).reason() == ""
    assert warnings(listener) == []
    assert execute("SELECT 1")[0][0] == 1


# PostgreSQL.


@on_postgresql
def test_an_old_transaction(ask):
    with another_session() as other:
        execute("BEGIN; SELECT txid_current()", on=other)
        time.sleep(0.25)
        reason = ask(oldest_transaction=0.2)
        (pid,) = execute("SELECT pg_backend_pid()", on=other)[0]
        assert reason.startswith(
            f"the oldest transaction (process {pid} of postgres, idle in transaction) is open for 0."
        )
        assert reason.endswith(" s, limit 0.2 s")
        assert ask(oldest_transaction=60) == ""
        assert ask() == ""
        execute("ROLLBACK", on=other)
        assert ask(oldest_transaction=0.2) == ""


@on_postgresql
@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_run_waits_until_an_old_transaction_has_ended_or_somebody_stops_it(
    amounts, listener, settings, monkeypatch, is_stopped
):
    settings.DATA_MIGRATIONS = {"THROTTLE_SECONDS": 0.05, "THROTTLE": {**OFF, "oldest_transaction": 0.2}}
    monkeypatch.setattr(throttles, "SECONDS", 0.05)
    ItemFactory.create_batch(20)
    stop = StopFlag()
    with another_session() as other:
        execute("BEGIN; SELECT txid_current()", on=other)
        time.sleep(0.25)
        timer = threading.Timer(0.5, lambda: stop.request("pause") if is_stopped else other.connection.rollback())
        timer.start()
        if is_stopped:
            with pytest.raises(StoppedEarly, match="was stopped"):
                executor.run_command("batch_increment", reporters=[listener], stop=stop)
            assert amounts() == [0] * 20
        else:
            executor.run_command("batch_increment", reporters=[listener])
            assert amounts() == [1] * 20
        timer.join()
    told = [text for _, text in listener.of("message")]
    assert sum(text.startswith("Waiting: the oldest transaction (process ") for text in told) == 1
    assert ("Going on." in told) is not is_stopped


@on_postgresql
def test_sessions_that_wait_for_a_lock(ask):
    with another_session() as holder:
        execute(f"BEGIN; LOCK TABLE {TABLE}", on=holder)
        (pid,) = execute("SELECT pg_backend_pid()", on=holder)[0]
        with in_a_session_of_its_own(f"TABLE {TABLE}"):
            reason = until(lambda: ask(blocked_sessions=0))
            assert reason.startswith("1 sessions wait for a lock (process ")
            assert reason.endswith(f" for {pid}), limit 0")
            assert ask(blocked_sessions=1) == ""
        execute("ROLLBACK", on=holder)
    assert ask(blocked_sessions=0) == ""


@on_postgresql
def test_sessions_that_wait_for_a_row(ask):
    ItemFactory()
    with another_session() as holder:
        execute(f"BEGIN; SELECT 1 FROM {TABLE} FOR UPDATE", on=holder)  # noqa: S608
        with in_a_session_of_its_own(f"SELECT 1 FROM {TABLE} FOR UPDATE"):  # noqa: S608
            assert "sessions wait for a lock" in until(lambda: ask(blocked_sessions=0))
        execute("ROLLBACK", on=holder)


@on_postgresql
def test_who_waits_for_an_advisory_lock_does_not_count(ask):
    with another_session() as holder:
        execute("SELECT pg_advisory_lock(77)", on=holder)
        with in_a_session_of_its_own("SELECT pg_advisory_lock(77)"):
            until(lambda: execute("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"))
            assert ask(blocked_sessions=0) == ""


@on_postgresql
def test_a_vacuum_of_the_table(ask, listener, settings):
    ItemFactory.create_batch(300)
    assert ask(vacuum=True) == ""
    slow = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1; SET vacuum_cost_page_dirty = 10000"
    Item.objects.all().delete()
    with in_a_session_of_its_own(slow, f"VACUUM {TABLE}"):
        reason = until(lambda: ask(vacuum=True))
        assert reason.startswith(f"{TABLE} is being vacuumed (process ")
        assert reason.endswith(" % scanned)")
        assert ask(vacuum=None) == ""
        # Of another table it is none of our business; batches of no table ask nothing.
        settings.DATA_MIGRATIONS = {"THROTTLE": {**OFF, "vacuum": True}}
        assert Throttle(Command(), "default", listener, "testapp_user").reason() == ""
        assert Throttle(Command(), "default", listener, None).reason() == ""


@on_postgresql
def test_the_lag_of_a_standby(ask):
    with standby("replica-1") as reply:
        assert ask(replication_lag=0.2) == ""
        ItemFactory()
        time.sleep(0.1)
        (now,) = execute("SELECT pg_current_wal_flush_lsn()::text")[0]
        time.sleep(0.3)
        # What the primary sent by then is replayed only now.
        reply(now)
        reason = until(lambda: ask(replication_lag=0.2))
        assert reason.startswith("replication lag of replica-1 is 0.")
        assert reason.endswith(" s, limit 0.2 s")
        assert ask(replication_lag=10) == ""


@contextmanager
def standby(name: str) -> Iterator[Callable[[str], None]]:
    """A standby that receives at once and replays up to where it is told, for a real primary."""
    import struct

    from psycopg import pq

    parameters = connection.get_connection_params()
    info = {"host": parameters["host"], "port": parameters["port"], "user": parameters["user"]}
    options = {**info, "dbname": "postgres", "replication": "database", "application_name": name}
    session = pq.PGconn.connect(" ".join(f"{key}={value}" for key, value in options.items() if value).encode())
    assert session.status == pq.ConnStatus.OK, session.error_message
    at = execute("SELECT pg_current_wal_flush_lsn()::text")[0][0]
    result = session.exec_(f"START_REPLICATION {at}".encode())
    assert result.status == pq.ExecStatus.COPY_BOTH, session.error_message

    def lsn(text: str) -> int:
        high, low = text.split("/")
        return (int(high, 16) << 32) + int(low, 16)

    def reply(applied: str) -> None:
        received = lsn(execute("SELECT pg_current_wal_flush_lsn()::text")[0][0])
        session.put_copy_data(struct.pack("!cQQQqb", b"r", received, received, lsn(applied), 0, 0))
        session.flush()

    try:
        reply(at)
        until(lambda: execute("SELECT 1 FROM pg_stat_replication WHERE application_name = %s", [name]))
        yield reply
    finally:
        session.finish()


@contextmanager
def as_an_ordinary_role() -> Iterator[None]:
    """Go on as a role that may see its own sessions only."""
    execute("DROP ROLE IF EXISTS dm_ordinary")
    execute("CREATE ROLE dm_ordinary")
    execute("SET ROLE dm_ordinary")
    try:
        yield
    finally:
        execute("RESET ROLE")
        execute("DROP ROLE dm_ordinary")


@on_postgresql
def test_what_an_ordinary_role_may_not_see_is_unreadable(ask, listener):
    ItemFactory.create_batch(300)
    Item.objects.all().delete()
    slow = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1; SET vacuum_cost_page_dirty = 10000"
    with (
        another_session() as other,
        in_a_session_of_its_own(slow, f"VACUUM {TABLE}"),
        standby("replica-1"),
    ):
        execute("BEGIN; SELECT txid_current()", on=other)
        until(lambda: ask(vacuum=True))
        with as_an_ordinary_role():
            for key in ("replication_lag", "oldest_transaction", "vacuum"):
                words = f"{key.replace('_', ' ')} cannot be read: the database role may not see it; grant it pg_monitor"
                assert ask(**{key: 0}) == ""
                assert warnings(listener)[-1] == f"{words}. Going on without it."
                assert ask(**{key: 0}, unreadable="stop").startswith(words)
            # Who waits for whom everybody may see.
            assert ask(blocked_sessions=0, unreadable="stop") == ""
        execute("ROLLBACK", on=other)


@on_postgresql
def test_replicas_named_in_the_settings_are_asked_themselves(ask, monkeypatch):
    # That the other one is a replica cannot be provoked without a second server.
    original = throttles.Question.rows
    monkeypatch.setattr(
        throttles.Question,
        "rows",
        lambda self, sql, params=(), using=None: [{"lag": 33.25}] if using else original(self, sql, params),
    )
    assert ask(replication_lag=10, replicas=["other"]) == "replication lag of other is 33.2 s, limit 10 s"


@on_postgresql
def test_a_named_replica_that_is_none_is_not_behind(ask):
    assert ask(replication_lag=0, replicas=["other"], unreadable="stop") == ""


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no replicas")
def test_a_replica_that_does_not_answer_is_unreadable(ask, monkeypatch):
    original = throttles.Question.rows

    def rows(self, sql, params=(), using=None):
        if using == "other":
            raise OperationalError(2003, "connection refused")
        return original(self, sql, params)

    monkeypatch.setattr(throttles.Question, "rows", rows)
    reason = ask(replication_lag=10, replicas=["other"], unreadable="stop")
    assert reason.startswith("replication lag cannot be read: other does not answer: ")


# MariaDB.


@on_mariadb
def test_threads_that_run(ask):
    assert ask(threads_running=1000) == ""
    with in_a_session_of_its_own("SELECT SLEEP(20)"), in_a_session_of_its_own("SELECT SLEEP(20)"):
        reason = until(lambda: ask(threads_running=1))
        assert "threads are running, limit 1" in reason
        assert int(reason.split()[0]) >= 2


@on_mariadb
def test_a_server_without_replicas_has_no_lag(ask):
    assert ask(replication_lag=0, unreadable="stop") == ""


@on_mariadb
def test_the_lag_of_this_server_behind_its_own_source(ask):
    with replicating_from_nowhere():
        # Its threads do not run, so that the server itself does not know.
        assert "cannot be read: the replication of default does not run" in ask(replication_lag=10, unreadable="stop")
        assert ask(replication_lag=10) == ""


@contextmanager
def replicating_from_nowhere() -> Iterator[None]:
    """A connection to a source, set up and not started."""
    execute("CHANGE MASTER 'dm_test' TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='nobody'")
    try:
        yield
    finally:
        execute("STOP SLAVE 'dm_test'")
        execute("RESET SLAVE 'dm_test' ALL")


@on_mariadb
@pytest.mark.parametrize(
    ("rows", "limits", "reason"),
    [
        ({"ALL SLAVES": [{"Seconds_Behind_Master": 12}]}, {}, "replication lag of default is 12.0 s, limit 10 s"),
        ({"ALL SLAVES": [{"Seconds_Behind_Master": 3}]}, {}, ""),
        ({"HOSTS": [{"Server_id": 2}, {"Server_id": 3}]}, {}, "this server has 2 of them and does not know their lag"),
        (
            {"other": [{"Seconds_Behind_Master": 40}], "HOSTS": [{"Server_id": 2}]},
            {"replicas": ["other"]},
            "replication lag of other is 40.0 s, limit 10 s",
        ),
        ({"other": [], "HOSTS": [{"Server_id": 2}]}, {"replicas": ["other"]}, ""),
    ],
)
def test_the_lag_of_replicas(ask, monkeypatch, rows, limits, reason):
    # A replica that lags cannot be provoked with one server.
    def answer(self, sql, params=(), using=None):
        for key, found in rows.items():
            if key in (sql if using in (None, "default") else using):
                return found
        return []

    monkeypatch.setattr(throttles.Question, "rows", answer)
    told = ask(replication_lag=10, unreadable="stop", **limits)
    assert reason in told
    assert bool(told) is bool(reason)


@on_mariadb
def test_a_user_without_the_privilege_finds_it_unreadable(ask, listener):
    execute("CREATE USER IF NOT EXISTS dm_ordinary@'%'")
    name = connection.settings_dict["NAME"]
    execute(f"GRANT ALL ON `{name}`.* TO dm_ordinary@'%'")
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(USER="dm_ordinary", PASSWORD="")
    try:
        assert ask(replication_lag=10) == ""
        assert "replication lag cannot be read: " in warnings(listener)[0]
        assert "Access denied" in warnings(listener)[0]
        assert ask(threads_running=1000, unreadable="stop") == ""
    finally:
        connection.close()
        connection.settings_dict.update(before)
        execute("DROP USER dm_ordinary@'%'")
