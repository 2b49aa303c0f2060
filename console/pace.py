"""How a run in batches goes: how fast, how long still, with which batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.utils import Error
from django.utils import timezone

from data_migrations import checkpoints
from data_migrations.models import Checkpoint
from data_migrations.rate import seconds_left
from data_migrations.reporting import Door

from .models import Run
from .permissions import find
from .states import FINISHED, Status

EARLY_SECONDS = 10
"""Before that nobody is told how long it still takes."""


@dataclass(frozen=True)
class Pace:
    """Rows a second and seconds left are None where nobody knows; sizes are rows, pauses seconds."""

    rate: float | None = None
    seconds_left: float | None = None
    batches: int | None = None
    batch_size: int | None = None
    wanted_batch_size: int | None = None
    wanted_pause: float | None = None


def of(run: Run) -> Pace:
    """The pace of a run that is under way; empty for one that is not, or whose database does not say."""
    if run.status in FINISHED:
        return Pace()
    rate = run.rate if run.status == Status.RUNNING else None
    left = None if _is_early(run) else seconds_left(run.progress_done or 0, run.progress_total, rate)
    checkpoint = _checkpoint(run)
    if checkpoint is None or not checkpoint.batches:
        return Pace(rate, left)
    return Pace(
        rate,
        left,
        checkpoint.batches,
        checkpoint.batch_size,
        checkpoint.wanted_batch_size,
        checkpoint.wanted_pause,
    )


def _is_early(run: Run) -> bool:
    """Whether what it did so far says nothing of the rest: its first batches are slow, and small where they adapt."""
    began = run.attempt_at or run.started_at
    return began is None or (timezone.now() - began).total_seconds() < EARLY_SECONDS


def _checkpoint(run: Run) -> Checkpoint | None:
    if not run.in_batches or run.database not in connections:
        return None
    try:
        return checkpoints.find(run.migration, run.database)
    except Error:
        return None


def words(run: Run, checkpoint: Checkpoint) -> dict[str, str]:
    """The present ``batch_size`` and ``pause`` of a run that is under way, in words; what is unknown is left out."""
    migration = find(run.migration)
    # The code here may be another one than that which is run.
    command: Any = migration.command_class if migration is not None and migration.in_batches else None
    # In a shell it may have been started with options, of which nothing is stored.
    from_command = "from the command" + ("" if run.door == Door.WORKER else " unless an option says otherwise")
    found = {}
    if checkpoint.wanted_batch_size:
        found["batch_size"] = f"Now {checkpoint.wanted_batch_size:,}, as somebody asked for."
    elif checkpoint.batch_size:
        adapts = command is not None and command.target_batch_seconds
        found["batch_size"] = f"Now {checkpoint.batch_size:,}{', adapting by itself' if adapts else ''}."
    elif command is not None:
        found["batch_size"] = f"Now {command.batch_size:,}, {from_command}."
    if checkpoint.wanted_pause is not None:
        found["pause"] = f"Now {checkpoint.wanted_pause:g} s, as somebody asked for."
    elif command is not None:
        found["pause"] = f"Now {command.pause_seconds:g} s, {from_command}."
    return found
