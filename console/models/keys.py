"""Keys that nobody guesses and nothing else has."""

from __future__ import annotations

import uuid


def new_key() -> str:
    """A key for a new run."""
    return uuid.uuid4().hex
