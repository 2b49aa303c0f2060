"""Going through the stored lines of a log from any of them, forwards or backwards, all or only those of some levels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet

from .models import LogChunk

FIRST_FETCH = 4
MOST_FETCHED = 64


@dataclass(frozen=True)
class Line:
    """One line; ``level`` is a letter of ``LEVELS``.

    ``through`` is ``seq``, except for the one line that stands for many that are not kept: it stands
    for all the numbers from ``seq`` to ``through``.
    """

    seq: int
    at: datetime
    level: str
    text: str
    through: int


@dataclass(frozen=True)
class Wanted:
    """Which lines: those of ``levels`` (all where it is empty), without those in the ``skipped`` ranges (inclusive)."""

    levels: frozenset[str] = frozenset()
    skipped: tuple[tuple[int, int], ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether no line is left out."""
        return not self.levels and not self.skipped

    def takes(self, level: str) -> bool:
        """Whether a line of that level is wanted."""
        return not self.levels or level in self.levels

    def stretches(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What is left of a range without what is skipped."""
        for start, end in sorted(self.skipped):
            if end < first:
                continue
            if start > last:
                break
            if start > first:
                yield first, start - 1
            first = end + 1
        if first <= last:
            yield first, last


EVERYTHING = Wanted()


def forward(run_id: int, after: int, last: int, wanted: Wanted = EVERYTHING) -> Iterator[Line]:
    """The lines from ``after`` + 1 to ``last``, with one line for each stretch that is not kept."""
    for first, end in wanted.stretches(after + 1, last):
        yield from _up(run_id, first, end, wanted)


def backward(run_id: int, before: int, wanted: Wanted = EVERYTHING) -> Iterator[Line]:
    """The same lines from ``before`` - 1 down to the first."""
    for first, end in reversed(list(wanted.stretches(1, before - 1))):
        yield from _down(run_id, first, end, wanted)


def with_levels(chunks: QuerySet[LogChunk], levels: Sequence[str] | frozenset[str]) -> QuerySet[LogChunk]:
    """The chunks that have a line of one of those levels; the database looks at their letters only."""
    if not levels:
        return chunks
    return chunks.filter(reduce(or_, (Q(meta__contains=f'"{level}"') for level in sorted(levels))))


def lines_of(chunk: LogChunk) -> list[Line]:
    """Its lines."""
    meta = json.loads(chunk.meta)
    return [
        Line(number, chunk.at + timedelta(milliseconds=offset), level, text, number)
        for number, (text, (offset, level)) in enumerate(zip(chunk.text.split("\n"), meta, strict=True), chunk.first)
    ]


def chunks_from(run_id: int, first: int, last: int, levels: frozenset[str] = frozenset()) -> Iterator[LogChunk]:
    """The chunk that holds line ``first`` and those that follow, fetched a few at a time so that memory stays small."""
    chunks = LogChunk.objects.filter(run_id=run_id, first__lte=last).order_by("first")
    holding = chunks.filter(first__lte=first).order_by("-first").values_list("first", flat=True).first()
    position = holding if holding is not None else first
    chunks = with_levels(chunks, levels)
    size = FIRST_FETCH
    while True:
        batch = list(chunks.filter(first__gte=position)[:size])
        yield from batch
        if len(batch) < size:
            return
        position = batch[-1].first + 1
        size = min(size * 2, MOST_FETCHED)


def chunks_down(run_id: int, last: int, levels: frozenset[str] = frozenset()) -> Iterator[LogChunk]:
    """The chunk that holds line ``last`` and those before it."""
    chunks = with_levels(LogChunk.objects.filter(run_id=run_id).order_by("-first"), levels)
    size = FIRST_FETCH
    while True:
        batch = list(chunks.filter(first__lte=last)[:size])
        yield from batch
        if len(batch) < size:
            return
        last = batch[-1].first - 1
        size = min(size * 2, MOST_FETCHED)


def _up(run_id: int, first: int, last: int, wanted: Wanted) -> Iterator[Line]:
    expected = first
    for chunk in chunks_from(run_id, first, last, wanted.levels):
        if chunk.first > expected and not wanted.levels:
            yield gap(expected, chunk.first - 1, chunk.at)
        for line in lines_of(chunk):
            if first <= line.seq <= last and wanted.takes(line.level):
                yield line
        expected = max(expected, chunk.first + chunk.count)


def _down(run_id: int, first: int, last: int, wanted: Wanted) -> Iterator[Line]:
    expected, at = last, None
    for chunk in chunks_down(run_id, last, wanted.levels):
        end, at = chunk.first + chunk.count - 1, chunk.at
        if end < expected and not wanted.levels:
            yield gap(max(end + 1, first), expected, at)
        for line in reversed(lines_of(chunk)):
            if first <= line.seq <= last and wanted.takes(line.level):
                yield line
        expected = chunk.first - 1
        if expected < first:
            return
    if expected >= first and at is not None and not wanted.levels:
        yield gap(first, expected, at)


def gap(first: int, last: int, at: datetime) -> Line:
    """The line that stands for those that are not kept."""
    what = f"line {first} is" if first == last else f"lines {first} to {last} are"
    return Line(
        first, at, "s", f"… {what} not kept: the log was longer than its cap (CONSOLE['LOG_CAP_BYTES']) …", last
    )
