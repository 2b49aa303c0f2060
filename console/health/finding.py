"""What a check finds, and what it may look at."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .glance import Glance


class State(enum.StrEnum):
    """How a check sees what it looks at."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


# What counts as how bad; what cannot be told deserves a look.
SEVERITY = {State.GOOD: 0, State.UNKNOWN: 1, State.WARNING: 1, State.BAD: 2}


@dataclass(frozen=True)
class Finding:
    """What a check found: a sentence, what to do about it, single facts, and numbers for a monitor."""

    state: State
    text: str
    hint: str = ""
    details: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    raised: bool = False
    """Whether the check failed instead of finding something."""


def good(text: str, **values: Any) -> Finding:
    """All is well with it."""
    return Finding(State.GOOD, text, values=values)


@dataclass(frozen=True)
class Check:
    """One check: its id stays the same while its words may change.

    ``on_list``: whether what it finds stands on top of the list of data migrations. Those are quick, and ask the
    console's database only. ``alone``: it can be asked while the console's database or its tables are away.
    """

    id: str
    title: str
    about: str
    look: Callable[[Glance], Finding]
    on_list: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Result:
    """A check and what it found."""

    check: Check
    finding: Finding

    @property
    def id(self) -> str:
        """The id of the check."""
        return self.check.id

    @property
    def state(self) -> State:
        """What it found, as a state."""
        return self.finding.state

    @property
    def text(self) -> str:
        """What it found, as a sentence."""
        return self.finding.text

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self.finding.hint

    @property
    def level(self) -> str:
        """The level of a message that says it: success, warning or error."""
        return ("success", "warning", "error")[SEVERITY[self.state]]
