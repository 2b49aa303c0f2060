"""What a piece of SQL takes away or locks, told from its words, not from its comments and texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlparse import lexer
from sqlparse import tokens as T

# Before these DELETE is the name of an event or of a right, not a statement.
_NOT_A_DELETE_AFTER = {"ON", "BEFORE", "AFTER", "OF", "OR", "FOR", "GRANT", "REVOKE", ","}
# What DROP may take from a column without touching a value of it.
_HARMLESS_DROPS = ("NOT", "DEFAULT", "IDENTITY", "EXPRESSION")
_NOUNS = {"TABLE", "COLUMN", "INDEX", "CONSTRAINT", "VIEW", "MATERIALIZED", "SCHEMA", "DATABASE", "SEQUENCE", "TYPE"}
_WHILE_USED = "CONCURRENTLY"
_DOLLARS = re.compile(r"^(\$\w*\$)(.*)\1$", re.DOTALL)


def taken_away(sql: str) -> list[str]:
    """What it drops, deletes or truncates: "DROP TABLE", "DELETE", "TRUNCATE"; each once, in its order."""
    found: list[str] = []
    for words in statements(sql):
        found += _taken_away(words)
    return list(dict.fromkeys(found))


def _taken_away(words: list[str]) -> Iterator[str]:
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        after = words[index + 1] if index + 1 < len(words) else ""
        if word == "DROP" and not after.startswith(_HARMLESS_DROPS):
            yield f"DROP {after}" if after in _NOUNS else "DROP"
        elif word == "DELETE" and before not in _NOT_A_DELETE_AFTER:
            yield "DELETE"
        elif word == "TRUNCATE" and after != "(" and before not in _NOT_A_DELETE_AFTER:
            yield "TRUNCATE"


def locking_indexes(sql: str) -> bool:
    """Whether it creates an index without CONCURRENTLY."""
    return any(
        word == "INDEX"
        and "CREATE" in words[max(0, index - 2) : index]
        and words[index + 1 : index + 2] != [_WHILE_USED]
        for words in statements(sql)
        for index, word in enumerate(words)
    )


def statements(sql: str) -> Iterator[list[str]]:
    """The words of each statement in capitals, without comments, texts and quoted names.

    The body of a PostgreSQL ``DO`` block is read as well, since it is executed at once; that of a function is not.
    """
    words: list[str] = []
    for kind, value in lexer.tokenize(sql):
        if kind in T.Comment or kind in T.Whitespace:
            continue
        if kind in T.Literal:
            body = _DOLLARS.match(value)
            if body and words[:1] == ["DO"]:
                yield from statements(body[2])
            words.append("''")
        elif value == ";":
            yield words
            words = []
        elif value[:1] in '"`[':
            words.append("name")
        else:
            words += value.upper().split()
    yield words
