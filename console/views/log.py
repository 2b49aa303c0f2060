"""The log of a run as data: lines by their numbers, a search, the whole of it as a file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse, StreamingHttpResponse
from django.utils.cache import patch_cache_control

from console import logs, logsearch, outline, polling
from console.models import Run
from console.permissions import require
from console.states import OVER
from data_migrations import clock

from . import guard
from .page import ConsoleAdmin, tagged
from .pieces import streamed
from .runs import get_or_404, no_run, number_or_404

MOST_LINES = 2000
MOST_MATCHES = 10_000
# Ranges that one question may leave out: as many as fit into an address.
MOST_SKIPPED = 200
PLACES = ("after", "before", "around", "tail")


def lines(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """Lines ``after``, ``before`` or ``around`` a number, or the last ones (``tail``), at most ``limit``.

    ``level`` (a name of ``logs.LEVEL_SETS``) gives only those lines, ``skip`` (``5-90,200-300``) leaves ranges out.
    ``limit=0`` gives none and tells only how far the log is. An unchanged answer is a 304.
    """
    require(admin.has_view_permission(request) and admin.has_view_log_permission(request), "read this log")
    guard.let_in(request)
    return unguarded_lines(request, pk)


def unguarded_lines(request: HttpRequest, pk: Any) -> HttpResponse:
    """The same for one who may read this log."""
    try:
        place, number, limit = _where(request)
        wanted = logs.Wanted(_levels(request), _skipped(request))
    except ValueError as error:
        return HttpResponseBadRequest(str(error))
    page = _page_or_404(pk, place, number, max(1, limit), wanted)
    if not limit:
        page = replace(page, lines=[])
    response = JsonResponse(packed(page, is_over=page.status in OVER))
    patch_cache_control(response, private=True, no_cache=True)
    # The page knows later lines than the row that was read before it.
    key = f"{pk}|{page.last}|{page.status}|{place}|{number}|{limit}|{wanted}"
    return tagged(request, response, hashlib.sha256(key.encode()).hexdigest()[:32])


def _page_or_404(pk: Any, place: str, number: int, limit: int, wanted: logs.Wanted) -> logs.LogPage:
    run = Run(pk=number_or_404(pk))
    try:
        if place == "after" and wanted.is_everything:
            # What everybody asks who follows the log.
            return polling.read(run.pk, number, limit)
        return logs.read(run, **{place: number}, limit=limit, wanted=wanted)
    except (Run.DoesNotExist, OverflowError) as error:
        raise no_run(pk) from error


def packed(page: logs.LogPage, *, is_over: bool) -> dict[str, Any]:
    """A page as the browser's scripts take it."""
    return {
        "lines": [_packed(line) for line in page.lines],
        "start": page.start,
        "next": page.next,
        "first": page.first,
        "last": page.last,
        "status": page.status,
        "over": is_over,
    }


def _packed(line: logs.Line) -> list[Any]:
    """Number, time, level, text; and the last number where the line stands for many that are not kept."""
    packed = [line.seq, clock.aware(line.at).isoformat(), line.level, line.text]
    return packed if line.through == line.seq else [*packed, line.through]


def _where(request: HttpRequest) -> tuple[str, int, int]:
    asked = [place for place in PLACES if place in request.GET]
    if len(asked) > 1:
        raise ValueError(f"Ask for one of {', '.join(PLACES)}.")
    place = asked[0] if asked else "after"
    number, limit = request.GET.get(place, "0"), request.GET.get("limit", "500")
    if not (number.isdecimal() and limit.isdecimal() and len(number) < 19 and len(limit) < 9):
        raise ValueError("Line numbers and the limit are whole numbers.")
    return place, int(number), min(int(limit), MOST_LINES)


def _levels(request: HttpRequest) -> frozenset[str]:
    name = request.GET.get("level", "")
    if name in ("", "all"):
        return frozenset()
    if name not in logs.LEVEL_SETS:
        raise ValueError(f"The level is one of all, {', '.join(logs.LEVEL_SETS)}.")
    return logs.LEVEL_SETS[name]


def _skipped(request: HttpRequest) -> tuple[tuple[int, int], ...]:
    ranges = [part for part in request.GET.get("skip", "").split(",") if part]
    pairs = [part.split("-") for part in ranges]
    if len(pairs) > MOST_SKIPPED or not all(len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs):
        raise ValueError(f"Lines to leave out are ranges such as 5-90, with commas between, at most {MOST_SKIPPED}.")
    return tuple(sorted((int(first), int(last)) for first, last in pairs))


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def search(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """The numbers of the lines that contain ``text``, ``after`` a line upwards or ``before`` one downwards.

    ``case=1`` tells capitals from small letters, ``level`` searches only in such lines, ``limit`` is ten thousand at
    most. It takes a second or so at most; where ``done`` is false, one goes on from ``through``.
    """
    require(admin.has_view_permission(request) and admin.has_view_log_permission(request), "read this log")
    run = get_or_404(pk)
    text, after, before = (request.GET.get(name, "") for name in ("text", "after", "before"))
    limit = request.GET.get("limit", str(MOST_MATCHES))
    if not text or not all(_is_number(number) for number in (after or "0", before or "0", limit)):
        return HttpResponseBadRequest("Give the text to search for; the line to begin at is a whole number.")
    try:
        levels = _levels(request)
    except ValueError as error:
        return HttpResponseBadRequest(str(error))
    found = logsearch.search(
        run,
        text,
        after=int(after or 0),
        before=int(before) if before else None,
        limit=max(1, min(int(limit), MOST_MATCHES)),
        exact=request.GET.get("case") == "1",
        levels=levels,
    )
    response = JsonResponse(
        {"matches": found.numbers, "through": found.through, "last": found.last, "done": found.is_done}
    )
    patch_cache_control(response, private=True, no_cache=True)
    return response


def groups(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> HttpResponse:
    """The groups of the log.

    Each as first line, last line (null while it is open), title, depth, whether something failed, whether an attempt.
    """
    require(admin.has_view_permission(request) and admin.has_view_log_permission(request), "read this log")
    found = outline.read(get_or_404(pk))
    packed = [
        [group.first, group.last, group.title, group.depth, group.failed, group.is_attempt] for group in found.groups
    ]
    response = JsonResponse({"groups": packed, "through": found.through, "more": found.is_capped})
    patch_cache_control(response, private=True, no_cache=True)
    return response


def download(admin: ConsoleAdmin, request: HttpRequest, pk: Any) -> StreamingHttpResponse:
    """The whole log as a text file, sent while it is read; with ``?times=1`` each line with its time and level."""
    require(admin.has_view_permission(request) and admin.has_view_log_permission(request), "read this log")
    run = get_or_404(pk)
    lines = logs.download(run, timed=request.GET.get("times") == "1")
    response = StreamingHttpResponse(streamed(request, lines), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}.log"'
    response["X-Content-Type-Options"] = "nosniff"
    patch_cache_control(response, private=True, no_store=True)
    return response
