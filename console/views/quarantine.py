"""The rows that a batched data migration set aside: shown, and accepted with a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from django.apps import apps
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.db import connections, router
from django.db.utils import Error
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console import catalogue, dispatch, tools
from console.forms import ReasonForm
from console.models import Kind, Run
from console.permissions import require
from console.states import Status
from data_migrations import clock, ledger, quarantine
from data_migrations.models import Event, QuarantinedRow
from data_migrations.words import counted, were

from .page import ConsoleAdmin, chosen_database, crumbs, render, row_or_404

APPLIED = (Event.APPLIED, Event.REAPPLIED)
# Rows in a page; the shell shows all.
MOST_ROWS = 100


@dataclass(frozen=True)
class AsideRow:
    """One row as a page shows it; ``url``: its page in this admin, empty where this person has none."""

    aside: QuarantinedRow
    url: str


@dataclass(frozen=True)
class Quarantine:
    """What was set aside and waits, its first rows, and what was accepted; with where to go on."""

    name: str = ""
    waiting: int = 0
    rows: list[AsideRow] = field(default_factory=list)
    accepted: list[QuarantinedRow] = field(default_factory=list)
    accept_url: str = ""
    retry_url: str = ""
    is_over: bool = False
    """Whether all other rows are done, so that these are what is left."""

    def __bool__(self) -> bool:
        return bool(self.waiting or self.accepted)


def of(
    admin: ConsoleAdmin, request: HttpRequest, name: str, database: str, *, row: catalogue.Row | None = None
) -> Quarantine:
    """The quarantine of one data migration in one database, with the buttons that this person has.

    Args:
        row: the data migration as it stands, where that is known already.
    """
    rows = _every(name, database)
    if not rows:
        return Quarantine()
    row = row or catalogue.find(name, database)
    migration = row.registered if row else None
    is_over = row is not None and row.is_through and row.state in ("quarantined", "interrupted")
    waiting = [each for each in rows if each.accepted_at is None]
    return Quarantine(
        name,
        len(waiting),
        [AsideRow(each, _admin_url(admin, request, each, database)) for each in waiting[:MOST_ROWS]],
        _accepted(rows, name, database)[:MOST_ROWS],
        tools.migration_url("accept", name, database)
        if waiting and is_over and admin.has_accept_permission(request, migration)
        else "",
        tools.migration_url("run", name, database, **_again(name, database))
        if is_over and migration is not None and admin.has_kind_permission(request, Kind.RUN, migration)
        else "",
        is_over,
    )


def accepted(name: str, database: str) -> list[QuarantinedRow]:
    """The rows that the record as it stands leaves as they are, or the one that is to come; each once."""
    return _accepted(_every(name, database), name, database)


def _every(name: str, database: str) -> list[QuarantinedRow]:
    """All rows set aside; none where the database does not say."""
    try:
        return quarantine.every(name, database) if database in connections else []
    except Error:
        return []


def _accepted(rows: list[QuarantinedRow], name: str, database: str, run: Run | None = None) -> list[QuarantinedRow]:
    """The rows that a record leaves as they are; each once.

    What was accepted before an earlier application has been worked on anew since, and what waits now fails again.

    Args:
        run: the one whose record it is; that which stands, or is to come, where it is None.
    """
    if not any(each.accepted_at for each in rows):
        return []
    until = clock.aware(run.finished_at) if run is not None and run.finished_at is not None else None
    done = [clock.aware(each.at) for each in ledger.events(name, database) if each.event in APPLIED]
    if run is not None:
        # Its own application is noted a moment before its end.
        done = [at for at in done if until is None or at <= until]
    since = done[-2] if len(done) > 1 else None
    again = {each.key for each in rows if each.accepted_at is None} if run is None else set()
    newest = {}
    for each in rows:
        at = clock.aware(each.accepted_at) if each.accepted_at else None
        if at and each.key not in again and (since is None or at > since) and (until is None or at <= until):
            newest[each.key] = each
    return list(newest.values())


def of_run(admin: ConsoleAdmin, request: HttpRequest, run: Run) -> Quarantine:
    """What a run has left, while no other one came after it; what there is now may be from a later one."""
    newer = Run.objects.of(run.migration).filter(database=run.database, kind=Kind.RUN, pk__gt=run.pk)
    if not run.in_batches:
        return Quarantine()
    if not newer.filter(started_at__isnull=False).exists():
        return of(admin, request, run.migration, run.database)
    if run.status != Status.SUCCEEDED:
        return Quarantine()
    # Without which rows it is on record stays so, whatever came after it.
    rows = _every(run.migration, run.database)
    return Quarantine(run.migration, accepted=_accepted(rows, run.migration, run.database, run)[:MOST_ROWS])


def _again(name: str, database: str) -> dict[str, str]:
    """With the reason and the arguments of which run another try begins."""
    last = Run.objects.of(name).filter(database=database, kind=Kind.RUN).only("pk").first()
    return {"again": str(last.pk)} if last is not None else {}


def _admin_url(admin: ConsoleAdmin, request: HttpRequest, row: QuarantinedRow, database: str) -> str:
    """Where the row itself can be looked at and mended."""
    site, key = admin.admin_site, json.loads(row.key)
    try:
        model = apps.get_model(row.model)
    except (LookupError, ValueError):
        return ""
    if not site.is_registered(model) or isinstance(key, dict | list) or router.db_for_read(model) != database:
        return ""
    if not site.get_model_admin(model).has_view_or_change_permission(request):
        return ""
    options = model._meta
    return reverse(f"{site.name}:{options.app_label}_{options.model_name}_change", args=(quote(key),))


def accept(admin: ConsoleAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """Ask for the reason (GET), then take it that the rows stay as they are (POST)."""
    database = chosen_database(request)
    row = row_or_404(name, database)
    require(admin.has_accept_permission(request, row.registered), f"accept quarantined rows of {name}")
    back = tools.migration_url("change", name, database)
    found = of(admin, request, name, database, row=row)
    if not found.waiting:
        messages.info(request, "No row waits to be accepted. Nothing was changed.")
        return HttpResponseRedirect(back)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        count = quarantine.accept(name, database, by=request.user.get_username(), reason=reason)
        latest = Run.objects.of(name).filter(database=database).first()
        if latest is not None:
            rows = f"{counted(count, 'row')} of {name} that {were(count)} set aside"
            dispatch.log_entry(request.user, latest, f"Accepted {rows}: {reason}")
        stay = "1 row stays as it is" if count == 1 else f"{count:,} rows stay as they are"
        messages.success(request, f"Accepted: {stay}. Record it, and it counts as applied.")
        return HttpResponseRedirect(back)
    return render(
        admin,
        request,
        "admin/console/migration/accept.html",
        title=f"Accept {counted(found.waiting, 'row')} set aside of {name}?",
        crumbs=crumbs(admin, (name, back), ("Accept", "")),
        quarantine=found,
        form=form,
        database=database,
        form_url=tools.migration_url("accept", name, database),
        back=back,
        runs_url=reverse("admin:console_run_changelist"),
    )
