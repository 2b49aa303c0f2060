"""The history as a file: CSV, a JSON array or JSON lines, read piece by piece however long it is."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet

from data_migrations import clock

from . import uploads
from .models import Kind, Run

# Runs read by one query. Only so many are in memory at a time.
PIECE = 1000
# A spreadsheet takes a text that begins so for a formula, and may do what it says.
# Behind whatever it does not show, and in East Asia also with wide signs.
_FORMULA = re.compile("[\\s\ufeff\u200b-\u200d]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[ \u00a0\ufeff]*[\t\r\n]")

_COLUMNS = (
    "run", "migration", "command", "kind", "status", "door", "database", "force", "reason", "requested_by",
    "requested_at", "started_at", "finished_at", "seconds", "host", "pid", "attempts", "release", "checksum",
    "affected_rows", "rows_before", "rows", "result", "error_class", "error_message", "note", "decision", "decided_by",
    "decided_at", "decision_note", "record_before", "record_after", "changes",
)  # fmt: skip
_ARGUMENTS = "arguments"
_NOT_READ = ("traceback", "sealed_arguments", "samples", "course")


def columns(*, with_arguments: bool) -> tuple[str, ...]:
    """The names of the fields, in their order."""
    return (*_COLUMNS, _ARGUMENTS) if with_arguments else _COLUMNS


def rows(runs: QuerySet[Run], *, with_arguments: bool) -> Iterator[dict[str, Any]]:
    """Each run as plain values, newest first; never more than one piece of them in memory."""
    left_out = _NOT_READ if with_arguments else (*_NOT_READ, _ARGUMENTS)
    # By time, along the indexes of the filters; each piece begins where the last one ended.
    ordered = runs.order_by("-requested_at", "-pk").defer(None).defer(*left_out)
    last: Run | None = None
    while True:
        piece = list((ordered if last is None else ordered.filter(_after(last)))[:PIECE])
        for run in piece:
            yield _row(run, with_arguments=with_arguments)
        if len(piece) < PIECE:
            return
        last = piece[-1]


def _after(last: Run) -> Q:
    """The runs that come after that one; the first bound is the one that an index takes."""
    return Q(requested_at__lte=last.requested_at) & (Q(requested_at__lt=last.requested_at) | Q(pk__lt=last.pk))


def _row(run: Run, *, with_arguments: bool) -> dict[str, Any]:
    values = {
        "run": run.pk,
        "migration": run.migration,
        "command": run.command_name,
        "kind": run.kind,
        "status": run.status,
        "door": run.door,
        "database": run.database,
        "force": run.force,
        "reason": run.reason,
        "requested_by": run.requested_by,
        "requested_at": _moment(run.requested_at),
        "started_at": _moment(run.started_at),
        "finished_at": _moment(run.finished_at),
        "seconds": round(run.elapsed.total_seconds(), 3) if run.elapsed is not None and run.finished_at else None,
        "host": run.host,
        "pid": run.pid,
        "attempts": run.attempt,
        "release": run.release,
        "checksum": run.checksum,
        "affected_rows": run.affected_rows,
        "rows_before": run.rows_before,
        "rows": run.own_rows,
        "result": run.result,
        "error_class": run.error_class,
        "error_message": run.error_message,
        "note": run.note,
        "decision": run.decision,
        "decided_by": run.decided_by,
        "decided_at": _moment(run.decided_at),
        "decision_note": run.decision_note,
        **_record(run),
        "changes": [each for each in run.changes if isinstance(each, dict) and "table" in each],
    }
    if with_arguments:
        values[_ARGUMENTS] = {name: uploads.words(value) for name, value in run.arguments.items()}
    return values


def _moment(when: datetime | None) -> datetime | None:
    return None if when is None else clock.aware(when)


def _record(run: Run) -> dict[str, Any]:
    """What a mark or an unmark made of the record; None for other runs, and where there was or is none."""
    if run.kind not in (Kind.MARK, Kind.UNMARK):
        return {"record_before": None, "record_after": None}
    change = next((each for each in run.changes if isinstance(each, dict) and "before" in each), {})
    return {"record_before": change.get("before"), "record_after": change.get("after")}


class _Echo:
    """A file for ``csv.writer`` that hands back what is written."""

    def write(self, text: str) -> str:
        return text


def as_csv(found: Iterable[dict[str, Any]], names: tuple[str, ...]) -> Iterator[str]:
    """With a head line; structured values are JSON, texts that a spreadsheet would execute get a quote before them."""
    writer = csv.writer(_Echo())
    # The mark tells a spreadsheet that it is UTF-8.
    yield "\ufeff" + writer.writerow(names)
    for row in found:
        yield writer.writerow([_cell(row[name]) for name in names])


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    if isinstance(value, datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else _json(value)
    return f"'{text}" if _FORMULA.match(text) else text


def as_json(found: Iterable[dict[str, Any]], names: tuple[str, ...]) -> Iterator[str]:
    """One array."""
    before = "[\n"
    for row in found:
        yield before + _json(row)
        before = ",\n"
    yield "\n]\n" if before.startswith(",") else "[]\n"


def as_json_lines(found: Iterable[dict[str, Any]], names: tuple[str, ...]) -> Iterator[str]:
    """One object a line."""
    for row in found:
        yield _json(row) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)


Writer = Callable[[Iterable[dict[str, Any]], tuple[str, ...]], Iterator[str]]
# By what the address calls it: who writes it, and as what it is sent.
FORMATS: dict[str, tuple[Writer, str]] = {
    "csv": (as_csv, "text/csv; charset=utf-8"),
    "json": (as_json, "application/json"),
    "jsonl": (as_json_lines, "application/jsonl; charset=utf-8"),
}
