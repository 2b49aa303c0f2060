"""One run."""

from __future__ import annotations

import math
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from console import absence, errors, health, liveness, pace, schedule, speed, tools, uploads, usual
from console.appearance import look
from console.models import Kind, Run
from console.permissions import find, require
from console.states import ACTIVE, PLANNED, Status

from . import logpage, quarantine
from .page import ConsoleAdmin, crumbs, render

NOTICES = 50


def get_or_404(pk: Any) -> Run:
    """The run of that number.

    Raises:
        Http404: there is none.
    """
    try:
        return Run.objects.get(pk=number_or_404(pk))
    except (Run.DoesNotExist, OverflowError) as error:
        raise no_run(pk) from error


def number_or_404(pk: Any) -> int:
    """What the address gives as the number of a run.

    Raises:
        Http404: it is none.
    """
    try:
        return int(pk)
    except ValueError as error:
        raise no_run(pk) from error


def no_run(pk: Any) -> Http404:
    """What to raise where there is no run of that number."""
    return Http404(f"There is no run {pk}.")


def show(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """The page; GET only looks."""
    require(admin.has_view_permission(request), "see the runs")
    run = get_or_404(pk)
    sees_log = admin.has_view_log_permission(request)
    sees_arguments = admin.has_view_arguments_permission(request)
    migration = find(run.migration)
    live = request.headers.get("X-Console-Live") == "1"
    # Asked for once a few seconds; then the log has a script of its own.
    log = logpage.of(request, run) if sees_log and not live else None
    return render(
        admin,
        request,
        "admin/console/run/change_form.html",
        title=_title(run),
        crumbs=_crumbs(admin, run, f"Run {run.pk}"),
        modules=("live", "log") if sees_log else ("live",),
        run=run,
        in_code=migration is not None,
        migration=migration,
        absence=absence.of_run(run) if migration is None else None,
        is_mark=run.kind in (Kind.MARK, Kind.UNMARK),
        migration_url=tools.migration_url("change", run.migration, run.database),
        share=_share(run),
        pace=pace.of(run),
        speed=speed.of(run),
        against_usual=usual.words(run, usual.before(run)),
        quarantine=quarantine.of_run(admin, request, run),
        samples=_samples(run),
        adapts=migration is not None and migration.adapts,
        shows_samples=bool(run.samples) or migration is None or migration.in_batches,
        tried_part=_tried_part(run),
        since=_since(run),
        error=errors.told(run),
        error_class_path=errors.class_path(run),
        left_rows_aside=errors.left_rows_aside(run),
        error_place=errors.place(run, migration) if sees_log else None,
        liveness=liveness.of(run),
        waiting_problems=health.problems() if run.status == Status.ENQUEUED else [],
        attempts=list(run.attempts.all()),
        **_notices(run),
        inserted=sum(change.get("inserted", 0) for change in _changes(run)),
        updated=sum(change.get("updated", 0) for change in _changes(run)),
        deleted=sum(change.get("deleted", 0) for change in _changes(run)),
        changes=_changes(run),
        before=_before(run),
        parameters={dest: uploads.words(value) for dest, value in run.arguments.items()} if sees_arguments else None,
        sees_arguments=sees_arguments,
        sees_log=sees_log,
        waits_before=(*PLANNED, Status.ENQUEUED),
        log=log,
        active=run.status in (*ACTIVE, *PLANNED, Status.INTERRUPTED),
        is_shut=run.status == Status.SCHEDULED and schedule.is_shut(run, timezone.now()),
        window=schedule.window_of(migration, run.kind) if not run.is_finished else None,
        **tools.as_context(tools.of_run(admin, request, run)),
    )


def _crumbs(admin: ConsoleAdmin, run: Run, last: str) -> list[tuple[str, str]]:
    way = [("Runs", reverse(f"{admin.admin_site.name}:console_run_changelist"))]
    return crumbs(admin, *way, (last, ""))


def _title(run: Run) -> str:
    return f"{look(run.kind).word} {run.pk}: {run.migration}"


def _share(run: Run) -> int | None:
    """How much is done, from 0 to 100; None where nobody knows."""
    if not run.progress_total or run.progress_done is None:
        return None
    # Rounded down: 100 % is all of them.
    return math.floor(min(100.0, 100.0 * run.progress_done / run.progress_total))


def _tried_part(run: Run) -> bool:
    """Whether a dry run tried some batches only."""
    return run.estimated_seconds is not None and run.tried is not None and run.tried[0] < run.tried[1]


def _since(run: Run) -> Run | None:
    """What did the work of a run that did not: for those whom a notice leads to it days later."""
    if run.status not in (Status.FAILED, Status.CANCELLED) or run.kind in (Kind.MARK, Kind.UNMARK):
        return None
    kinds = (Kind.RUN, Kind.MARK) if run.kind == Kind.RUN else (run.kind,)
    later = Run.objects.of(run.migration).filter(database=run.database, pk__gt=run.pk, status=Status.SUCCEEDED)
    return later.filter(kind__in=kinds).only("pk", "requested_at").first()


def _notices(run: Run) -> dict[str, Any]:
    """Who was told of it, and how many notices were given up."""
    notices = list(run.notices.order_by("pk")[:NOTICES])
    return {"notices": notices, "notices_failed": sum(1 for each in notices if each.error and each.tries)}


def _changes(run: Run) -> list[dict[str, Any]]:
    return [change for change in run.changes if isinstance(change, dict) and "table" in change]


def _samples(run: Run) -> list[dict[str, Any]]:
    """The rows of a dry run, one entry for each field that would change; one for a row that would be deleted."""
    found = []
    for sample in run.samples:
        if sample["after"] is None:
            text = ", ".join(f"{field}={value}" for field, value in sample["before"].items())
            found.append({"key": sample["key"], "before": text, "deleted": True})
        for name, after in (sample["after"] or {}).items():
            before = sample["before"].get(name)
            found.append({"key": sample["key"], "field": name, "before": before, "after": after})
    return found


def _before(run: Run) -> dict[str, Any] | None:
    """The record before a mark or an unmark, with its time as one; None where there was none."""
    found = next((change.get("before") for change in run.changes if isinstance(change, dict)), None)
    return {**found, "applied_at": parse_datetime(str(found.get("applied_at", "")))} if found else None
