"""The groups of a log: where each begins and ends, and whether something in it failed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from .lines import ATTEMPT, GROUP, GROUP_END, GROUP_FAILED
from .models import LogChunk, Run
from .passages import with_levels
from .states import FINISHED, Status

MOST_GROUPS = 2000
ERROR = "r"


@dataclass
class Group:
    """Lines ``first`` (its heading) to ``last``, None while it is open; ``depth`` is 0 for the outermost.

    The first attempt has no heading of its own: its ``first`` is the first line.
    """

    first: int
    title: str
    depth: int
    last: int | None = None
    failed: bool = False
    is_attempt: bool = False


@dataclass
class Outline:
    """The groups in the order of their headings, as far as line ``through``; ``is_capped`` when there are more."""

    groups: list[Group] = field(default_factory=list)
    through: int = 0
    is_capped: bool = False


def read(run: Run) -> Outline:
    """The groups of a run's log as it is now. Each attempt after the first makes the attempts groups, too."""
    status, following = Run.objects.values_list("status", "log_next").get(pk=run.pk)
    last = following - 1
    chunks = LogChunk.objects.filter(run_id=run.pk, first__lte=last).order_by("first")
    begin = with_levels(chunks, GROUP + ATTEMPT).values_list("first", flat=True).first()
    outline = _Builder(last)
    if begin is None:
        return outline.finished(is_over=False)
    marked = with_levels(chunks, GROUP + GROUP_END + GROUP_FAILED + ATTEMPT + ERROR)
    # Where nothing begins or ends, the letters of a chunk tell enough; their lines stay in the database.
    for pk, first, meta in marked.values_list("pk", "first", "meta").iterator(chunk_size=100):
        letters = (
            [level for _, level in json.loads(meta)] if _has(meta, GROUP + GROUP_END + GROUP_FAILED + ATTEMPT) else []
        )
        if not letters:
            outline.error()
            continue
        texts: list[str] = []
        if any(letter in GROUP + ATTEMPT for letter in letters):
            texts = LogChunk.objects.values_list("text", flat=True).get(pk=pk).split("\n")
        for number, letter in enumerate(letters):
            if letter in GROUP + ATTEMPT:
                outline.begin(first + number, texts[number], is_attempt=letter == ATTEMPT)
            elif letter in GROUP_END + GROUP_FAILED:
                outline.end(first + number, failed=letter == GROUP_FAILED)
            elif letter == ERROR:
                outline.error()
        if outline.is_full:
            break
    return outline.finished(is_over=status in FINISHED or status == Status.INTERRUPTED)


def _has(meta: str, letters: str) -> bool:
    return any(f'"{letter}"' in meta for letter in letters)


class _Builder:
    """Follows the marks of a log from its first line."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.groups: list[Group] = []
        self.open: list[Group] = []
        # An error before the first mark belongs to the first attempt, should there be a second.
        self._early_error = False
        self._attempts = 0

    @property
    def is_full(self) -> bool:
        return len(self.groups) >= MOST_GROUPS

    def begin(self, number: int, title: str, *, is_attempt: bool) -> None:
        if is_attempt:
            self._attempt(number)
        group = Group(number, title, len(self.open), is_attempt=is_attempt)
        self.groups.append(group)
        self.open.append(group)

    def _attempt(self, number: int) -> None:
        """What the attempt before left open was cut off with it."""
        if not self._attempts and number > 1:
            failed = self._early_error or any(group.failed for group in self.groups)
            first = Group(1, "Attempt 1", 0, failed=failed, is_attempt=True)
            for group in self.groups:
                group.depth += 1
            self.groups.insert(0, first)
            self.open.insert(0, first)
        self._attempts += 1
        self._cut(number - 1)

    def _cut(self, last: int) -> None:
        for group in self.open:
            group.last = last
        self.open = []

    def end(self, number: int, *, failed: bool) -> None:
        # The attempt itself has no end line of its own.
        if not self.open or self.open[-1].is_attempt:
            return
        if failed:
            self.error()
        self.open.pop().last = number

    def error(self) -> None:
        self._early_error = self._early_error or not self._attempts
        for group in self.open:
            group.failed = True

    def finished(self, *, is_over: bool) -> Outline:
        if is_over and not self.is_full:
            self._cut(self.last)
        return Outline(self.groups[:MOST_GROUPS], self.last, self.is_full)
