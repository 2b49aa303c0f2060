"""Filters whose choices are links, as the lists of data migrations and of schema migrations have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest


@dataclass(frozen=True)
class Choice:
    """One filter: its words, how many rows it leaves, where it leads."""

    label: str
    count: int | None
    url: str
    selected: bool
    state: str = ""


class Query:
    """The question in the address: every link keeps what is not its own part of it.

    Args:
        keys: the parameters that belong to it.
        database: the chosen one; ``first`` is the one that an address without any means.
    """

    def __init__(self, request: HttpRequest, keys: Sequence[str], database: str, first: str) -> None:
        self.values = {key: request.GET.get(key, "").strip() for key in keys}
        self.values["database"] = "" if database == first else database

    def url(self, **changed: Any) -> str:
        """The address with some parts changed; an empty part is left out."""
        values = {key: value for key, value in {**self.values, **changed}.items() if value}
        return f"?{urlencode(values)}" if values else "?"

    def choices(
        self,
        key: str,
        values: Sequence[str],
        *,
        selected: str | None = None,
        every: bool = True,
        counts: Mapping[str, int] | None = None,
    ) -> list[Choice]:
        """One for each value, with "All" before them; none where there is nothing to choose from.

        ``counts`` tells how many rows each leaves; what is not in it leaves none.
        """
        if len(values) < 2:
            return []
        now = self.values[key] if selected is None else selected
        first = [Choice("All", None, self.url(**{key: ""}), not now)] if every else []
        return first + [
            Choice(
                value, None if counts is None else counts.get(value, 0), self.url(**{key: value}), value == now, value
            )
            for value in values
        ]
