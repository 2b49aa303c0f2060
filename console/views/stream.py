"""The log of a run as a stream of server-sent events, where the server can: under ASGI."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from copy import copy
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY, get_user, get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase, StreamingHttpResponse

from console import following
from console.logs import LogPage
from console.permissions import require

from .log import packed
from .page import ConsoleAdmin
from .runs import get_or_404

# Seconds between two looks at whether a reader still has his session and his permissions.
CHECK_SECONDS = 60.0


def show(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponseBase:
    """Lines after ``after`` (or after ``Last-Event-ID``, which a browser sends that comes back), as they come.

    Each event holds what ``views.log.lines`` answers; its id is the number of its last line. ``lines=0`` sends no
    lines, only how far the log is. The last event has ``over`` set, after the last line. Under WSGI a stream would
    hold a thread of the server, so there the answer is an empty 204, and the page polls.
    """
    require(_may_read(admin, request), "read this log")
    run = get_or_404(pk)
    number = request.headers.get("Last-Event-ID") or request.GET.get("after", "0")
    if not (number.isdecimal() and len(number) < 19):
        return HttpResponseBadRequest("The number of a line is a whole number.")
    if not isinstance(request, ASGIRequest):
        return HttpResponse(status=204)
    if request.method == "HEAD":
        return _with_headers(HttpResponse())
    # Nothing that compresses may hold events back.
    request.META["HTTP_ACCEPT_ENCODING"] = "identity"
    events = following.follow(
        run.pk,
        int(number),
        encode,
        counts_only=request.GET.get("lines") == "0",
        may_go_on=partial(still_may_read, admin, request),
        check_seconds=CHECK_SECONDS,
    )
    return _with_headers(StreamingHttpResponse(_without_connections(events)))


def _with_headers(response: HttpResponseBase) -> HttpResponseBase:
    response["Content-Type"] = "text/event-stream; charset=utf-8"
    response["Cache-Control"] = "private, no-cache, no-store, no-transform"
    response["X-Accel-Buffering"] = "no"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def encode(page: LogPage, is_over: bool) -> bytes:
    """A page as one event."""
    data = json.dumps(packed(page, is_over=is_over), separators=(",", ":"))
    number = f"id: {page.next}\n" if page.lines else ""
    return f"{number}data: {data}\n\n".encode()


async def _without_connections(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same events; what the request had opened does not stay open as long as its answer."""
    await sync_to_async(_close_connections)()
    async with aclosing(events):
        async for event in events:
            yield event


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def _may_read(admin: ConsoleAdmin, request: HttpRequest) -> bool:
    return admin.has_view_permission(request) and admin.has_view_log_permission(request)


def still_may_read(admin: ConsoleAdmin, request: HttpRequest) -> bool:
    """Whether whoever asked would be answered now, by his session and his permissions as they are stored now."""
    now = copy(request)
    session: Any = getattr(request, "session", None)
    if session is not None and SESSION_KEY in session:
        now.session = type(session)(session.session_key)
        now.user = get_user(now)
    else:
        # Known by something else than a session, such as a token: that user, as he is now.
        known: Any = request.user.pk
        now.user = get_user_model()._default_manager.filter(pk=known).first() or AnonymousUser()
    return admin.admin_site.has_permission(now) and _may_read(admin, now)
