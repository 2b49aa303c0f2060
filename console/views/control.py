"""Asking something of a run: a page that asks again (GET), then the deed (POST), checked anew with the row locked."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from console import dispatch, pace, schedule, tools
from console.controls import VERBS, why_not_tune
from console.forms import TuneForm
from console.models import Run
from console.permissions import find, require
from data_migrations import checkpoints

from .page import ConsoleAdmin, crumbs, render
from .runs import get_or_404


def ask(admin: ConsoleAdmin, request: HttpRequest, pk: Any, word: str) -> HttpResponse:
    """Pause, resume, cancel or force stop."""
    verb = VERBS[word]
    run = get_or_404(pk)
    require(tools.may(admin, request, verb, run), f"{verb.question.lower()} this run")
    back = reverse("admin:console_run_change", args=(run.pk,))
    if request.method == "POST":
        with transaction.atomic(using=Run.objects.db):
            run = Run.objects.select_for_update().get(pk=run.pk)
            refusal = verb.why_not(run)
            if not refusal and not verb.act(run.pk, request.user):
                refusal = "Somebody else was faster."
            run.refresh_from_db()
        if refusal:
            messages.warning(request, f"Nothing was changed. {refusal}")
            return HttpResponseRedirect(back)
        dispatch.log_entry(request.user, run, f"{verb.question} run {run.pk} of {run.migration}")
        messages.success(request, verb.done(run))
        return HttpResponseRedirect(back)
    return render(
        admin,
        request,
        "admin/console/run/control.html",
        title=f"{verb.question} run {run.pk}?",
        crumbs=_crumbs(admin, run, verb.question),
        verb=verb,
        run=run,
        refusal=verb.why_not(run),
        back=back,
        start_words=tools.when(run.start_at),
        is_shut=schedule.is_shut(run, timezone.now()),
        window=schedule.window_of(find(run.migration), run.kind),
    )


def tune(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """Change batch size and pause of a run that is under way."""
    run = get_or_404(pk)
    require(admin.has_run_permission(request, find(run.migration)), "change how this run goes")
    back = reverse("admin:console_run_change", args=(run.pk,))
    refusal = why_not_tune(run)
    checkpoint = None if refusal else checkpoints.find(run.migration, run.database)
    if not refusal and checkpoint is None:
        refusal = "None of its batches is kept yet; look again when it has begun."
    if refusal:
        messages.warning(request, f"Nothing was changed. {refusal}")
        return HttpResponseRedirect(back)
    assert checkpoint is not None
    # What nobody has asked for yet is not sent along with the other: it would end the adapting of the size.
    initial = {"batch_size": checkpoint.wanted_batch_size, "pause": checkpoint.wanted_pause}
    now = pace.words(run, checkpoint)
    form = TuneForm(request.POST if request.method == "POST" else None, initial=initial, now=now)
    if request.method == "POST" and form.is_valid():
        wanted = {name: value for name, value in form.cleaned_data.items() if value is not None}
        if checkpoints.wish(run.migration, run.database, **wanted):
            dispatch.log_entry(request.user, run, f"Run {run.pk} of {run.migration}: {form.words()}")
            messages.success(request, f"From its next batches on: {form.words()}.")
        else:
            messages.warning(request, "Nothing was changed. It is not under way any more.")
        return HttpResponseRedirect(back)
    return render(
        admin,
        request,
        "admin/console/run/tune.html",
        title=f"Batch size and pause of run {run.pk}",
        crumbs=_crumbs(admin, run, "Batch size and pause"),
        run=run,
        form=form,
        back=back,
    )


def _crumbs(admin: ConsoleAdmin, run: Run, last: str) -> list[tuple[str, str]]:
    runs = ("Runs", reverse(f"{admin.admin_site.name}:console_run_changelist"))
    return crumbs(admin, runs, (f"Run {run.pk}", reverse("admin:console_run_change", args=(run.pk,))), (last, ""))
