"""The health of the console: a page, the same as JSON, and metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from console import conf, health, metrics
from console.health import Report, State
from console.permissions import require
from data_migrations import clock

from .page import ConsoleAdmin, crumbs, render

WORDS = {
    State.GOOD: "All is well.",
    State.WARNING: "Something deserves a look.",
    State.BAD: "Something is wrong.",
}


def show(admin: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """The page; GET only looks."""
    require(admin.has_view_permission(request), "see the health of the console")
    report = health.report()
    site = admin.admin_site.name
    return render(
        admin,
        request,
        "admin/console/health/change_list.html",
        title="Health",
        crumbs=crumbs(admin, ("Health", "")),
        modules=("live",),
        report=report,
        sentence=WORDS[report.state],
        look_at=[*report.of(State.BAD), *report.of(State.WARNING), *report.of(State.UNKNOWN)],
        json_url=reverse(f"{site}:console_health_json"),
        metrics_url=reverse(f"{site}:console_health_metrics") if metrics.is_installed() else "",
        list_url=reverse(f"{site}:console_migration_changelist"),
    )


def as_json(admin: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """The same for a monitor: 200 when it is good or a warning, 503 when something is bad."""
    report = health.report()
    response = JsonResponse(_packed(report), status=503 if report.state == State.BAD else 200)
    patch_cache_control(response, private=True, no_store=True)
    return response


def _packed(report: Report) -> dict[str, Any]:
    return {
        "state": report.state,
        "at": clock.aware(report.at),
        "environment": conf.get("ENVIRONMENT"),
        "release": conf.get("RELEASE"),
        "checks": [
            {
                "id": result.id,
                "title": result.check.title,
                "state": result.state,
                "text": result.text,
                "hint": result.hint,
                "details": result.finding.details,
                "values": result.finding.values,
            }
            for result in report.results
        ],
    }


def as_metrics(admin: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """Metrics in the format that Prometheus asks for; 501 without the library."""
    try:
        text, content_type = metrics.exposition(request.headers.get("Accept", ""))
    except metrics.NotInstalled as error:
        return HttpResponse(f"{error}\n", status=501, content_type="text/plain; charset=utf-8")
    response = HttpResponse(text, content_type=content_type)
    patch_cache_control(response, private=True, no_store=True)
    return response


View = Callable[[ConsoleAdmin, HttpRequest], HttpResponse]


def for_monitors(admin: ConsoleAdmin, view: View) -> Callable[[HttpRequest], HttpResponseBase]:
    """The view for those who are logged in and may see the health, and for those who send the token.

    ``Authorization: Bearer …`` with ``CONSOLE["HEALTH_TOKEN"]`` needs neither session nor database. A program without
    either gets a plain 401 where a browser is led to the login page, which a monitor would take for an answer.
    """

    def logged_in(request: HttpRequest) -> HttpResponse:
        require(admin.has_view_permission(request), "see the health of the console")
        return view(admin, request)

    behind_login = admin.admin_site.admin_view(logged_in)

    def wrapped(request: HttpRequest) -> HttpResponseBase:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        if is_bearer and _is_token(given.strip()):
            return view(admin, request)
        if is_bearer or not (_is_browser(request) or admin.admin_site.has_permission(request)):
            return _unauthorized()
        return behind_login(request)

    # Who may is decided here, also where a project asks for a login everywhere (LoginRequiredMiddleware).
    return login_not_required(require_safe(wrapped))


def _is_token(given: str) -> bool:
    token = str(conf.get("HEALTH_TOKEN") or "")
    return bool(token) and constant_time_compare(given, token)


def _is_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _unauthorized() -> HttpResponse:
    return HttpResponse(
        "Send the token of CONSOLE['HEALTH_TOKEN'] as \"Authorization: Bearer TOKEN\", or log in.\n",
        status=401,
        content_type="text/plain; charset=utf-8",
        headers={"WWW-Authenticate": 'Bearer realm="health of the console"', "Cache-Control": "no-store"},
    )
