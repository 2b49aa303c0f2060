"""What is read from an SQL statement."""

# ruff: noqa: S608

from __future__ import annotations

import pytest

from data_migrations.statements import read


@pytest.mark.parametrize(
    ("sql", "verb", "table"),
    [
        ("INSERT INTO shop_order (a) VALUES (%s)", "INSERT", "shop_order"),
        ('  insert into "shop_order" ("a") values (%s)', "INSERT", "shop_order"),
        ("INSERT INTO `shop_order` (`a`) VALUES (%s)", "INSERT", "shop_order"),
        ('INSERT INTO "archive"."shop order" VALUES (1)', "INSERT", "archive.shop order"),
        ('INSERT INTO "a ""quoted"" name" VALUES (1)', "INSERT", 'a "quoted" name'),
        ("INSERT OR REPLACE INTO t VALUES (1)", "INSERT", "t"),
        ("INSERT IGNORE INTO t VALUES (1)", "INSERT", "t"),
        ("REPLACE INTO t VALUES (1)", "REPLACE", "t"),
        ("UPDATE t SET a = 'DELETE FROM u; COMMIT'", "UPDATE", "t"),
        ("UPDATE ONLY public.t SET a = 1", "UPDATE", "public.t"),
        ("DELETE FROM t", "DELETE", "t"),
        ("DELETE FROM ONLY t WHERE a", "DELETE", "t"),
        ("DELETE `t` FROM `t` INNER JOIN `u`", "DELETE", "t"),
        ("/* who */ -- why\n UPDATE /*+ hint */ t SET a = 1", "UPDATE", "t"),
        ("TRUNCATE t", "TRUNCATE", "t"),
        ('TRUNCATE TABLE ONLY "t" CASCADE', "TRUNCATE", "t"),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", "MERGE", "t"),
        ("COPY t (a) FROM STDIN", "COPY", "t"),
        ("WITH a AS (SELECT 1), b AS (SELECT ')') INSERT INTO t SELECT * FROM a", "INSERT", "t"),
        ("WITH RECURSIVE a(n) AS (SELECT 1) UPDATE t SET a = 1", "UPDATE", "t"),
        ("WITH gone AS (DELETE FROM u RETURNING *) INSERT INTO t SELECT * FROM gone", "INSERT", "t"),
        ("SELECT update, delete FROM t", "SELECT", ""),
        ("SET autocommit = 1", "SET", ""),
    ],
)
def test_the_verb_and_the_table_are_read(sql: str, verb: str, table: str) -> None:
    (statement,) = read(sql, "sqlite")
    assert (statement.verb, statement.table) == (verb, table)


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("SELECT 1", False),
        ("(SELECT 1) UNION (SELECT 2)", False),
        ("WITH a AS (SELECT 1) SELECT * FROM a", False),
        ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", True),
        ("EXPLAIN DELETE FROM t", False),
        ("EXPLAIN (ANALYZE) DELETE FROM t", True),
        ("COPY t TO STDOUT", False),
        ("PRAGMA foreign_keys", False),
        ("SAVEPOINT s1", False),
        ("ROLLBACK TO SAVEPOINT s1", False),
        ("ROLLBACK", True),
        ("CREATE TABLE t (a int)", True),
        ("CALL p()", True),
        ("", False),
        ("-- nothing", False),
        ("?", True),
    ],
)
def test_what_is_not_known_to_read_counts_as_a_write(sql: str, writes: bool) -> None:
    (statement,) = read(sql, "postgresql")
    assert statement.writes is writes


def test_several_statements_in_one_text_are_all_read() -> None:
    sql = "SELECT set_config('x', 'a;b', true); UPDATE t SET a = ';' WHERE b = $$;$$; COMMIT;"
    assert [statement.verb for statement in read(sql, "postgresql")] == ["SELECT", "UPDATE", "COMMIT"]


def test_a_name_may_hold_a_semicolon() -> None:
    assert [statement.table for statement in read('DELETE FROM "a;b"', "sqlite")] == ["a;b"]


def test_a_backslash_escapes_a_quote_on_mysql_only() -> None:
    sql = r"UPDATE t SET a = 'it\'; COMMIT; --'"
    assert [statement.verb for statement in read(sql, "mysql")] == ["UPDATE"]
    assert [statement.verb for statement in read(r"UPDATE t SET a = '\'; COMMIT", "sqlite")] == ["UPDATE", "COMMIT"]


def test_a_comment_that_mysql_executes_is_read() -> None:
    assert [statement.verb for statement in read("/*!50000 DROP TABLE t */", "mysql")] == ["DROP"]


def test_bytes_are_read() -> None:
    assert read(b"DELETE FROM t", "postgresql")[0].table == "t"


def test_a_savepoint_keeps_the_case_of_its_name() -> None:
    assert read('ROLLBACK TO SAVEPOINT "sX1"', "postgresql")[0].savepoint == "sX1"
    assert read("RELEASE SAVEPOINT `sX1`", "mysql")[0].savepoint == "sX1"
    assert read("SAVEPOINT sX1", "sqlite")[0].savepoint == "sX1"


def test_a_bulk_write_is_read_without_its_placeholders() -> None:
    sql = "INSERT INTO t (a) VALUES " + ", ".join(["(%s)"] * 20_000) + " RETURNING id"
    (statement,) = read(sql, "sqlite")
    assert (statement.verb, statement.table, statement.returning) == ("INSERT", "t", True)
