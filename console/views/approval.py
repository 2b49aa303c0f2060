"""Approving or rejecting a run of somebody else: what it is (GET), then the decision (POST)."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from console import approval, decisions, estimates, rehearsals, schedule, tools, uploads
from console.forms import DecisionForm
from console.models import Kind, Run
from console.permissions import find, require
from console.rehearsals import Parameters

from .migration import dependencies
from .page import ConsoleAdmin, crumbs, render, row_or_404
from .runs import get_or_404

QUESTIONS = {"approve": "Approve", "reject": "Reject"}


def approve(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """Let it go."""
    return _decide("approve", admin, request, pk)


def reject(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """Cancel it, with a reason."""
    return _decide("reject", admin, request, pk)


def _decide(word: str, admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    run = get_or_404(pk)
    migration = find(run.migration)
    require(admin.has_approve_permission(request, migration), f"{word} this run")
    back = reverse("admin:console_run_change", args=(run.pk,))
    form = DecisionForm(request.POST if request.method == "POST" else None, needs_note=word == "reject")
    if request.method == "POST" and form.is_valid():
        note = form.cleaned_data["note"]
        try:
            if word == "approve":
                run = decisions.approve(run.pk, request.user, note=note, shown=request.POST.get("fingerprint", ""))
                messages.success(request, _done(run))
            else:
                decisions.reject(run.pk, request.user, note=note)
        except decisions.Undecided as error:
            messages.warning(request, f"Nothing was decided. {error}")
        return HttpResponseRedirect(back)
    refusal = approval.why_not(run, request.user)
    if not refusal and migration is None:
        refusal = (
            "It is not in the code of this web server, so here it can only be rejected." if word == "approve" else ""
        )
    if not refusal and word == "approve" and migration is not None:
        refusal = approval.broken(run, migration)
    return render(
        admin,
        request,
        "admin/console/run/decide.html",
        title=f"{QUESTIONS[word]} run {run.pk}?",
        crumbs=crumbs(
            admin,
            ("Runs", reverse(f"{admin.admin_site.name}:console_run_changelist")),
            (f"Run {run.pk}", back),
            (QUESTIONS[word], ""),
        ),
        word=word,
        run=run,
        form=form,
        refusal=refusal,
        back=back,
        **_facts(admin, request, run),
    )


def _done(run: Run) -> str:
    return f"Approved. It starts {tools.when(run.start_at)}." if run.start_at else "Approved. It waits for a worker."


def _facts(admin: ConsoleAdmin, request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the run would do, as this person may see it."""
    sees_arguments = admin.has_view_arguments_permission(request)
    migration = find(run.migration)
    row = row_or_404(run.migration, run.database) if migration is not None else None
    window = schedule.window_of(migration, run.kind)
    first = max(run.start_at or timezone.now(), timezone.now())
    values: dict[str, Any] = run.arguments if run.sealed_arguments == "" else {}
    wanted = Parameters.kept(migration, run) if migration is not None else None
    return {
        "row": row,
        "migration": migration,
        "migration_url": tools.migration_url("change", run.migration, run.database),
        "sees_arguments": sees_arguments,
        "parameters": {dest: uploads.words(value) for dest, value in run.arguments.items()} if sees_arguments else None,
        "dependencies": dependencies(row, run.database) if row is not None else [],
        "code_changed": migration is not None and migration.checksum != run.checksum,
        "window": window,
        "opens": window.next_opening(first) if window and not run.ignore_window and not window.is_open(first) else None,
        "estimate": estimates.of(migration, run.kind, run.database, values, wanted)
        if migration is not None and run.kind != Kind.DRY_RUN
        else None,
        "rehearsal": rehearsals.last(migration, run.database, wanted)
        if migration is not None and run.kind == Kind.RUN
        else None,
        "rehearsal_hides": migration is not None and any(run.arguments.get(d) for d in migration.sensitive_arguments),
        "dry_run": Run.objects.of(run.migration)
        .filter(database=run.database, kind=Kind.DRY_RUN, checksum=run.checksum)
        .defer("traceback", "sealed_arguments", "arguments", "changes", "course")
        .first(),
    }
