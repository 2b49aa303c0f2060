"""Searching a whole log, for a bounded time at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from .models import LogChunk, Run
from .passages import Line, lines_of, with_levels

SECONDS = 1.0
# How many chunks are looked at between two looks at the clock.
SPAN = 100


@dataclass(frozen=True)
class Matches:
    """The numbers of lines that a search found, in the order in which it went, and how far it came.

    All matches from where it began to line ``through`` (inclusive) are in it; ``is_done`` when that is an end of the
    log. Otherwise the time or the ``limit`` was up, and one asks again from there. ``lines`` are the first of them.
    """

    numbers: list[int]
    through: int
    last: int
    is_done: bool
    lines: list[Line] = field(default_factory=list)


def search(
    run: Run,
    text: str,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int = 1000,
    exact: bool = False,
    levels: frozenset[str] = frozenset(),
    seconds: float | None = None,
    keep: int = 0,
) -> Matches:
    """Lines that contain a text.

    Args:
        after: begin behind this line and go up.
        before: begin above this line and go down, to the first.
        limit: no more matches than that.
        exact: tell capitals from small letters.
        levels: only in lines of these levels.
        seconds: stop after about so long; ``SECONDS`` by default.
        keep: give the lines of the first so many matches, too.
    """
    last = Run.objects.values_list("log_next", flat=True).get(pk=run.pk) - 1
    down = before is not None
    place = min(before, last + 1) if before is not None else min(after, last)
    if not text:
        return Matches([], place, last, True)
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    holds = _holds(text, exact)
    chunks = with_levels(LogChunk.objects.filter(run_id=run.pk), levels)
    # Elsewhere the databases disagree about case; there every chunk is looked at.
    looked_at = chunks.filter(text__icontains=text) if text.isascii() else chunks
    found: list[int] = []
    kept: list[Line] = []
    for low, high in _spans(chunks, place, last, down):
        part = looked_at.filter(first__range=(low, high)).order_by("-first" if down else "first")
        for chunk in part.iterator(chunk_size=20):
            for line in _matches(chunk, holds, levels, down):
                if line.seq < place if down else line.seq > place:
                    found.append(line.seq)
                    if len(kept) < keep:
                        kept.append(line)
                    if len(found) >= limit:
                        return Matches(found, line.seq, last, False, kept)
        if down:
            place = low
        else:
            # Up to the next chunk that was not looked at; what is between them belongs to the last one.
            following = LogChunk.objects.filter(run_id=run.pk, first__gt=high).order_by("first")
            place = (following.values_list("first", flat=True).first() or last + 1) - 1
        if time.monotonic() >= deadline:
            return Matches(found, place, last, place <= 1 if down else place >= last, kept)
    return Matches(found, 1 if down else last, last, True, kept)


def _holds(text: str, exact: bool) -> Callable[[str], bool]:
    if exact:
        return lambda line: text in line
    wanted = text.casefold()
    return lambda line: wanted in line.casefold()


def _matches(chunk: LogChunk, holds: Callable[[str], bool], levels: frozenset[str], down: bool) -> Sequence[Line]:
    found = [line for line in lines_of(chunk) if holds(line.text) and (not levels or line.level in levels)]
    return found[::-1] if down else found


def _spans(chunks: QuerySet[LogChunk], place: int, last: int, down: bool) -> Iterator[tuple[int, int]]:
    """Ranges of chunks by their first lines, from the one that holds ``place``; the index alone is read for them."""
    firsts = chunks.filter(first__lte=last).values_list("first", flat=True)
    if down:
        position = place
        while batch := list(firsts.filter(first__lt=position).order_by("-first")[:SPAN]):
            yield batch[-1], batch[0]
            position = batch[-1]
        return
    position = firsts.filter(first__lte=place + 1).order_by("-first").first() or 0
    while batch := list(firsts.filter(first__gte=position).order_by("first")[:SPAN]):
        yield batch[0], batch[-1]
        position = batch[-1] + 1
