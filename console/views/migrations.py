"""The list of data migrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from console import catalogue, health, usual
from console.appearance import look
from console.models import Kind, Run
from console.permissions import require
from console.states import Status
from console.tools import runs_url

from .filters import Choice, Query
from .page import ConsoleAdmin, chosen_database, crumbs, render

PER_PAGE = 100
# With one of these the console's own tables cannot be asked.
UNREADABLE = ("tables", "database")
KEYS = ("database", "q", "state", "app")


def show(admin: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """The page; GET only looks."""
    require(admin.has_view_permission(request), "see the data migrations")
    database = chosen_database(request)
    query = Query(request, KEYS, database, catalogue.databases()[0])
    state = query.values["state"]
    problems = health.problems()
    readable = not any(problem.id in UNREADABLE for problem in problems)
    found = catalogue.read(database, with_runs=readable)
    without_state = found.matching(text=query.values["q"], app=query.values["app"])
    rows = [row for row in without_state if not state or state in row.marks]
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("p"))
    if readable:
        page.object_list = _with_usual(catalogue.with_last_runs(page.object_list, database), database)
    return render(
        admin,
        request,
        "admin/console/migration/change_list.html",
        title="Data migrations",
        crumbs=[crumbs(admin)[0], ("Data migrations", "")],
        modules=("live",),
        catalogue=found,
        page=page,
        page_range=page.paginator.get_elided_page_range(page.number),
        query=query,
        states=_states(query, without_state),
        apps=query.choices("app", found.apps(), counts=_app_counts(query, found)),
        databases=query.choices("database", catalogue.databases(), selected=database, every=False),
        database=database,
        problems=problems,
        active=any(row.active_run or row.planned_run or row.state == "running" for row in found.rows),
        can_mark=admin.has_kind_permission(request, Kind.MARK),
        can_unmark=admin.has_kind_permission(request, Kind.UNMARK),
        here=request.get_full_path(),
        failed_url=runs_url(database, status__exact=Status.FAILED) if readable and _have_failed(database) else "",
        clear_url=query.url(q="", state="", app=""),
        page_url=query.url(p="{}").replace("%7B%7D", ""),
    )


def _have_failed(database: str) -> bool:
    return Run.objects.filter(database=database, status=Status.FAILED).exists()


def _app_counts(query: Query, found: catalogue.Catalogue) -> Counter[str]:
    """How many rows each app would leave with the rest of the question."""
    state = query.values["state"]
    return Counter(row.app for row in found.matching(text=query.values["q"]) if not state or state in row.marks)


def _with_usual(rows: Sequence[catalogue.Row], database: str) -> list[catalogue.Row]:
    """The rows of one page, with how long their last runs took against what is usual; one query for all of them."""
    durations = usual.read(database, [row.name for row in rows if row.last_run])
    return [
        replace(row, usual=usual.words(row.last_run, durations.before(row.last_run))) if row.last_run else row
        for row in rows
    ]


def _states(query: Query, rows: list[catalogue.Row]) -> list[Choice]:
    counts = {state: sum(row.look == state for row in rows) for state in catalogue.STATES}
    selected = query.values["state"]
    choices = [Choice("All", len(rows), query.url(state=""), not selected)]
    choices += [
        Choice(look(state).word, count, query.url(state=state), selected == state, state)
        for state, count in counts.items()
        if count or state in ("pending", "applied", selected)
    ]
    marks = {mark: sum(mark in row.marks for row in rows) for mark in (catalogue.FAILED, *catalogue.PLANS)}
    choices += [
        Choice(look(mark).word, count, query.url(state=mark), selected == mark, mark)
        for mark, count in marks.items()
        if count or mark == selected
    ]
    return choices
