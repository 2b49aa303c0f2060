"""Two runs side by side."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console import compare
from console.appearance import look
from console.models import Run
from console.permissions import require

from .page import ConsoleAdmin, crumbs, render
from .runs import get_or_404

# Runs to choose from when only one is named.
OTHERS = 20


def show(admin: ConsoleAdmin, request: HttpRequest, pk: Any = None) -> HttpResponse:
    """The page: two runs (``run=…&run=…``, or this one ``with=…``); with one alone, those it can be compared with."""
    require(admin.has_view_permission(request), "see the runs")
    asked = [] if pk is None else [str(pk)]
    asked += [each for key in ("run", "with") for each in request.GET.getlist(key) if each]
    history = reverse("admin:console_run_changelist")
    if not asked or len(asked) > 2 or (len(asked) == 2 and asked[0] == asked[1]):
        messages.warning(request, "Tick two runs to compare them.")
        return HttpResponseRedirect(history)
    if len(asked) == 1:
        return _choose(admin, request, get_or_404(asked[0]), history)
    # The older one on the left, so that what is on the right is news.
    left, right = sorted((get_or_404(each) for each in asked), key=lambda run: run.pk)
    sees_arguments = admin.has_view_arguments_permission(request)
    sections = compare.of(left, right, with_arguments=sees_arguments)
    return render(
        admin,
        request,
        "admin/console/run/compare.html",
        title=f"Runs {left.pk} and {right.pk}",
        crumbs=crumbs(admin, ("Runs", history), ("Compare", "")),
        left=left,
        right=right,
        sections=sections,
        differences=sum(section.differences for section in sections),
        hides_arguments=bool(not sees_arguments and (left.arguments or right.arguments)),
    )


def _choose(admin: ConsoleAdmin, request: HttpRequest, run: Run, history: str) -> HttpResponse:
    others = Run.objects.of(run.migration).filter(database=run.database).exclude(pk=run.pk)
    light = others.defer("traceback", "arguments", "sealed_arguments", "changes", "course", "samples")
    return render(
        admin,
        request,
        "admin/console/run/compare_with.html",
        title=f"Compare run {run.pk} with",
        crumbs=crumbs(
            admin,
            ("Runs", history),
            (f"{look(run.kind).word} {run.pk}", reverse("admin:console_run_change", args=(run.pk,))),
            ("Compare", ""),
        ),
        run=run,
        others=list(light[:OTHERS]),
    )
