"""What the confirm page hands to the POST that starts a run: sealed, so that nothing in it can be read or changed."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from . import sealing

# A confirm page left open longer than this is shown again.
LIFETIME_SECONDS = 3600


class StaleTicket(Exception):
    """The confirm page is too old, or not of this person; nothing was started. Ask for it once more."""


@dataclass(frozen=True)
class Ticket:
    """One run as it was confirmed; ``once_key`` lets it start once, however often it is posted."""

    name: str
    kind: str
    database: str
    reason: str
    force: bool
    values: dict[str, Any]
    checksum: str
    user: str
    # ISO 8601, not before this moment; empty for at once.
    start_at: str = ""
    ignore_window: bool = False
    once_key: str = field(default_factory=lambda: secrets.token_hex(16))
    made_at: float = field(default_factory=time.time)

    @property
    def starts(self) -> datetime | None:
        """Not before this moment; None for at once."""
        return datetime.fromisoformat(self.start_at) if self.start_at else None

    def seal(self) -> str:
        """As a text for a hidden field."""
        return sealing.seal(asdict(self))


def open_ticket(text: str, user: str) -> Ticket:
    """The ticket in a posted text.

    Raises:
        StaleTicket: it is too old, was made for somebody else, or was not made here.
    """
    try:
        ticket = Ticket(**sealing.unseal(text))
    except (sealing.Unsealable, TypeError) as error:
        raise StaleTicket from error
    if ticket.user != user or time.time() - ticket.made_at > LIFETIME_SECONDS:
        raise StaleTicket
    return ticket
