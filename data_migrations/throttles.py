"""Whether a batched migration should wait before its next batch, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .management.commands.base import BatchedCommand


def reason(command: BatchedCommand, using: str) -> str:
    """Why the next batch should wait, in words for a person; empty when it may go."""
    return command.throttle() or ""
