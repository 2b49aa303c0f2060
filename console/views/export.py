"""The history as a file, with the filters and the search of the list."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import Http404, HttpRequest, HttpResponseBadRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control

from console import export
from console.permissions import require
from data_migrations import clock

from .page import ConsoleAdmin
from .pieces import streamed


def download(admin: ConsoleAdmin, request: HttpRequest, form: str) -> HttpResponseBase:
    """All runs that the list with this query would show, on all its pages, sent while they are read."""
    require(admin.has_view_permission(request), "see the runs")
    if form not in export.FORMATS:
        raise Http404(f"There is no export as {form!r}.")
    try:
        runs: Any = admin.get_changelist_instance(request).queryset
    except IncorrectLookupParameters:
        return HttpResponseBadRequest("One of the filters in this address means nothing here.")
    with_arguments = admin.has_view_arguments_permission(request)
    write, content_type = export.FORMATS[form]
    found = export.rows(runs, with_arguments=with_arguments)
    text = write(found, export.columns(with_arguments=with_arguments))
    response = StreamingHttpResponse(streamed(request, text), content_type=content_type)
    name = f"runs-{timezone.localtime(clock.aware(timezone.now())):%Y-%m-%d-%H%M}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    patch_cache_control(response, private=True, no_store=True)
    return response
