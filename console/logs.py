"""Reading a run's log: a page of lines from anywhere in it, a search, the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from .lines import LEVELS
from .models import LogChunk, Run
from .states import FINISHED, Status

__all__ = ["LEVELS", "Line", "LogPage", "Matches", "download", "etag", "read", "search"]

MAX_LIMIT = 5000
MAX_MATCHES = 10_000


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
class LogPage:
    """Some consecutive lines of a log, and where it stands.

    ``next`` is what to ask for as ``after`` to go on; ``first`` and ``last`` are the numbers of the
    log's first and last line; ``ended`` is True when no more lines will come.
    """

    lines: list[Line]
    next: int
    first: int
    last: int
    status: str
    ended: bool


@dataclass(frozen=True)
class Matches:
    """Lines that a search found, the first ``limit`` of them, and how many there are in all.

    ``is_capped``: there are more than ``total``; counting ended there.
    """

    lines: list[Line]
    total: int
    is_capped: bool


def etag(run: Run) -> str:
    """A tag that changes when lines come or the status changes; quoted as HTTP wants it."""
    return f'"{run.pk}-{run.log_next - 1}-{run.status}"'


def read(
    run: Run,
    *,
    after: int | None = None,
    before: int | None = None,
    around: int | None = None,
    tail: int | None = None,
    limit: int = 500,
) -> LogPage:
    """A page of the log, from the row as it is in the database now.

    Args:
        after: lines with greater numbers, the first ``limit`` of them; 0, the default, is the beginning.
        before: lines with smaller numbers, the last ``limit`` of them.
        around: ``limit`` lines with this one in the middle.
        tail: the last so many lines.
        limit: at most so many lines, and never more than ``MAX_LIMIT``.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    # The row first, the lines after it: lines that come in between are left for the next page.
    status, following = Run.objects.values_list("status", "log_next").get(pk=run.pk)
    last = following - 1
    if tail is not None:
        start, limit = last - min(tail, MAX_LIMIT), max(1, min(tail, MAX_LIMIT))
        after = start
    elif around is not None:
        after = min(around - limit // 2 - 1, last - limit)
    elif before is not None:
        start = max(0, before - 1 - limit)
        limit = max(0, min(limit, before - 1 - start))
        after = start
    after = max(0, after or 0)
    lines: list[Line] = []
    for line in _lines(run.pk, after, last):
        if len(lines) >= limit:
            break
        if before is not None and line.seq >= before:
            break
        lines.append(line)
    ended = status in FINISHED or status == Status.PAUSED
    return LogPage(
        lines=lines,
        next=lines[-1].through if lines else min(after, last),
        first=1 if last else 0,
        last=last,
        status=status,
        ended=ended and (not lines or lines[-1].through >= last) and after <= last,
    )


def search(run: Run, text: str, after: int = 0, limit: int = 100) -> Matches:
    """Lines after a number that contain a text, whatever its case."""
    wanted = text.casefold()
    following = Run.objects.values_list("log_next", flat=True).get(pk=run.pk)
    found: list[Line] = []
    total = 0
    if not wanted:
        return Matches([], 0, False)
    chunks = LogChunk.objects.filter(run_id=run.pk, first__lt=following).order_by("first")
    if text.isascii() and "\n" not in text:
        # Elsewhere the databases disagree about case; there every chunk is looked at.
        chunks = chunks.filter(text__icontains=text)
    for chunk in _in_turn(chunks, after):
        for line in _of(chunk):
            if line.seq > after and wanted in line.text.casefold():
                total += 1
                if len(found) < limit:
                    found.append(line)
        if total >= MAX_MATCHES:
            return Matches(found, total, True)
    return Matches(found, total, False)


def download(run: Run) -> Iterator[str]:
    """The whole log as text, piece by piece, each piece ending with a newline."""
    last = Run.objects.values_list("log_next", flat=True).get(pk=run.pk) - 1
    expected = 1
    for chunk in _in_turn(LogChunk.objects.filter(run_id=run.pk, first__lte=last).order_by("first"), 0):
        if chunk.first > expected:
            yield _gap(expected, chunk.first - 1, chunk.at).text + "\n"
        yield chunk.text + "\n"
        expected = chunk.first + chunk.count


def _lines(run_id: int, after: int, last: int) -> Iterator[Line]:
    """The lines from ``after`` + 1 to ``last``, with one line for each stretch that is not kept."""
    expected = after + 1
    chunks = LogChunk.objects.filter(run_id=run_id, first__lte=last).order_by("first")
    for chunk in _in_turn(chunks, after):
        if chunk.first > expected:
            yield _gap(expected, chunk.first - 1, chunk.at)
        for line in _of(chunk):
            if line.seq > after:
                yield line
        expected = max(expected, chunk.first + chunk.count)


def _in_turn(chunks: QuerySet[LogChunk], after: int) -> Iterator[LogChunk]:
    """The chunk that holds ``after`` + 1 and those that follow, fetched a few at a time so that memory stays small."""
    holding = chunks.filter(first__lte=after + 1).order_by("-first").values_list("first", flat=True).first()
    position = holding if holding is not None else after + 1
    size = 4
    while True:
        batch = list(chunks.filter(first__gte=position)[:size])
        yield from batch
        if len(batch) < size:
            return
        position = batch[-1].first + 1
        size = min(size * 2, 64)


def _of(chunk: LogChunk) -> Iterator[Line]:
    meta = json.loads(chunk.meta)
    for number, (text, (offset, level)) in enumerate(zip(chunk.text.split("\n"), meta, strict=True), chunk.first):
        yield Line(number, chunk.at + timedelta(milliseconds=offset), level, text, number)


def _gap(first: int, last: int, at: datetime) -> Line:
    what = f"line {first} is" if first == last else f"lines {first} to {last} are"
    return Line(
        first, at, "s", f"… {what} not kept: the log was longer than its cap (CONSOLE['LOG_CAP_BYTES']) …", last
    )
