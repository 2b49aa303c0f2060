"""The log as the page of a run carries it without a script: what its address asks for, else the end."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from console import logs, logsearch
from console.models import Run

# Lines in the page as the server sends it; the script takes over from there.
LINES = 200
FOUND = 100
# The page itself must not wait long for a search.
SEARCH_SECONDS = 0.3
_AROUND = re.compile(r"(\d{1,15})(?:-(\d{1,15}))?", re.ASCII)


def of(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the template needs: the lines, those to mark, what was searched for, the addresses of other parts."""
    level = request.GET.get("level", "")
    if level not in logs.LEVEL_SETS:
        level = ""
    find, exact = request.GET.get("find", "")[:1000], request.GET.get("case") == "1"
    wanted = logs.Wanted(logs.LEVEL_SETS.get(level, frozenset()))
    kept = {name: value for name, value in (("level", level), ("find", find), ("case", "1" if exact else "")) if value}
    context: dict[str, Any] = {
        "level": level,
        "find": find,
        "exact": exact,
        "urls": {
            name: reverse(f"admin:console_run_log{name and '_'}{name}", args=(run.pk,))
            for name in ("", "stream", "search", "groups", "download")
        },
    }
    context["urls"]["lines"] = context["urls"].pop("")
    if find:
        return context | _found(request, run, find, exact, wanted, kept)
    marked = _marked(request)
    page = _page(request, run, marked, wanted)
    level_only: dict[str, str | int] = {"level": level} if level else {}
    return context | {
        "page": page,
        "lines": page.lines,
        "marked": marked,
        "earlier": urlencode(level_only | {"before": page.start}) if page.start > 1 else "",
        "later": urlencode(level_only | {"after": page.next}) if page.next < page.last else "",
    }


def _found(
    request: HttpRequest, run: Run, find: str, exact: bool, wanted: logs.Wanted, kept: dict[str, str]
) -> dict[str, Any]:
    after = request.GET.get("after", "")
    found = logsearch.search(
        run,
        find,
        after=int(after) if after.isdecimal() and len(after) < 16 else 0,
        limit=FOUND,
        keep=FOUND,
        exact=exact,
        levels=wanted.levels,
        seconds=SEARCH_SECONDS,
    )
    page = logs.read(run, tail=1, limit=1)
    later = "" if found.is_done else urlencode({**kept, "after": str(found.through)})
    return {"page": page, "lines": found.lines, "found": found, "marked": None, "later": later}


def _marked(request: HttpRequest) -> tuple[int, int] | None:
    """The lines that ``around`` names: one, or a range."""
    match = _AROUND.fullmatch(request.GET.get("around", ""))
    if not match:
        return None
    first, last = sorted((int(match[1]), int(match[2] or match[1])))
    return first, last


def _page(request: HttpRequest, run: Run, marked: tuple[int, int] | None, wanted: logs.Wanted) -> logs.LogPage:
    if marked is not None:
        return logs.read(run, around=marked[0], limit=LINES, wanted=wanted)
    for name in ("before", "after"):
        value = request.GET.get(name, "")
        if value.isdecimal() and len(value) < 16:
            place: dict[str, Any] = {name: int(value)}
            return logs.read(run, **place, limit=LINES, wanted=wanted)
    return logs.read(run, tail=LINES, limit=LINES, wanted=wanted)
