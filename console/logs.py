"""Reading a run's log: a page of lines from anywhere in it, or the whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC

from data_migrations import clock

from . import passages
from .lines import LEVELS
from .models import Run
from .passages import EVERYTHING, Line, Wanted
from .states import OVER

__all__ = ["LEVELS", "LEVEL_SETS", "Line", "LogPage", "Wanted", "cut", "download", "read"]

MAX_LIMIT = 5000
# So that long lines do not make an answer of many megabytes; one line is always given.
MAX_CHARACTERS = 1024 * 1024
# What one can choose to see, by its name in the address.
LEVEL_SETS = {"problems": frozenset("ewrx"), "errors": frozenset("rx")}


@dataclass(frozen=True)
class LogPage:
    """Some lines of a log, consecutive among those that were wanted, and where it stands.

    All that was wanted from number ``start`` to ``next`` is in it. ``next`` is what to ask for as ``after`` to go on,
    ``start`` as ``before`` to go back; ``first`` and ``last`` are the numbers of the log's first and last line;
    ``ended`` is True when no more lines will come.
    """

    lines: list[Line]
    start: int
    next: int
    first: int
    last: int
    status: str
    ended: bool


def read(
    run: Run,
    *,
    after: int | None = None,
    before: int | None = None,
    around: int | None = None,
    tail: int | None = None,
    limit: int = 500,
    wanted: Wanted = EVERYTHING,
) -> LogPage:
    """A page of the log, from the row as it is in the database now.

    Args:
        after: lines with greater numbers, the first ``limit`` of them; 0, the default, is the beginning.
        before: lines with smaller numbers, the last ``limit`` of them.
        around: ``limit`` lines with this one in the middle.
        tail: the last so many lines.
        limit: at most so many lines, never more than ``MAX_LIMIT``, and fewer where they are long.
        wanted: only these lines.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    # The row first, the lines after it: lines that come in between are left for the next page.
    status, following = Run.objects.values_list("status", "log_next").get(pk=run.pk)
    last = following - 1
    if tail is not None:
        before, limit = following, max(1, min(tail, MAX_LIMIT))
    if around is not None:
        lines, start, end = _around(run.pk, max(1, min(around, last)), last, limit, wanted)
    elif before is not None:
        before = max(1, min(before, following))
        lines, whole = _fill(passages.backward(run.pk, before, wanted), limit)
        lines.reverse()
        start, end = 1 if whole else lines[0].seq, before - 1
    else:
        after = max(0, min(after or 0, last))
        lines, whole = _fill(passages.forward(run.pk, after, last, wanted), limit)
        start, end = after + 1, last if whole else lines[-1].through
    return LogPage(lines, start, end, 1 if last else 0, last, status, status in OVER and end >= last)


def _around(run_id: int, around: int, last: int, limit: int, wanted: Wanted) -> tuple[list[Line], int, int]:
    """Lines on both sides of one, at an end of the log the more on the other side; and the numbers they cover."""
    half = limit // 2
    if wanted.is_everything:
        after = max(0, min(around - half - 1, last - limit))
        lines = _middle(passages.forward(run_id, after, last), around, limit)
        return (lines, lines[0].seq, lines[-1].through) if lines else ([], 1, last)
    above, is_first = _fill(passages.backward(run_id, around, wanted), limit)
    below, is_last = _fill(passages.forward(run_id, around - 1, last, wanted), limit)
    up = min(len(above), max(half, limit - len(below)))
    down = min(len(below), limit - up)
    start = 1 if is_first and up == len(above) else (above[up - 1].seq if up else around)
    end = last if is_last and down == len(below) else (below[down - 1].through if down else around - 1)
    return [*reversed(above[:up]), *below[:down]], start, end


def _middle(lines: Iterable[Line], around: int, limit: int) -> list[Line]:
    """At most so many lines, and with half the characters on either side of one of them."""
    above: deque[Line] = deque()
    size, half = 0, MAX_CHARACTERS // 2
    below: list[Line] = []
    for line in lines:
        if line.through < around:
            above.append(line)
            size += len(line.text)
            while size > half and len(above) > 1:
                size -= len(above.popleft().text)
        else:
            if not below:
                size = 0
            size += len(line.text)
            if below and size > half:
                break
            below.append(line)
        if len(above) + len(below) >= limit:
            break
    return [*above, *below]


def cut(page: LogPage, limit: int) -> LogPage:
    """The same page with its first ``limit`` lines at most, and fewer where they are long."""
    lines, whole = _fill(page.lines, max(1, min(limit, MAX_LIMIT)))
    return replace(page, lines=lines, next=page.next if whole else lines[-1].through, ended=page.ended and whole)


def _fill(lines: Iterable[Line], limit: int) -> tuple[list[Line], bool]:
    """The first so many lines, or fewer when they are long; and whether that is all of them."""
    taken: list[Line] = []
    size = 0
    for line in lines:
        size += len(line.text)
        if len(taken) >= limit or (taken and size > MAX_CHARACTERS):
            return taken, False
        taken.append(line)
    return taken, True


def download(run: Run, *, timed: bool = False) -> Iterator[str]:
    """The whole log as text, piece by piece, each piece ending with a newline.

    Args:
        timed: begin each line with its time (ISO 8601, UTC) and its level, as ``lines.LEVELS`` has it.
    """
    last = Run.objects.values_list("log_next", flat=True).get(pk=run.pk) - 1
    expected = 1
    for chunk in passages.chunks_from(run.pk, 1, last):
        if chunk.first > expected:
            yield passages.gap(expected, chunk.first - 1, chunk.at).text + "\n"
        yield "".join(map(_timed, passages.lines_of(chunk))) if timed else chunk.text + "\n"
        expected = chunk.first + chunk.count


def _timed(line: Line) -> str:
    at = clock.aware(line.at).astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z {LEVELS.get(line.level, line.level):<7} {line.text}\n"
