"""Two runs side by side, fact by fact, with what differs marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import timezone

from data_migrations import clock

from . import uploads
from .appearance import look
from .models import Kind, Run
from .words import door, duration

NOTHING = "–"
# Only what is not applied is marked, and only what is applied is unmarked.
RECORDS: dict[str, str] = {Kind.MARK: "not applied → applied", Kind.UNMARK: "applied → not applied"}


@dataclass(frozen=True)
class Pair:
    """One fact of both runs, in words."""

    label: str
    left: str
    right: str
    is_code: bool = False
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether it is not the same."""
        return self.left != self.right


@dataclass(frozen=True)
class Section:
    """Facts that belong together."""

    title: str
    pairs: list[Pair]

    @property
    def differences(self) -> int:
        """How many of them are not the same."""
        return sum(pair.differs for pair in self.pairs)


def of(left: Run, right: Run, *, with_arguments: bool) -> list[Section]:
    """What there is to compare; without parameters for those who may not see them."""
    sections = [
        Section("What was asked for", list(_asked(left, right))),
        Section("How it went", list(_went(left, right))),
        Section("Rows by table", list(_changes(left, right))),
    ]
    if with_arguments:
        sections.insert(1, Section("Parameters", list(_arguments(left, right))))
    return [section for section in sections if section.pairs]


def _asked(left: Run, right: Run) -> Iterator[Pair]:
    yield _pair("Data migration", left.migration, right.migration)
    yield _pair("What", look(left.kind).word, look(right.kind).word)
    yield _pair("Although it was applied", _yes(left.force), _yes(right.force))
    yield _pair("Database", left.database, right.database, is_code=True)
    yield _pair("By", left.requested_by, right.requested_by)
    yield _pair("Through", door(left.door), door(right.door))
    yield _pair("Reason", left.reason, right.reason)


def _arguments(left: Run, right: Run) -> Iterator[Pair]:
    """By name; one that only one of them has is a difference."""
    for name in dict.fromkeys([*left.arguments, *right.arguments]):
        texts = (_argument(run.arguments[name]) if name in run.arguments else "" for run in (left, right))
        yield _pair(str(name), *texts, is_code=True)


def _argument(value: Any) -> str:
    return str(uploads.words(value)) or "(empty)"


def _went(left: Run, right: Run) -> Iterator[Pair]:
    yield _pair("Status", look(left.status).word, look(right.status).word)
    yield _pair("Began", _moment(left.started_at), _moment(right.started_at))
    yield _pair("Took", _took(left), _took(right), note=_ratio(left, right))
    yield _pair("Rows", _number(left.own_rows), _number(right.own_rows))
    yield _pair("Rows a second", _rate(left), _rate(right))
    yield _pair("Result", left.result, right.result)
    yield _pair("Attempts", _number(left.attempt), _number(right.attempt))
    yield _pair("Host", left.host, right.host)
    yield _pair("Release", left.release, right.release)
    yield _pair("Checksum", left.checksum, right.checksum, is_code=True)
    yield _pair("Error", left.error_class, right.error_class)
    yield _pair("Message", left.error_message, right.error_message)
    yield _pair("Note", left.note, right.note)
    if {left.kind, right.kind} & RECORDS.keys():
        yield _pair("Record", RECORDS.get(left.kind, ""), RECORDS.get(right.kind, ""))


def _changes(left: Run, right: Run) -> Iterator[Pair]:
    """One for each table and verb that either of them has."""
    tables = [_by_table(run) for run in (left, right)]
    for table in dict.fromkeys([*tables[0], *tables[1]]):
        for verb in ("inserted", "updated", "deleted"):
            counts = [each.get(table, {}).get(verb, 0) for each in tables]
            if any(counts):
                yield _pair(f"{table}, {verb}", *(_number(count) for count in counts))


def _by_table(run: Run) -> dict[str, dict[str, int]]:
    return {each["table"]: each for each in run.changes if isinstance(each, dict) and "table" in each}


def _pair(label: str, left: str, right: str, *, is_code: bool = False, note: str = "") -> Pair:
    return Pair(label, left or NOTHING, right or NOTHING, is_code, note)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _number(value: int | None) -> str:
    return "" if value is None else str(intcomma(value))


def _moment(when: datetime | None) -> str:
    return "" if when is None else f"{timezone.localtime(clock.aware(when)):%Y-%m-%d %H:%M:%S %Z}"


def _seconds(run: Run) -> float:
    """How long it took; 0 where that is not known."""
    return run.elapsed.total_seconds() if run.elapsed is not None and run.is_finished else 0.0


def _took(run: Run) -> str:
    return "" if run.elapsed is None else duration(run.elapsed) + ("" if run.is_finished else " so far")


def _ratio(left: Run, right: Run) -> str:
    """How many times as long the second took."""
    first, second = _seconds(left), _seconds(right)
    if min(first, second) < 0.01 or max(first, second) < 1:
        return ""
    ratio = second / first
    if ratio < 0.1:
        return "less than a tenth as long"
    return f"{ratio:,.0f} × as long" if ratio >= 10 else f"{ratio:.2g} × as long"


def _rate(run: Run) -> str:
    seconds = _seconds(run)
    return "" if run.own_rows is None or seconds < 0.1 else _number(round(run.own_rows / seconds))
