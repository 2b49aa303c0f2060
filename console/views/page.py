"""What every page shares: its frame, its breadcrumbs, its freshness."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import django
from django.contrib.admin import ModelAdmin
from django.forms import Media, Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_cache_control

from console import catalogue, environment
from console.catalogue import Row
from console.permissions import PermissionHooks

Crumb = tuple[str, str]
NO_NUL = "An address with a NUL character finds nothing."
# Django masks the token anew in each response.
_CSRF = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')


class ConsoleAdmin(PermissionHooks, ModelAdmin):
    """An admin class with the console's permission hooks."""


def has_nul(request: HttpRequest, *more: str) -> bool:
    """Whether the address has a NUL character, which PostgreSQL cannot even look for."""
    asked = [text for _, texts in request.GET.lists() for text in texts]
    return any("\0" in text for text in (*asked, *more))


def scripts(*names: str) -> Media:
    """The console's style, and those of its modules that a page needs."""
    modules: list[Any] = [Script(f"console/{name}.js", type="module") for name in names]
    return Media(css={"all": ["admin/css/forms.css", "console/console.css"]}, js=modules)


def crumbs(admin: ConsoleAdmin, *more: Crumb) -> list[Crumb]:
    """The way to a page: home, the list of data migrations, then what is given."""
    site = admin.admin_site.name
    return [
        ("Home", reverse(f"{site}:index")),
        ("Data migrations", reverse(f"{site}:console_migration_changelist")),
        *more,
    ]


def render(
    admin: ConsoleAdmin,
    request: HttpRequest,
    template: str,
    *,
    title: str,
    crumbs: list[Crumb],
    modules: tuple[str, ...] = (),
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    """A page of the console in the admin's frame.

    A page that asks for itself again (``X-Console-Live``) gets 304 when nothing on it changed.
    """
    request.current_app = admin.admin_site.name
    response = TemplateResponse(
        request,
        template,
        {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "title": title,
            "crumbs": crumbs,
            "media": scripts(*modules),
            **environment.band(),
            # Django 6.1 draws breadcrumbs as a list, and object tools beside the title.
            "modern": django.VERSION >= (6, 1),
            "live": request.headers.get("X-Console-Live") == "1",
            **context,
        },
        status=status,
    )
    patch_cache_control(response, private=True, no_store=True)
    if request.headers.get("X-Console-Live") == "1":
        response.render()
        return tagged(request, response)
    return response


def tagged(request: HttpRequest, response: HttpResponse, etag: str = "") -> HttpResponse:
    """The response with an ETag, or 304 when the browser has just that."""
    etag = etag or hashlib.sha256(_CSRF.sub(b"", response.content)).hexdigest()[:32]
    response["ETag"] = f'"{etag}"'
    found: HttpResponseBase | None = get_conditional_response(request, response["ETag"], response=response)
    assert isinstance(found, HttpResponse)
    return found


def chosen_database(request: HttpRequest) -> str:
    """The alias that the address or the form names, the first one otherwise.

    Raises:
        Http404: there is no such database with data.
    """
    known = catalogue.databases()
    alias = request.POST.get("database") or request.GET.get("database") or known[0]
    if alias not in known:
        raise Http404(f"There is no database {alias!r} with data migrations.")
    return alias


def row_or_404(name: str, database: str) -> Row:
    """The data migration of that name.

    Raises:
        Http404: neither the code nor the ledger knows it.
    """
    row = catalogue.find(name, database)
    if row is None:
        raise Http404(f"There is no data migration {name!r}.")
    return row
