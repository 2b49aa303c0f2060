"""Words of SQL that take something away, told from the same words in comments, texts and names."""

from __future__ import annotations

import pytest

from console import sqlwords


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("DROP TABLE a", ["DROP TABLE"]),
        ("drop\n\ttable a; Drop Index b; DROP TABLE c", ["DROP TABLE", "DROP INDEX"]),
        ("alter table x drop column y", ["DROP COLUMN"]),
        ("ALTER TABLE x DROP y", ["DROP"]),
        ("delete from x where 1 = 1", ["DELETE"]),
        ("WITH gone AS (DELETE FROM x RETURNING *) SELECT 1", ["DELETE"]),
        ("TRUNCATE x", ["TRUNCATE"]),
        ("DO $$ BEGIN DELETE FROM x; TRUNCATE y; END $$;", ["DELETE", "TRUNCATE"]),
    ],
)
def test_what_takes_something_away_is_found(sql: str, found: list[str]) -> None:
    assert sqlwords.taken_away(sql) == found


@pytest.mark.parametrize(
    "sql",
    [
        "-- DROP TABLE a\nSELECT 1",
        "/* DELETE FROM a */ SELECT 1",
        "SELECT 'it''s; DROP TABLE a'",
        'SELECT "drop", `truncate` FROM [delete]',
        "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (x) REFERENCES b ON DELETE CASCADE",
        "CREATE TRIGGER t BEFORE INSERT OR DELETE ON a EXECUTE FUNCTION f()",
        "GRANT SELECT, DELETE ON a TO b",
        "ALTER TABLE a ALTER b DROP NOT NULL",
        "ALTER TABLE a ALTER b DROP DEFAULT",
        "SELECT TRUNCATE(1.25, 1)",
        "CREATE FUNCTION f() RETURNS void AS $$ BEGIN DELETE FROM a; END $$ LANGUAGE plpgsql",
        "UPDATE a SET deleted = 1, truncated = 2, dropped = 3",
        "SELECT $tag$ DROP TABLE a $tag$",
        "",
    ],
)
def test_the_same_words_elsewhere_are_not(sql: str) -> None:
    assert sqlwords.taken_away(sql) == []


@pytest.mark.parametrize(
    ("sql", "locks"),
    [
        ("CREATE INDEX i ON t (a)", True),
        ("CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a)", True),
        ("create index concurrently i on t (a)", False),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", False),
        ("DROP INDEX i", False),
        ("SELECT 'CREATE INDEX i'", False),
    ],
)
def test_an_index_that_locks_its_table_is_found(sql: str, locks: bool) -> None:
    assert sqlwords.locking_indexes(sql) is locks
