"""Runs that come through the shell, ``migrate`` or code: recorded like those of a worker."""

from __future__ import annotations

from typing import Any

from django.core import mail

from data_migrations.processes import Process
from data_migrations.reporting import Door, Reporter, RunInfo

from . import conf
from .models import Kind
from .recorder import Recorder
from .states import Status


def head_of(run: RunInfo) -> dict[str, Any]:
    """The head of the journal of a run that began outside the console: all that makes its row."""
    process = Process.current()
    kind = Kind.REVERSE if run.reverse else Kind.DRY_RUN if run.dry_run else Kind.RUN
    at = run.started_at.timestamp()
    place = {"host": process.host, "pid": process.pid}
    return {
        "key": run.key,
        "run": {
            "migration": run.name,
            "command_name": run.command_name,
            "kind": kind.value,
            "status": Status.RUNNING.value,
            "door": run.door.value,
            "database": run.using,
            "force": run.force,
            "arguments": run.arguments,
            "reason": run.reason,
            "requested_by": run.by[:150],
            "requested_at": at,
            "enqueued_at": at,
            "started_at": at,
            "heartbeat_at": at,
            "attempt": 1,
            "atomic": run.atomic,
            "in_batches": run.in_batches and kind == Kind.RUN,
            "checksum": run.checksum,
            "release": conf.get("RELEASE"),
            **place,
        },
        "attempt": {
            "number": 1,
            "machine": process.machine,
            "pid_started": process.started,
            "started_at": at,
            **place,
        },
    }


def is_recording() -> bool:
    """Whether runs that begin outside the console are recorded."""
    wanted = conf.get("RECORD")
    # Django's test runner puts an outbox there; a test's rows would be rolled back under the recorder.
    return not hasattr(mail, "outbox") if wanted == "auto" else bool(wanted)


def for_run(run: RunInfo) -> Reporter | None:
    """The recorder of a run that comes through the shell, ``migrate`` or code; None where none is wanted."""
    if run.door == Door.WORKER or not is_recording():
        return None
    return Recorder(head_of(run), secrets=getattr(run, "secrets", ()))
