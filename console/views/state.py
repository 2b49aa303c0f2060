"""Where a run is, as JSON: for a monitor, or a script that waits for its end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control

from console import pace
from console.permissions import require

from .page import ConsoleAdmin, tagged
from .runs import get_or_404


def show(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """Status, progress and pace; seconds and rows a second. An unchanged answer is a 304."""
    require(admin.has_view_permission(request), "see the runs")
    run = get_or_404(pk)
    response = JsonResponse(
        {
            "run": run.pk,
            "migration": run.migration,
            "database": run.database,
            "kind": run.kind,
            "status": run.status,
            "is_active": run.is_active,
            "is_finished": run.is_finished,
            "control": run.control,
            "waiting_for": run.waiting_for if run.is_active else "",
            "attempt": run.attempt,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "heartbeat_at": run.heartbeat_at,
            "progress": {"done": run.progress_done, "total": run.progress_total, "at": run.progress_at},
            "pace": asdict(pace.of(run)),
        }
    )
    patch_cache_control(response, private=True, no_cache=True)
    return tagged(request, response)
