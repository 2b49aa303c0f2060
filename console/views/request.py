"""Asking for a run: form, then confirm, then the POST that starts it, then the run's page."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from console import approval, catalogue, dispatch, environment, estimates, rehearsals, schedule, tools, uploads
from console.catalogue import Row
from console.estimates import Estimate
from console.forms import PREFIX, RunForm, anew, initial_of
from console.models import Kind, Run
from console.permissions import require
from console.rehearsals import Parameters
from console.tickets import StaleTicket, Ticket, open_ticket
from data_migrations import arguments, clock
from data_migrations.exceptions import DataMigrationError

from . import quarantine
from .migration import dependencies
from .page import ConsoleAdmin, chosen_database, crumbs, render, row_or_404

VERBS = {Kind.RUN: "Run", Kind.DRY_RUN: "Dry-run", Kind.REVERSE: "Reverse"}


def show(admin: ConsoleAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """The form (GET), or the confirm page for what was filled in (POST); neither starts anything."""
    database = chosen_database(request)
    row = row_or_404(name, database)
    kinds = _allowed_kinds(admin, request, row)
    require(bool(kinds), "run this data migration")
    refusals = [tools.why_not(kind, row) for kind in kinds]
    if all(refusals):
        messages.error(request, refusals[0])
        return HttpResponseRedirect(tools.migration_url("change", name, database))
    if request.method == "POST" and "ticket" in request.POST:
        return _back(admin, request, row, kinds, database)
    data = request.POST if request.method == "POST" else None
    again = _again(admin, request, row)
    initial: dict[str, Any] = {"kind": request.GET.get("kind", kinds[0]), "database": database, **again.pop("initial")}
    form = _form(row, kinds, data, files=request.FILES, initial=initial)
    if data is not None and form.is_valid():
        form.store_uploads(request.user)
        ticket = Ticket(
            name=name,
            kind=form.cleaned_data["kind"],
            database=form.cleaned_data["database"],
            reason=form.cleaned_data["reason"],
            force=bool(form.cleaned_data.get("force")),
            values=form.values(),
            checksum=_checksum(row),
            user=str(request.user.pk),
            start_at=form.cleaned_data["start_at"].isoformat() if form.cleaned_data["start_at"] else "",
        )
        return confirm(admin, request, row, ticket)
    return _form_page(admin, request, row, form, database, **again)


def start(admin: ConsoleAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """The POST from the confirm page: checks everything again, records the run, leads to its page."""
    try:
        ticket = open_ticket(request.POST.get("ticket", ""), str(request.user.pk))
        if ticket.name != name:
            raise StaleTicket
    except StaleTicket as error:
        messages.warning(request, " ".join(str(error.__doc__ or StaleTicket.__doc__).split()))
        return HttpResponseRedirect(tools.migration_url("run", name))
    row = row_or_404(name, ticket.database)
    require(admin.has_kind_permission(request, ticket.kind, row.registered), "run this data migration")
    if request.POST.get("ignore_window"):
        ticket = replace(ticket, ignore_window=True)
    already = Run.objects.filter(once_key=ticket.once_key).first()
    if already is not None:
        return _to_run(already)
    refusal = tools.why_not(ticket.kind, row) or _needs_force(ticket, row)
    if refusal:
        messages.error(request, f"Nothing was started. {refusal}")
        return HttpResponseRedirect(tools.migration_url("change", name, ticket.database))
    if _past(ticket):
        return confirm(admin, request, row, ticket)
    if ticket.checksum != _checksum(row):
        fresh = replace(ticket, checksum=_checksum(row), made_at=time.time())
        warning = "Its source was changed after you filled in the form. Nothing was started; look again."
        return confirm(admin, request, row, fresh, warning=warning)
    if _wants_name(ticket, row) and request.POST.get("typed_name", "").strip() != name:
        return confirm(admin, request, row, ticket, warning="Type its name exactly to confirm.")
    try:
        run = dispatch.request_run(
            name,
            user=request.user,
            kind=ticket.kind,
            database=ticket.database,
            values=ticket.values,
            reason=ticket.reason,
            force=ticket.force,
            start_at=ticket.starts,
            ignore_window=ticket.ignore_window,
            once_key=ticket.once_key,
        )
    except DataMigrationError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(tools.migration_url("change", name, ticket.database))
    return _to_run(run)


def confirm(admin: ConsoleAdmin, request: HttpRequest, row: Row, ticket: Ticket, *, warning: str = "") -> HttpResponse:
    """What will be done where, before it is."""
    assert row.registered is not None
    assert row.registered.command_class is not None
    command = row.registered.command_class()
    shown = {dest: uploads.words(value) for dest, value in arguments.masked(command, ticket.values).items()}
    target = row_or_404(row.name, ticket.database)
    last_failure = target.failed_run
    now = timezone.now()
    window = schedule.window_of(row.registered, ticket.kind)
    asked = ticket.starts or now
    wanted = Parameters.asked(row.registered, ticket.values)
    estimate = estimates.of(row.registered, ticket.kind, ticket.database, ticket.values, wanted)
    # Where no row is left, what a dry run of them said is past.
    tells = ticket.kind == Kind.RUN and estimate.rows != 0
    rehearsal = rehearsals.last(row.registered, ticket.database, wanted) if tells else None
    return render(
        admin,
        request,
        "admin/console/migration/confirm.html",
        title=f"{VERBS[Kind(ticket.kind)]} {row.name}?",
        crumbs=_crumbs(admin, row, ticket.database, "Confirm"),
        row=target,
        ticket=ticket,
        sealed=ticket.seal(),
        parameters=shown,
        defaults=arguments.defaults(command, ticket.values),
        verb=VERBS[Kind(ticket.kind)],
        dependencies=dependencies(target, ticket.database),
        last_failure=last_failure,
        last_failure_words=target.failure,
        accepted=quarantine.accepted(row.name, ticket.database) if ticket.force and estimate.done is None else [],
        tells_dry_run=tells,
        warning=warning,
        refusal=tools.why_not(ticket.kind, target) or _needs_force(ticket, target) or _past(ticket),
        wants_name=_wants_name(ticket, row),
        needs_approval=approval.is_needed(row.registered, ticket.kind),
        approval_until=approval.expires_at(now, ticket.starts),
        starts=ticket.starts,
        window=window,
        opens=window.next_opening(asked) if window and not window.is_open(asked) else None,
        closes=window.next_closing(asked) if window and window.is_open(asked) else None,
        rehearsal=rehearsal,
        rehearsal_is_of_more=rehearsal is not None and _is_before(rehearsal, estimate),
        rehearsal_hides=any(ticket.values.get(dest) for dest in row.registered.sensitive_arguments),
        estimate=estimate,
        back_url=tools.migration_url("change", row.name, ticket.database),
        form_url=tools.migration_url("run", row.name),
        start_url=tools.migration_url("start", row.name),
    )


def _is_before(rehearsal: Run, estimate: Estimate) -> bool:
    """Whether rows were done since that dry run, so that it tried what is not to be done any more."""
    return estimate.done_at is not None and clock.aware(rehearsal.requested_at) < estimate.done_at


def _allowed_kinds(admin: ConsoleAdmin, request: HttpRequest, row: Row) -> list[str]:
    kinds = [str(Kind.RUN), str(Kind.DRY_RUN)]
    if row.registered is not None and row.registered.reversible:
        kinds.append(str(Kind.REVERSE))
    return [kind for kind in kinds if admin.has_kind_permission(request, kind, row.registered)]


def _form(row: Row, kinds: list[str], data: Any, initial: dict[str, Any], files: Any = None) -> RunForm:
    assert row.registered is not None
    return RunForm(
        data,
        files if data is not None else None,
        initial=initial,
        migration=row.registered,
        kinds=kinds,
        databases=catalogue.databases(),
        applied=row.applied,
    )


def _back(admin: ConsoleAdmin, request: HttpRequest, row: Row, kinds: list[str], database: str) -> HttpResponse:
    """From the confirm page to the form, with what was filled in; what is sensitive is asked for again."""
    try:
        ticket = open_ticket(request.POST["ticket"], str(request.user.pk))
    except StaleTicket:
        return HttpResponseRedirect(tools.migration_url("run", row.name, database))
    values = {PREFIX + dest: value for dest, value in ticket.values.items()}
    keep = ("kind", "database", "reason", "force")
    initial = {**values, **{key: getattr(ticket, key) for key in keep}, "start_at": ticket.starts}
    here = row_or_404(row.name, ticket.database)
    return _form_page(admin, request, here, _form(here, kinds, None, initial), ticket.database)


def _again(admin: ConsoleAdmin, request: HttpRequest, row: Row) -> dict[str, Any]:
    """What the run that is to be repeated (``?again=``) was asked for with, as far as this person may see it."""
    asked = request.GET.get("again", "")
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 19) or not admin.has_view_permission(request):
        return {"initial": {}}
    run = Run.objects.of(row.name).filter(pk=int(asked)).first()
    if run is None or row.registered is None or row.registered.command_class is None:
        return {"initial": {}}
    # A forced run that is not at its end goes on as one.
    initial: dict[str, Any] = {"reason": run.reason, "force": run.force and row.state in ("quarantined", "interrupted")}
    sees = admin.has_view_arguments_permission(request)
    if sees:
        initial |= initial_of(row.registered, run.arguments)
    return {
        "initial": initial,
        "again": run,
        "hides_arguments": bool(run.arguments) and not sees,
        "anew": anew(row.registered, run.arguments),
    }


def _form_page(
    admin: ConsoleAdmin, request: HttpRequest, row: Row, form: RunForm, database: str, **context: Any
) -> HttpResponse:
    verb = VERBS.get(form["kind"].value(), "Run")
    return render(
        admin,
        request,
        "admin/console/migration/run_form.html",
        title=f"{verb} {row.name}",
        crumbs=_crumbs(admin, row, database, verb),
        modules=("form",),
        row=row,
        form=form,
        **context,
        form_url=tools.migration_url("run", row.name),
        back_url=tools.migration_url("change", row.name, database),
    )


def _crumbs(admin: ConsoleAdmin, row: Row, database: str, last: str) -> list[tuple[str, str]]:
    here = (row.name, tools.migration_url("change", row.name, database))
    return crumbs(admin, here, (last, ""))


def _needs_force(ticket: Ticket, row: Row) -> str:
    if ticket.kind == Kind.RUN and row.applied and not ticket.force:
        return "It is applied already; to run it again, tick that in the form."
    return ""


def _past(ticket: Ticket) -> str:
    try:
        if ticket.starts is not None:
            schedule.check(ticket.starts, timezone.now())
    except schedule.InvalidStart as error:
        return str(error)
    return ""


def _wants_name(ticket: Ticket, row: Row) -> bool:
    """Whether a slip of the hand would be dear: destructive work, and doing it again in production."""
    if row.registered is None or ticket.kind == Kind.DRY_RUN:
        return False
    return row.registered.destructive or (ticket.force and environment.is_production())


def _checksum(row: Row) -> str:
    return row.registered.checksum if row.registered else ""


def _to_run(run: Run) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:console_run_change", args=(run.pk,)))
