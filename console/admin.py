"""The console in Django's admin: addresses and permissions; the pages are in ``console.views``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from data_migrations.reporting import Door

from . import environment, history
from .appearance import breakable
from .compare import RECORDS
from .controls import VERBS
from .models import Health, Kind, Migration, Run, SchemaMigration
from .runfilters import (
    DatabaseFilter,
    DoorFilter,
    HostFilter,
    KindFilter,
    MigrationFilter,
    RequesterFilter,
    StatusFilter,
)
from .templatetags.console import ago, badge, door, duration
from .tools import migration_url
from .views import (
    approval,
    compare,
    control,
    export,
    guard,
    health,
    log,
    marking,
    migration,
    migrations,
    quarantine,
    request,
    runs,
    schema,
    state,
    stream,
)
from .views.page import NO_NUL, ConsoleAdmin, has_nul, scripts

View = Callable[..., HttpResponseBase]

_require_safe_or_post = require_http_methods(["GET", "HEAD", "POST"])


class PagesAdmin(ConsoleAdmin):
    """An admin class whose pages are views of ours."""

    actions = None

    def page(self, view: View, *, posts: bool | None = False) -> View:
        """The view for this site; ``posts``: True takes only POST, False never does, None takes both."""

        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if "name" in kwargs:
                kwargs["name"] = unquote(kwargs["name"])
            if has_nul(request, *kwargs.values()):
                return HttpResponseBadRequest(NO_NUL)
            try:
                return view(self, request, *args, **kwargs)
            except Run.DoesNotExist as error:
                # Retention took it between two looks at it.
                raise Http404("This run is not in the history any more.") from error

        # Other methods would be looks that a page does not expect.
        wrapped = {True: require_POST, False: require_safe, None: _require_safe_or_post}[posts](wrapped)
        # What is posted may hold sensitive arguments; an error report must not show them.
        return self.admin_site.admin_view(sensitive_post_parameters()(wrapped))


@admin.register(Migration)
class MigrationAdmin(PagesAdmin):
    """Data migrations: they have no table, so that no query of Django's own is ever made."""

    def get_urls(self) -> list[URLPattern]:
        """All of them ours."""

        def mark(self: PagesAdmin, request: HttpRequest, name: str) -> HttpResponse:
            return marking.one(self, request, name, Kind.MARK)

        def unmark(self: PagesAdmin, request: HttpRequest, name: str) -> HttpResponse:
            return marking.one(self, request, name, Kind.UNMARK)

        prefix = "console_migration"
        return [
            path("", self.page(migrations.show), name=f"{prefix}_changelist"),
            path("marking/", self.page(marking.many, posts=True), name=f"{prefix}_marking"),
            path("<str:name>/change/", self.page(migration.show), name=f"{prefix}_change"),
            path("<str:name>/run/", self.page(request.show, posts=None), name=f"{prefix}_run"),
            path("<str:name>/start/", self.page(request.start, posts=True), name=f"{prefix}_start"),
            path("<str:name>/mark/", self.page(mark, posts=None), name=f"{prefix}_mark"),
            path("<str:name>/accept/", self.page(quarantine.accept, posts=None), name=f"{prefix}_accept"),
            path("<str:name>/unmark/", self.page(unmark, posts=None), name=f"{prefix}_unmark"),
        ]


@admin.register(SchemaMigration)
class SchemaMigrationAdmin(PagesAdmin):
    """Django's own migrations, to look at; they have no table of ours either."""

    def get_urls(self) -> list[URLPattern]:
        """The one page."""
        return [path("", self.page(schema.show), name="console_schemamigration_changelist")]


def _asked(word: str, admin: PagesAdmin, request: HttpRequest, pk: str) -> HttpResponse:
    return control.ask(admin, request, pk, word)


EXPORTS = (("csv", "CSV"), ("json", "JSON"), ("jsonl", "JSON lines"))


@admin.register(Run)
class RunAdmin(PagesAdmin):
    """The history of runs, and the page of each."""

    change_list_template = "admin/console/run/change_list.html"
    list_display = ("chosen", "number", "status_badge", "migration_link", "kind_badge", "when", "took", "who")
    list_display_links = ("number",)
    list_filter = (
        StatusFilter, KindFilter, DoorFilter, DatabaseFilter, MigrationFilter, RequesterFilter, HostFilter
    )  # fmt: skip
    search_fields = history.TEXTS
    search_help_text = "Name, command, reason, person, result or error."
    date_hierarchy = history.DATE
    # Along the indexes of the filters, which end with the time.
    ordering = (f"-{history.DATE}", "-id")
    paginator = history.RunPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @property
    def media(self) -> Media:
        """The console's own style."""
        return super().media + scripts()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Without the long texts, which a list does not show."""
        return super().get_queryset(request).defer("traceback", "sealed_arguments", "arguments", "changes", "course")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[history.RunChangeList]:
        """Django's list, with bounds."""
        return history.RunChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """What the words find, each run once."""
        return history.search(request, queryset, search_term), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the list shows: a question about arguments or log would tell them bit by bit.

        Nor by regular expressions: a wrong one is an error of the database, and an evil one keeps it busy.
        """
        column = lookup.partition("__")[0]
        if lookup.endswith("regex"):
            return False
        return column in history.ASKABLE or column not in history.COLUMNS

    def get_urls(self) -> list[URLPattern]:
        """Django's list; the pages of a run are ours."""
        prefix = "console_run"
        return [
            path("", self.admin_site.admin_view(require_safe(self.changelist_view)), name=f"{prefix}_changelist"),
            path("export/<str:form>/", self.page(export.download), name=f"{prefix}_export"),
            path("compare/", self.page(compare.show), name=f"{prefix}_compare"),
            path("<str:pk>/compare/", self.page(compare.show), name=f"{prefix}_compare_with"),
            path("<str:pk>/change/", self.page(runs.show), name=f"{prefix}_change"),
            *(
                path(f"<str:pk>/{word}/", self.page(partial(_asked, word), posts=None), name=f"{prefix}_{word}")
                for word in VERBS
            ),
            path("<str:pk>/approve/", self.page(approval.approve, posts=None), name=f"{prefix}_approve"),
            path("<str:pk>/reject/", self.page(approval.reject, posts=None), name=f"{prefix}_reject"),
            path("<str:pk>/state/", self.page(state.show), name=f"{prefix}_state"),
            path("<str:pk>/tune/", self.page(control.tune, posts=None), name=f"{prefix}_tune"),
            path("<str:pk>/log/", guard.remembering(self.page(log.lines), log.unguarded_lines), name=f"{prefix}_log"),
            path("<str:pk>/log/stream/", self.page(stream.show), name=f"{prefix}_log_stream"),
            path("<str:pk>/log/search/", self.page(log.search), name=f"{prefix}_log_search"),
            path("<str:pk>/log/groups/", self.page(log.groups), name=f"{prefix}_log_groups"),
            path("<str:pk>/log/download/", self.page(log.download), name=f"{prefix}_log_download"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Django's own, under a plain title."""
        if has_nul(request):
            return HttpResponseBadRequest(NO_NUL)
        return super().changelist_view(
            request, {"title": "Runs", "exports": EXPORTS, **environment.band(), **(extra_context or {})}
        )

    @admin.display(description=format_html('<span class="visually-hidden">{}</span>', "Compare"))
    def chosen(self, run: Run) -> SafeString:
        """A box to tick, for the form that compares two of them."""
        return format_html(
            '<input type="checkbox" name="run" value="{}" form="console-compare" aria-label="Compare run {}">',
            run.pk,
            run.pk,
        )

    @admin.display(description="run", ordering="id")
    def number(self, run: Run) -> str:
        """Its number."""
        return str(run.pk)

    @admin.display(description="data migration")
    def migration_link(self, run: Run) -> SafeString:
        """Its data migration, and the reason that was given."""
        url = migration_url("change", run.migration, run.database)
        link = format_html('<a href="{}">{}</a>', url, breakable(run.migration))
        if not run.reason:
            return link
        return format_html('{}<span class="console-description">{}</span>', link, Truncator(run.reason).chars(100))

    @admin.display(description="what")
    def kind_badge(self, run: Run) -> SafeString:
        """What was asked for; of a mark, what it made of the record."""
        more = RECORDS.get(run.kind) or ("although applied" if run.force and run.kind == Kind.RUN else "")
        if not more:
            return badge(run.kind)
        return format_html('{}<span class="console-description">{}</span>', badge(run.kind), more)

    @admin.display(description="status")
    def status_badge(self, run: Run) -> SafeString:
        """How it ended, or where it is."""
        return badge(run.look)

    @admin.display(description="asked for", ordering="requested_at")
    def when(self, run: Run) -> Any:
        """When."""
        return ago(run.requested_at)

    @admin.display(description="took")
    def took(self, run: Run) -> str:
        """How long."""
        return duration(run.elapsed) or "–"

    @admin.display(description="by")
    def who(self, run: Run) -> str | SafeString:
        """By whom, and through which door; of a mark its kind says that already."""
        by = run.requested_by or "–"
        if run.door == Door.MARKED:
            return by
        return format_html('{}<span class="console-description">{}</span>', by, door(run.door))


@admin.register(Health)
class HealthAdmin(PagesAdmin):
    """The health of the console: one page, and the same for monitors."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """May see the health."""
        return self.has_view_health_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """May see that there is such a page."""
        return self.has_view_health_permission(request)

    def get_urls(self) -> list[URLPattern]:
        """All of them ours."""
        prefix = "console_health"
        return [
            path("", self.page(health.show), name=f"{prefix}_changelist"),
            path("health.json", health.for_monitors(self, health.as_json), name=f"{prefix}_json"),
            path("metrics", health.for_monitors(self, health.as_metrics), name=f"{prefix}_metrics"),
        ]
