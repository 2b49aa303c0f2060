"""Numbers and texts in sentences for a person."""

from __future__ import annotations

import json
from typing import Any


def counted(number: int, thing: str) -> str:
    """So many of a thing whose plural has an s: "1 row", "1,200 rows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def were(number: int) -> str:
    """The verb for so many: "was" for one."""
    return "was" if number == 1 else "were"


def row_key(key: Any) -> str:
    """What finds a row again: its primary key; of a file, where it stands there."""
    if isinstance(key, dict) and "line" in key and "row" in key:
        return f"row {key['row']} in line {key['line']}"
    return f"key {json.dumps(key)}"


def stopped(text: str) -> str:
    """The text with a full stop, where it does not end as a sentence does."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
