"""How a source differs from what it was when it was applied, line by line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

# The comparison of longer ones may take minutes.
MOST_LINES = 5000
# A longer one is folded.
FOLDED_FROM = 40


@dataclass(frozen=True)
class Line:
    """One line with its mark in the text; ``tone`` is head, place, same, added or removed."""

    tone: str
    text: str


@dataclass(frozen=True)
class Difference:
    """The lines that differ, with three around each; ``why_not`` says why there are none."""

    lines: list[Line]
    why_not: str = ""

    @property
    def added(self) -> int:
        """How many lines are new."""
        return sum(line.tone == "added" for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines are gone."""
        return sum(line.tone == "removed" for line in self.lines)

    @property
    def is_long(self) -> bool:
        """Whether it is better folded."""
        return len(self.lines) > FOLDED_FROM


_TONES = {"+": "added", "-": "removed", "@": "place", " ": "same"}


def between(old: str, new: str) -> Difference:
    """What became of the old source. An empty text means that it is not known."""
    if not old:
        return Difference([], "What the source was then is not known: it was applied before sources were kept.")
    if not new:
        return Difference([], "There is no source to compare with.")
    if old == new:
        return Difference([], "The file is again as it was then; this process was started with another one.")
    was, now = old.splitlines(), new.splitlines()
    if max(len(was), len(now)) > MOST_LINES:
        return Difference([], f"They are too long to compare here, with {len(was)} and {len(now)} lines.")
    found = list(difflib.unified_diff(was, now, "as it was applied", "as it is now", lineterm=""))
    if not found:
        return Difference([], "Only the ends of its lines differ.")
    head = [Line("head", text) for text in found[:2]]
    return Difference(head + [Line(_TONES[text[:1]], text) for text in found[2:]])
