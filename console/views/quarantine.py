"""The rows that a batched data migration set aside: shown, and accepted with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib import messages
from django.db import connections
from django.db.utils import Error
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console import dispatch, tools
from console.forms import ReasonForm
from console.models import Kind, Run
from console.permissions import find, require
from data_migrations import quarantine
from data_migrations.models import QuarantinedRow
from data_migrations.words import counted

from .page import ConsoleAdmin, chosen_database, crumbs, render, row_or_404

# Rows in a page; the shell shows all.
MOST_ROWS = 100


@dataclass(frozen=True)
class Quarantine:
    """What was set aside and waits, its first rows, and what was accepted; with where to go on."""

    waiting: int = 0
    rows: list[QuarantinedRow] = field(default_factory=list)
    accepted: list[QuarantinedRow] = field(default_factory=list)
    accept_url: str = ""
    retry_url: str = ""

    def __bool__(self) -> bool:
        return bool(self.waiting or self.accepted)


def of(admin: ConsoleAdmin, request: HttpRequest, name: str, database: str, *, again: Run | None = None) -> Quarantine:
    """The quarantine of one data migration in one database, with the buttons that this person has.

    Args:
        again: the run with whose reason and arguments another try begins.
    """
    if database not in connections:
        return Quarantine()
    try:
        rows = quarantine.every(name, database)
    except Error:
        return Quarantine()
    waiting = [row for row in rows if row.accepted_at is None]
    migration = find(name)
    may_run = migration is not None and admin.has_kind_permission(request, Kind.RUN, migration)
    may_accept = admin.has_accept_permission(request, migration)
    return Quarantine(
        len(waiting),
        waiting[:MOST_ROWS],
        [row for row in rows if row.accepted_at is not None][:MOST_ROWS],
        tools.migration_url("accept", name, database) if waiting and may_accept else "",
        tools.migration_url("run", name, database, **({"again": str(again.pk)} if again else {}))
        if waiting and may_run
        else "",
    )


def accept(admin: ConsoleAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """Ask for the reason (GET), then take it that the rows stay as they are (POST)."""
    database = chosen_database(request)
    row = row_or_404(name, database)
    require(admin.has_accept_permission(request, row.registered), f"accept quarantined rows of {name}")
    back = tools.migration_url("change", name, database)
    found = of(admin, request, name, database)
    if not found.waiting:
        messages.info(request, "No row waits to be accepted. Nothing was changed.")
        return HttpResponseRedirect(back)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        count = quarantine.accept(name, database, by=request.user.get_username(), reason=reason)
        latest = Run.objects.of(name).filter(database=database).first()
        if latest is not None:
            dispatch.log_entry(
                request.user, latest, f"Accepted {counted(count, 'quarantined row')} of {name}: {reason}"
            )
        stay = "1 row stays as it is" if count == 1 else f"{count:,} rows stay as they are"
        messages.success(request, f"Accepted: {stay}. Run it again, and it counts as applied.")
        return HttpResponseRedirect(back)
    return render(
        admin,
        request,
        "admin/console/migration/accept.html",
        title=f"Accept {counted(found.waiting, 'quarantined row')} of {name}?",
        crumbs=crumbs(admin, (name, back), ("Accept", "")),
        quarantine=found,
        form=form,
        database=database,
        form_url=tools.migration_url("accept", name, database),
        back=back,
        runs_url=reverse("admin:console_run_changelist"),
    )
