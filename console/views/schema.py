"""The list of Django's own migrations, to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from django.core.paginator import Paginator
from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse

from console import catalogue, schema
from console.permissions import require
from console.schema import Overview, Row

from .filters import Choice, Query
from .page import ConsoleAdmin, crumbs, render

PER_PAGE = 100
KEYS = ("database", "q", "app", "show")
SHOWN: dict[str, tuple[str, Callable[[Row], bool]]] = {
    "unapplied": ("Not applied", lambda row: row.applied is False),
    "destructive": ("Destructive", lambda row: row.is_destructive),
    "data": ("With data migration", lambda row: row.has_data_migration),
    "odd": ("Does not fit", lambda row: bool(row.notes) or not row.in_code),
}


def show(admin: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """The page; GET only looks."""
    require(admin.has_view_permission(request), "see the schema migrations")
    known = sorted(connections, key=lambda alias: (alias != "default", alias))
    database = request.GET.get("database") or known[0]
    if database not in known:
        raise Http404(f"There is no database {database!r}.")
    query = Query(request, KEYS, database, known[0])
    found = schema.read(database)
    with_text = [row for row in found.rows if _has_words(row, query.values["q"])]
    app = query.values["app"]
    matching = [row for row in with_text if not app or row.app == app]
    is_shown = SHOWN.get(query.values["show"], ("", bool))[1]
    rows = [row for row in matching if is_shown(row)]
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("p"))
    return render(
        admin,
        request,
        "admin/console/schemamigration/change_list.html",
        title="Schema migrations",
        crumbs=crumbs(admin, ("Schema migrations", "")),
        overview=found,
        page=page,
        page_range=page.paginator.get_elided_page_range(page.number),
        counts=_counts(found),
        query=query,
        shown=_shown(query, matching),
        apps=query.choices("app", found.apps(), counts=Counter(row.app for row in with_text if is_shown(row))),
        databases=query.choices("database", known, selected=database, every=False),
        database=database,
        # The pages of data migrations are those of databases that hold data.
        sees_data_migrations=database in catalogue.databases(),
        clear_url=query.url(q="", app="", show=""),
        page_url=query.url(p="{}").replace("%7B%7D", ""),
    )


def _has_words(row: Row, asked: str) -> bool:
    hanging = [text for each in (*row.runs, *row.needed_by) for text in (each.name, each.command_name)]
    text = " ".join((f"{row.app}.{row.name}", *row.operations, *hanging)).casefold()
    return all(word in text for word in asked.casefold().split())


def _shown(query: Query, rows: list[Row]) -> list[Choice]:
    now = query.values["show"]
    choices = [Choice("All", len(rows), query.url(show=""), now not in SHOWN)]
    for key, (label, is_shown) in SHOWN.items():
        count = sum(is_shown(row) for row in rows)
        if count or key in ("unapplied", "destructive", now):
            choices.append(Choice(label, count, query.url(show=key), now == key, key))
    return choices


def _counts(overview: Overview) -> dict[str, int]:
    """How many are applied and how many are in the code; nothing where that is not known."""
    in_code = [row for row in overview.rows if row.in_code]
    if any(row.applied is None for row in in_code):
        return {}
    return {"applied": sum(bool(row.applied) for row in in_code), "all": len(in_code)}
