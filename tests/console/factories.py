"""Rows of the console, made for a test."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import factory
from django.utils import timezone

from console.models import Attempt, LogChunk, Run, Worker
from console.states import Status
from data_migrations.processes import Process


class RunFactory(factory.django.DjangoModelFactory[Run]):
    """A run that waits for a worker."""

    class Meta:
        model = Run

    migration = "increment_items_2026_01_01"
    command_name = "increment"
    requested_by = "ana"
    reason = "for the test"

    class Params:
        running = factory.Trait(
            status=Status.RUNNING,
            attempt=1,
            started_at=factory.LazyFunction(timezone.now),
            heartbeat_at=factory.LazyFunction(timezone.now),
            host="elsewhere",
            pid=4711,
        )
        finished = factory.Trait(
            status=Status.SUCCEEDED,
            attempt=1,
            started_at=factory.LazyFunction(timezone.now),
            finished_at=factory.LazyFunction(timezone.now),
        )


class AttemptFactory(factory.django.DjangoModelFactory[Attempt]):
    """The first attempt of a run, in this very process unless told otherwise."""

    class Meta:
        model = Attempt

    run = factory.SubFactory(RunFactory, running=True)
    number = 1
    host = factory.LazyFunction(lambda: Process.current().host)
    pid = factory.LazyFunction(lambda: Process.current().pid)
    machine = factory.LazyFunction(lambda: Process.current().machine)
    pid_started = factory.LazyFunction(lambda: Process.current().started)
    started_at = factory.LazyFunction(timezone.now)


class WorkerFactory(factory.django.DjangoModelFactory[Worker]):
    """A worker that was just seen."""

    class Meta:
        model = Worker

    host = "elsewhere"
    pid = factory.Sequence(lambda number: 1000 + number)
    started_at = factory.LazyFunction(timezone.now)
    seen_at = factory.LazyFunction(timezone.now)


def write_log(run: Run, lines: list[str], *, level: str = "o", at: datetime | None = None, size: int = 500) -> None:
    """Put lines at the end of a run's log, in chunks of ``size``."""
    at = at or timezone.now()
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        LogChunk.objects.create(
            run=run,
            first=run.log_next,
            count=len(part),
            bytes=sum(len(line) + 16 for line in part),
            at=at,
            text="\n".join(part),
            meta=json.dumps([[0, level]] * len(part)),
        )
        run.log_next += len(part)
    Run.objects.filter(pk=run.pk).update(log_next=run.log_next)


def user(name: str = "ana", **fields: Any) -> Any:
    """A user of the site."""
    from django.contrib.auth import get_user_model

    return get_user_model().objects.create_user(username=name, password="secret", **fields)
