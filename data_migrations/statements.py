"""Reading an SQL statement just far enough to know its verb and the table that it writes to.

This is no parser: it looks at the words that matter to a counter of changes and to a dry run, past comments, quoted
names and ``WITH`` clauses. What it cannot read it reports as an empty verb, which counts as a write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# Longer texts are read anew each time: they are bulk writes that rarely come twice, and a cache would hold them.
_CACHED_UP_TO = 4000
# The table of a bulk write stands at its beginning; its thousands of placeholders need not be looked at.
_HEAD = 1000

_NAME = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[[^\]]+\]|[\w$]+)'
_TABLE = rf"({_NAME}(?:\s*\.\s*{_NAME})*)"
_BEFORE_TABLE = {
    "INSERT": r"(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|OR\s+\w+)\s+)*(?:INTO\s+)?",
    "REPLACE": r"(?:(?:LOW_PRIORITY|DELAYED)\s+)*(?:INTO\s+)?",
    "UPDATE": r"(?:(?:LOW_PRIORITY|IGNORE|ONLY|OR\s+\w+)\s+)*",
    "DELETE": r"(?:(?:LOW_PRIORITY|QUICK|IGNORE)\s+)*(?:FROM\s+)?(?:ONLY\s+)?",
    "MERGE": r"(?:INTO\s+)?(?:ONLY\s+)?",
    "TRUNCATE": r"(?:TABLE\s+)?(?:ONLY\s+)?",
    "COPY": r"",
}
_TABLE_AFTER = {verb: re.compile(rf"\s*{verb}\s+{gap}{_TABLE}", re.I) for verb, gap in _BEFORE_TABLE.items()}

_FIRST_WORD = re.compile(r"[\s(]*([A-Za-z]+)")
_RETURNING = re.compile(r"\bRETURNING\b", re.I)
_COPY_IN = re.compile(r"\bFROM\b", re.I)
_WORD = re.compile(rf"[()]|{_NAME}")
_NAME_PART = re.compile(_NAME)

# A quoted text, a comment, a quoted name. MySQL's /*! … */ is code, not a comment.
_PIECES = r"""
    (?P<comment>--[^\n]*|/\*(?!!).*?(?:\*/|\Z){hash})
  | (?P<text>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:{inside})*')
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
"""
_OPAQUE = re.compile(_PIECES.format(hash="", inside="[^']|''"), re.S | re.X)
_OPAQUE_MYSQL = re.compile(_PIECES.format(hash=r"|\#[^\n]*", inside=r"[^'\\]|''|\\."), re.S | re.X)

_READS = frozenset(
    {"SELECT", "VALUES", "TABLE", "SHOW", "DESCRIBE", "DESC", "PRAGMA", "FETCH", "MOVE", "DECLARE", "CLOSE", "SET"}
    | {"RESET", "USE", "SAVEPOINT", "RELEASE"}
)
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_MAIN_VERBS = _DML | {"SELECT", "VALUES", "TABLE"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its ``verb`` and its first words in capitals, the table it writes, whether it returns rows.

    ``table`` is without quotes, "schema.table" where a schema was written, and empty where none is written to.
    """

    verb: str
    head: str = ""
    table: str = ""
    returning: bool = False
    writes: bool = True

    @property
    def savepoint(self) -> str:
        """The savepoint that a SAVEPOINT, RELEASE or ROLLBACK TO names."""
        return self.head.split()[-1] if self.head else ""

    @property
    def is_rollback_to(self) -> bool:
        """Whether this goes back to a savepoint, which does not end the transaction."""
        return self.verb == "ROLLBACK" and " TO " in f"{self.head} "


def read(sql: Any, vendor: str, connection: Any = None) -> tuple[Statement, ...]:
    """The statements of an SQL text, nearly always one.

    Args:
        sql: what ``cursor.execute`` was given: a text, bytes, or one of psycopg's composed queries.
        vendor: ``connection.vendor``.
        connection: the driver's connection, to spell out a composed query with.
    """
    if not isinstance(sql, str):
        sql = _as_text(sql, connection)
    return _read_cached(sql, vendor) if len(sql) <= _CACHED_UP_TO else _read(sql, vendor)


def _as_text(sql: Any, connection: Any) -> str:
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    if hasattr(sql, "as_string"):
        return str(sql.as_string(connection))
    return str(sql)


def _read(sql: str, vendor: str) -> tuple[Statement, ...]:
    first = _FIRST_WORD.match(sql)
    if len(sql) > _CACHED_UP_TO and ";" not in sql and first and first.group(1).upper() in _DML:
        # Placeholders by the thousand: only the beginning and the end say something.
        return (_one(sql[:_HEAD] + " " + sql[-_HEAD:]),)
    texts = [sql]
    if any(mark in sql for mark in (";", "--", "/*", "'", "$", "#")):
        texts = _split(sql, vendor)
    return tuple(_one(text) for text in texts if text.strip()) or (Statement("", writes=False),)


_read_cached = lru_cache(maxsize=1024)(_read)


def _split(sql: str, vendor: str) -> list[str]:
    """The statements of a text, without comments and with its quoted texts emptied."""
    parts = [""]
    position = 0
    for piece in (_OPAQUE_MYSQL if vendor == "mysql" else _OPAQUE).finditer(sql):
        _add(parts, sql[position : piece.start()])
        if piece.group("comment") is not None:
            parts[-1] += " "
        else:
            parts[-1] += "''" if piece.group("text") is not None else piece.group()
        position = piece.end()
    _add(parts, sql[position:])
    if vendor == "mysql":
        parts = [re.sub(r"/\*!\d*|\*/", " ", part) for part in parts]
    return parts


def _add(parts: list[str], code: str) -> None:
    first, *others = code.split(";")
    parts[-1] += first
    parts.extend(others)


def _one(sql: str) -> Statement:
    match = _FIRST_WORD.match(sql)
    if match is None:
        return Statement("")
    verb = match.group(1).upper()
    if verb == "WITH":
        return _with(sql)
    words = _NAME_PART.findall(sql[match.start(1) : match.start(1) + 200])[:6]
    head = " ".join(words).upper() if verb not in ("SAVEPOINT", "RELEASE", "ROLLBACK") else _keep_last(words)
    returning = verb in _DML and _RETURNING.search(sql) is not None
    if verb == "EXPLAIN":
        return Statement(verb, head, writes="ANALYZE" in head)
    if verb == "ROLLBACK":
        return Statement(verb, head, writes=" TO " not in f"{head} ")
    if verb == "COPY" and not _COPY_IN.search(sql):
        return Statement(verb, head, writes=False)
    table = _table(verb, sql)
    if table.casefold().startswith("pg_temp."):
        return Statement(verb, head, returning=returning, writes=False)
    return Statement(verb, head, table, returning, writes=verb not in _READS)


def _keep_last(words: list[str]) -> str:
    """Words in capitals except the last: it is the name of a savepoint."""
    return " ".join([*(word.upper() for word in words[:-1]), _unquoted(words[-1])])


def _with(sql: str) -> Statement:
    """A statement with a WITH clause: its own verb stands outside all parentheses."""
    depth = 0
    inside = ""
    previous = ""
    for word in _WORD.finditer(sql):
        text = word.group()
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
        elif depth == 0 and text.upper() in _MAIN_VERBS:
            main = _one(sql[word.start() :])
            if main.writes or not inside:
                return main
            # PostgreSQL: WITH gone AS (DELETE … RETURNING …) SELECT …; what the driver counts are the rows selected.
            return Statement("WITH", f"WITH {inside}", writes=True)
        elif previous == "(" and text.upper() in _DML:
            inside = inside or text.upper()
        previous = text
    return Statement("WITH")


def _table(verb: str, sql: str) -> str:
    pattern = _TABLE_AFTER.get(verb)
    match = pattern.match(sql) if pattern else None
    if match is None:
        return ""
    return ".".join(_unquoted(part) for part in _NAME_PART.findall(match.group(1)))


def _unquoted(name: str) -> str:
    if name[0] in '"`':
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[0] == "[" else name
