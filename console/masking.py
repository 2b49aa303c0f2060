"""Hiding secrets in what is stored: the values of sensitive arguments, and ``DATA_MIGRATIONS["MASK"]``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from data_migrations import conf as core
from data_migrations.arguments import MASKED

# Shorter values are masked only where they stand alone: a secret "7" must not blot out every number.
ALONE_BELOW = 4


class Masker:
    """Masks the given values, and what the site's patterns match, in one line of text."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        written = sorted({way for value in values for way in _ways(value)}, key=len, reverse=True)
        self._written = written
        self.longest = len(written[0]) if written else 0
        self._values = re.compile("|".join(map(_exactly, written))) if written else None
        self._patterns = list(_patterns())

    def __call__(self, text: str) -> str:
        """The text with the secrets masked."""
        if self._values is not None:
            text = self._values.sub(MASKED, text)
        for pattern in self._patterns:
            text = pattern.sub(MASKED, text)
        return text

    def beginning(self, text: str) -> str:
        """The same for a line whose end is not known: what may be the beginning of a secret is left out."""
        text = self(text)
        for way in self._written:
            for size in range(min(len(way) - 1, len(text)), 0, -1):
                if text.endswith(way[:size]):
                    return text[:-size]
        return text

    def lines(self, text: str) -> str:
        """The same for a text of several lines, each masked on its own as in a log."""
        return "\n".join(map(self, text.split("\n")))

    def tree(self, value: Any) -> Any:
        """The same for every text within lists and dicts."""
        if isinstance(value, str):
            return self.lines(value)
        if isinstance(value, dict):
            return {key: self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value


def _patterns() -> Iterator[re.Pattern[str]]:
    for pattern in core.get("MASK"):
        try:
            yield re.compile(pattern)
        except (re.error, TypeError):
            # The system check data_migrations.E008 says so, and stops manage.py before anything is printed.
            continue


def _exactly(way: str) -> str:
    return rf"(?<!\w){re.escape(way)}(?!\w)" if len(way) < ALONE_BELOW else re.escape(way)


def _ways(value: Any) -> Iterator[str]:
    """The ways in which a value may turn up in a line."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        for item in value:
            yield from _ways(item)
        return
    if value is None or isinstance(value, bool):
        return
    for line in str(value).split("\n"):
        # A secret of several lines (a key file) is printed line by line.
        text = line.strip()
        if text:
            yield text
            yield json.dumps(text)[1:-1]
            yield json.dumps(text, ensure_ascii=False)[1:-1]
            yield repr(text)[1:-1]
            yield quote(text, safe="")
