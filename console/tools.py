"""What may be done with a data migration, or a run, by this person now; and if not now, why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from data_migrations import clock
from data_migrations.reporting import Door

from . import approval, controls
from .catalogue import Row
from .models import Kind, Run
from .permissions import PermissionHooks, find
from .states import PLANNED, Status


@dataclass(frozen=True)
class Tool:
    """A button: where it leads, or why it does not lead anywhere now."""

    label: str
    url: str
    why_not: str = ""
    is_again: bool = False
    """Whether it does the same as the run on whose page it stands."""


def migration_url(page: str, name: str, database: str = "default", **query: str) -> str:
    """The address of a page of one data migration."""
    if database != "default":
        query["database"] = database
    url = reverse(f"admin:console_migration_{page}", args=(quote(name),))
    return f"{url}?{urlencode(query)}" if query else url


def control_url(verb: controls.Verb, run: Run) -> str:
    """The address of the page that asks something of a run."""
    return reverse(f"admin:console_run_{verb.word}", args=(run.pk,))


def runs_url(database: str, **query: str) -> str:
    """The address of the history, narrowed to a database and to what else is given."""
    return f"{reverse('admin:console_run_changelist')}?{urlencode({'database': database, **query})}"


def why_not(kind: str, row: Row) -> str:
    """Why that cannot be done with a data migration in its state; empty when it can."""
    if kind == Kind.UNMARK:
        return _busy(row) or ("" if row.applied else "It is not applied.")
    if row.registered is None:
        if row.record is not None and row.record.door == Door.CODE:
            return "It is run by code (run_once), not by a command."
        return "It is not in the code of this web server."
    if row.state == "broken":
        return "Its module cannot be imported."
    if row.state == "unknown":
        return "The ledger of this database cannot be read."
    if kind == Kind.MARK:
        return _busy(row) or ("It is applied already." if row.applied else "")
    if kind == Kind.REVERSE and not row.applied:
        return "It is not applied."
    if row.missing and kind in (Kind.RUN, Kind.DRY_RUN):
        return f"It depends on {', '.join(row.missing)}, not applied yet."
    return _busy(row) or ("" if kind == Kind.DRY_RUN else _planned(row))


def when(moment: datetime | None) -> str:
    """A moment to come, by the clock of the site."""
    local = clock.aware(moment).astimezone(timezone.get_default_timezone()) if moment else None
    return f"at {local:%Y-%m-%d %H:%M %Z}" if local else "later"


def _planned(row: Row) -> str:
    """A run that would come on top of another one; a dry run may, to look at what is to be approved."""
    held = row.held_run
    if held is not None and held.status == Status.PAUSED and held.door == Door.WORKER:
        return f"Run {held.pk} of it is paused; resume that one, or cancel it."
    run = row.planned_run
    if run is None:
        return ""
    if run.status == Status.WAITING:
        return f"Run {run.pk} of it waits for approval; have that decided, or cancel it."
    return f"Run {run.pk} of it starts {when(run.start_at)}; start that one now, or cancel it."


def _busy(row: Row) -> str:
    if row.active_run is not None:
        return f"Run {row.active_run.pk} of it is {row.active_run.status}; wait for it, or cancel it."
    if row.state == "running":
        return f"It is being run by {row.holder}." if row.holder else "It is being run now."
    return ""


def of_migration(hooks: PermissionHooks, request: HttpRequest, row: Row, database: str) -> list[Tool]:
    """The buttons of a data migration's page."""
    held = row.held_run
    resume = []
    if held is not None and controls.RESUME.is_offered(held) and may(hooks, request, controls.RESUME, held):
        why = controls.RESUME.why_not(held)
        resume = [] if why else [Tool(f"Resume run {held.pk}…", control_url(controls.RESUME, held))]
    kinds: list[tuple[str, str, str]] = [
        (Kind.DRY_RUN, "Dry run…", migration_url("run", row.name, database, kind="dry_run")),
        (Kind.RUN, *_run_tool(row, database)),
    ]
    if row.registered is not None and row.registered.reversible:
        kinds.append((Kind.REVERSE, "Reverse…", migration_url("run", row.name, database, kind="reverse")))
    kinds.append(
        (Kind.UNMARK, "Unmark…", migration_url("unmark", row.name, database))
        if row.applied
        else (Kind.MARK, "Mark as applied…", migration_url("mark", row.name, database))
    )
    return resume + [
        Tool(label, url, why_not(kind, row))
        for kind, label, url in kinds
        if hooks.has_kind_permission(request, kind, row.registered)
    ]


def _run_tool(row: Row, database: str) -> tuple[str, str]:
    """The words of the button that runs it, and where it leads."""
    if row.look != "through":
        return "Run again…" if row.applied else "Run…", migration_url("run", row.name, database)
    # Only the record is missing: the form begins as the run had it that did the rows.
    last = Run.objects.of(row.name).filter(database=database, kind=Kind.RUN).values_list("pk", flat=True).first()
    again = {"again": str(last)} if last is not None else {}
    return "Record it…", migration_url("run", row.name, database, **again)


def of_run(hooks: PermissionHooks, request: HttpRequest, run: Run) -> list[Tool]:
    """The buttons of a run's page."""
    migration = find(run.migration)
    tools = [
        Tool(verb.label, control_url(verb, run), verb.why_not(run))
        for verb in controls.VERBS.values()
        if verb.is_offered(run) and may(hooks, request, verb, run)
    ]
    if run.status == Status.WAITING and hooks.has_approve_permission(request, migration):
        why = approval.why_not(run, request.user)
        tools = [
            Tool("Approve…", reverse("admin:console_run_approve", args=(run.pk,)), why),
            Tool("Reject…", reverse("admin:console_run_reject", args=(run.pk,)), why),
            *tools,
        ]
    if run.in_batches and run.status in controls.TUNABLE and hooks.has_run_permission(request, migration):
        tools.append(Tool("Batch size and pause…", reverse("admin:console_run_tune", args=(run.pk,))))
    if (
        not (run.is_active or run.status in (*PLANNED, Status.PAUSED))
        and migration is not None
        and run.kind in (Kind.RUN, Kind.DRY_RUN, Kind.REVERSE)
        and hooks.has_kind_permission(request, run.kind, migration)
    ):
        again = {"again": str(run.pk)}
        url = migration_url("run", run.migration, run.database, kind=run.kind, **again)
        tools.append(Tool(_again(run), url, is_again=True))
        if run.kind == Kind.DRY_RUN and hooks.has_kind_permission(request, Kind.RUN, migration):
            tools.append(Tool("Run…", migration_url("run", run.migration, run.database, **again)))
    return tools


def may(hooks: PermissionHooks, request: HttpRequest, verb: controls.Verb, run: Run) -> bool:
    """Whether this person may do that with a run; whoever asked for one may withdraw it while it waits for approval."""
    migration = find(run.migration)
    if getattr(hooks, verb.permission)(request, migration):
        return True
    is_theirs = run.status == Status.WAITING and approval.is_requester(run, request.user)
    return verb is controls.CANCEL and is_theirs and hooks.has_view_permission(request)


def _again(run: Run) -> str:
    return {Kind.DRY_RUN: "Dry run again…", Kind.REVERSE: "Reverse again…"}.get(Kind(run.kind), "Run again…")


def as_context(tools: list[Tool]) -> dict[str, Any]:
    """The buttons; and why some cannot be pressed, each reason once with the buttons that it is about."""
    reasons: dict[str, list[str]] = {}
    for tool in tools:
        if tool.why_not:
            reasons.setdefault(tool.why_not, []).append(tool.label)
    return {"tools": tools, "why_nots": list(reasons.items())}
