"""Marking as applied, and unmarking: one or many, with a reason, nothing is run."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console import catalogue, dispatch, tools
from console.catalogue import Row
from console.forms import ReasonForm
from console.models import Kind
from console.permissions import find, require
from data_migrations.exceptions import DataMigrationError

from .page import ConsoleAdmin, chosen_database, crumbs, render, row_or_404

WORDS = {Kind.MARK: "mark as applied", Kind.UNMARK: "unmark"}


def one(admin: ConsoleAdmin, request: HttpRequest, name: str, kind: Kind) -> HttpResponse:
    """Mark or unmark the one data migration of the address."""
    database = chosen_database(request)
    row_or_404(name, database)
    return _show(admin, request, kind, database, [name], tools.migration_url("change", name, database))


def many(admin: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """Mark or unmark those that were ticked in the list; only POSTs come here."""
    database = chosen_database(request)
    back = request.POST.get("back", "")
    if not back.startswith(reverse("admin:console_migration_changelist")):
        back = reverse("admin:console_migration_changelist")
    kind = request.POST.get("action", "")
    names = list(dict.fromkeys(request.POST.getlist("name")))
    if kind not in WORDS or not names:
        messages.warning(request, "Tick the data migrations, and choose what to do with them. Nothing was changed.")
        return HttpResponseRedirect(back)
    return _show(admin, request, Kind(kind), database, names, back)


def _show(
    admin: ConsoleAdmin, request: HttpRequest, kind: Kind, database: str, names: list[str], back: str
) -> HttpResponse:
    for name in names:
        allowed = admin.has_kind_permission(request, kind, find(name))
        require(allowed, f"{WORDS[kind]} {name}")
    known = catalogue.read(database, names=names)
    rows = [row for row in (known.get(name) for name in names) if row is not None]
    refused = {row.name: why for row in rows if (why := tools.why_not(kind, row))}
    able = [row for row in rows if row.name not in refused]
    confirmed = request.method == "POST" and "confirmed" in request.POST
    form = ReasonForm(request.POST if confirmed else None)
    if confirmed and form.is_valid() and able:
        if _do(request, kind, able, database, form.cleaned_data["reason"]):
            return HttpResponseRedirect(back)
        known = catalogue.read(database, names=names)
    title = _title(kind, able)
    return render(
        admin,
        request,
        "admin/console/migration/marking.html",
        title=title,
        crumbs=crumbs(admin, (WORDS[kind].capitalize(), "")),
        kind=kind,
        mark=kind == Kind.MARK,
        able=able,
        refused=refused.items(),
        form=form,
        database=database,
        back=back,
        many=request.resolver_match is not None and "name" not in request.resolver_match.kwargs,
    )


def _title(kind: Kind, rows: list[Row]) -> str:
    what = rows[0].name if len(rows) == 1 else f"{len(rows)} data migrations"
    return f"Mark {what} as applied?" if kind == Kind.MARK else f"Unmark {what}?"


def _do(request: HttpRequest, kind: Kind, rows: list[Row], database: str, reason: str) -> bool:
    """Do it and say so; the ledger locks each row and decides. False when it refused."""
    names = [row.name for row in rows]
    act = dispatch.mark if kind == Kind.MARK else dispatch.unmark
    try:
        done = act(names, user=request.user, database=database, reason=reason)
    except DataMigrationError as error:
        messages.error(request, str(error))
        return False
    past = "marked as applied" if kind == Kind.MARK else "unmarked"
    if done and len(names) == 1:
        # Not first: the admin writes the first letter of a message large, and names are not to be touched.
        follows = "Nothing was run" if kind == Kind.MARK else "It is pending again; what it changed stays as it is"
        messages.success(request, f"{past.capitalize()}: {names[0]}. {follows}.")
    elif done:
        follows = "nothing was run" if kind == Kind.MARK else "what they changed stays as it is"
        were = "1 data migration was" if len(done) == 1 else f"{len(done):,} data migrations were"
        messages.success(request, f"{were} {past}; {follows}.")
    else:
        messages.info(request, f"Nothing had to be {past}: somebody else was faster.")
    return True
