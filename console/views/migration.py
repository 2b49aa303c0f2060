"""One data migration."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from console import catalogue, chart, differences, schema, tools, usual
from console.appearance import look
from console.differences import Difference
from console.endings import NOTHING_DONE
from console.models import Run
from console.permissions import narrowed, require
from console.states import Status
from data_migrations import arguments, ledger
from data_migrations.arguments import Argument
from data_migrations.exceptions import DataMigrationError
from data_migrations.models import LedgerEvent

from . import quarantine
from .page import ConsoleAdmin, chosen_database, crumbs, render, row_or_404

logger = logging.getLogger("console")

LAST_RUNS = 10


def show(admin: ConsoleAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """The page; GET only looks."""
    require(admin.has_view_permission(request), "see the data migrations")
    database = chosen_database(request)
    row = row_or_404(name, database)
    runs = list(
        Run.objects.of(name).filter(database=database).defer("traceback", "changes", "course", "samples")[:LAST_RUNS]
    )
    durations = usual.read(database, [name], last=usual.LAST + LAST_RUNS)
    return render(
        admin,
        request,
        "admin/console/migration/change_form.html",
        title=name,
        crumbs=crumbs(admin, (name, "")),
        modules=("live", "copy"),
        row=row,
        database=database,
        databases=catalogue.databases(),
        dependencies=dependencies(row, database),
        arguments=_arguments(row),
        events=_events(name, database),
        runs=[(run, usual.words(run, durations.before(run))) for run in runs],
        chart=chart.of(runs, durations.of(name)),
        runs_url=tools.runs_url(database, migration=name),
        failed_url=_failed_url(name, database),
        last_success=_applying_run(row, database),
        active=row.active_run is not None or row.planned_run is not None or row.state == "running",
        narrowed=narrowed(row.registered),
        around=_around(row, database),
        difference=_difference(row, database),
        quarantine=quarantine.of(admin, request, name, database, row=row),
        sees_log=admin.has_view_log_permission(request),
        **tools.as_context(tools.of_migration(admin, request, row, database)),
    )


def _failed_url(name: str, database: str) -> str:
    """Where the runs are that failed; empty where none did."""
    if not Run.objects.of(name).filter(database=database, status=Status.FAILED).exists():
        return ""
    return tools.runs_url(database, migration=name, status__exact=Status.FAILED)


def dependencies(row: catalogue.Row, database: str) -> list[dict[str, Any]]:
    """What must be applied first, each with its state."""
    if row.registered is None or not row.registered.depends_on:
        return []
    known = catalogue.read(database, names=row.registered.depends_on)
    found = []
    for name in row.registered.depends_on:
        other = known.get(name)
        found.append(
            {
                "name": name,
                "state": other.look if other else "unregistered",
                "word": look(other.look).word if other else "Unknown",
                "applied": bool(other and other.applied),
                "url": tools.migration_url("change", name, database) if other else "",
            }
        )
    return found


def _applying_run(row: catalogue.Row, database: str) -> Run | None:
    """The run that left the record, if the console saw it."""
    if row.record is None:
        return None
    return (
        Run.objects.of(row.name)
        .filter(database=database, status="succeeded", kind__in=("run", "mark"))
        .exclude(note__in=NOTHING_DONE)
        .defer("traceback")
        .first()
    )


def _around(row: catalogue.Row, database: str) -> list[tuple[str, schema.Around, str]]:
    """The Django migrations that it has to do with, each with the words before it and where it is shown."""
    if row.registered is None:
        return []
    page, words = reverse("admin:console_schemamigration_changelist"), {"run by": "Run by", "needs": "Needs"}
    return [
        (words[each.relation], each, f"{page}?{urlencode({'database': database, 'q': each.name})}")
        for each in schema.around(row.registered, database)
    ]


def _arguments(row: catalogue.Row) -> list[Argument]:
    """The command's own arguments; none where its author's code does not say."""
    if row.registered is None or row.registered.command_class is None:
        return []
    try:
        return arguments.describe(row.registered.command_class)
    except Exception:
        # Who looks at it has to see that and more; the form says what is wrong.
        logger.warning("The arguments of %s cannot be read.", row.name, exc_info=True)
        return []


def _difference(row: catalogue.Row, database: str) -> Difference | None:
    """What was changed since it was applied; None where nothing was."""
    if not row.changed or row.record is None or row.registered is None:
        return None
    return differences.between(ledger.source_as_applied(row.record.checksum, database), row.registered.source)


def _events(name: str, database: str) -> list[tuple[LedgerEvent, Run | None]]:
    """What was done to its record, newest first, each with the run that did it, where one is known."""
    try:
        events = list(reversed(ledger.events(name, database)))[:LAST_RUNS]
    except DataMigrationError:
        return []
    keys = [event.run_key for event in events if event.run_key]
    runs = (
        {run.key: run for run in Run.objects.filter(key__in=keys).only("key", "decision", "decided_by")} if keys else {}
    )
    return [(event, runs.get(event.run_key)) for event in events]
