"""What a dry run in batches shows: a few rows before and after, and how long the whole would take."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from . import rate
from .batches import Batch, QuerysetBatch
from .sizing import forecast
from .words import counted

ROWS = 5
"""How many rows are shown."""
LOOKED_AT = 200
"""How many rows of the batch are looked at to find some that change."""
LONGEST = 200
"""Characters of a text that are shown."""

Sample = dict[str, Any]
"""``key``, ``before`` and ``after``: field -> value, only of what changes; ``after`` is None for a deleted row."""


@dataclass
class Speed:
    """How many rows took how many seconds."""

    rows: int = 0
    seconds: float = 0.0

    def add(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self.rows += rows
        self.seconds += seconds


class Sampler:
    """Looks at the rows of the first batch that changes some, and at the time that batches take.

    Attributes:
        samples: what was seen, JSON-serialisable.
        seen: how many rows were tried, those that failed among them.
        estimated_seconds: what all that is left would take; None where that cannot be told.
        estimated_pauses: how many seconds of that are pauses between batches.
        is_searching: set while a batch looks for the rows on which it failed, so that its time is that of no other.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self.rows = rows
        self.samples: list[Sample] = []
        self.seen = 0
        self.estimated_seconds: float | None = None
        self.estimated_pauses = 0.0
        self.is_searching = False
        # Seconds and rows of the batches that came through at once, and of those in which rows had to be looked for.
        self._whole, self._searched = Speed(), Speed()

    @contextmanager
    def around(self, batch: Batch) -> Iterator[None]:
        """Time the block, and compare the batch's first rows before and after it; only rows of a table can be."""
        keys: list[Any] = []
        if self.rows > 0 and not self.samples and isinstance(batch, QuerysetBatch):
            keys = list(batch.queryset.order_by("pk").values_list("pk", flat=True)[:LOOKED_AT])
            before = self._values(batch, keys)
        self.is_searching = False
        began = time.monotonic()
        yield
        speed = self._searched if self.is_searching else self._whole
        speed.add(len(batch), time.monotonic() - began)
        self.seen += len(batch)
        if isinstance(batch, QuerysetBatch) and keys:
            after = self._values(batch, keys)
            changed = [key for key in keys if before.get(key) != after.get(key)]
            self.samples = [
                _sample(batch.keyset.to_json(key), before.get(key, {}), after.get(key)) for key in changed[: self.rows]
            ]

    def estimate(self, total: int | None, done: int, pause: float, size: int, target: float | None) -> list[str]:
        """Take the rows seen for all that are left, with a pause after each batch of them; gives it in words.

        Args:
            done: how many an earlier run did, so that they are none of those.
            pause: seconds after each batch.
            size: of the first batch.
            target: what a batch should take, in seconds, so that the size follows; None where it does not.
        """
        if total is None or total <= done or not self.seen:
            return []
        left = total - done
        # Looking for a row that fails takes as long as many batches, and hardly any other batch has one.
        speed = self._whole if self._whole.rows else self._searched
        each = speed.seconds / speed.rows
        ahead = forecast(left, size, each, target)
        self.estimated_pauses = ahead.batches * pause
        self.estimated_seconds = left * each + self.estimated_pauses
        if each <= 0:
            return []
        pauses = f", and with {counted(ahead.batches, 'pause')} of {pause:g} s after batches {ahead}"
        rows = f"All {left:,} rows" if 1 < left == total else f"The {counted(left, 'row')}{' left' if done else ''}"
        return [
            f"{rows} would take about {rate.duration(self.estimated_seconds)}, at the "
            f"{rate.number(1 / each)} rows/s of these {speed.rows:,}{pauses if self.estimated_pauses else ''}"
            f"{'; looking for rows that fail comes on top' if speed is self._whole and self._searched.rows else ''}."
        ]

    def words(self) -> list[str]:
        """The rows seen, for a person."""
        return ["\n".join(["Rows before → after:", *lines(self.samples)])] if self.samples else []

    def _values(self, batch: QuerysetBatch, keys: list[Any]) -> dict[Any, dict[str, Any]]:
        """The rows of these keys by key, each as field -> value."""
        rows: Sequence[Model] = list(batch.keyset.unfiltered.filter(pk__in=keys))
        return {
            row.pk: {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} for row in rows
        }


def _sample(key: Any, before: dict[str, Any], after: dict[str, Any] | None) -> Sample:
    if after is None:
        return {"key": key, "before": {name: plain(value) for name, value in before.items()}, "after": None}
    changed = [name for name, value in after.items() if before.get(name) != value]
    return {
        "key": key,
        "before": {name: plain(before.get(name)) for name in changed},
        "after": {name: plain(after[name]) for name in changed},
    }


def plain(value: Any) -> Any:
    """A field's value as JSON can hold it, long texts cut."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value):,} bytes"
    if isinstance(value, dict | list | tuple):
        value = json.dumps(value, default=str, ensure_ascii=False)
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def lines(samples: Sequence[Sample]) -> list[str]:
    """The samples in words, a line for each row."""
    told = []
    for sample in samples:
        before, after = sample["before"], sample["after"]
        if after is None:
            changes = f"deleted ({', '.join(f'{name} {value!r}' for name, value in before.items())})"
        else:
            changes = ", ".join(f"{name} {before[name]!r} → {after[name]!r}" for name in after)
        told.append(f"  {sample['key']}: {changes}")
    return told
