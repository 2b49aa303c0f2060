"""Writing the loaded rows of a batch back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def save(rows: Sequence[Any], fields: Sequence[str], *, using: str) -> int:
    """Slow but correct."""
    model = type(rows[0])
    return model._base_manager.using(using).bulk_update(rows, fields)
