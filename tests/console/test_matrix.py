"""Each role on each address with each method: what the rule says, nothing changed by a look, nothing told to others.

A new address of the console fails here until ``PAGES`` has a line for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.apps import apps
from django.contrib.admin.utils import quote
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import connections, router, transaction
from django.test import Client
from django.urls import get_resolver, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from console import approval, sealing
from console.models import Run
from console.tickets import Ticket
from data_migrations import ledger, registry
from data_migrations.models import Checkpoint, QuarantinedRow
from data_migrations.reporting import Door
from tests.console.pages import a_run, person, print_lines

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.once, pytest.mark.slow]

PENDING, APPLIED, POISON = "with_arguments_2026_01_09", "reversible_v2_2026_01_06", "batch_poison_2026_02_02"
SCHEDULED, WAITING = "verified_2026_01_07", "careless_2026_01_10"
RUNNING, PAUSED, FAILED = "batch_increment_2026_02_01", "batch_label_2026_02_05", "noisy_2026_01_08"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What the data migrations of these tests ask for beside the console's permissions; nobody but the narrowed lacks it.
FURTHER = "auth.delete_user"
LOG, ARGUMENT, SECRET = "sentinel-of-the-log", "sentinel-of-an-argument", "sentinel-of-a-secret"
ELSEWHERE = (
    "https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)",
    "/admin/console/migration/\r\nX-Evil: evil.example", "/admin/console/migration/../../../../..//evil.example/",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """What there is to look at and to act on."""

    failed: Run
    running: Run
    paused: Run
    scheduled: Run
    waiting: Run


@dataclass(frozen=True)
class Page:
    """One address.

    Args:
        what: whose page it is: a name in ``World``, the name of a data migration, or nothing.
        needs: codenames of which all are needed; of a tuple among them, one is enough.
        methods: those that it takes; HEAD comes with GET.
        acts: it does something to one data migration, so that what its command asks for counts, too.
        data: what is posted.
        done: the status of a POST by somebody who may.
        query: what a GET asks.
        fine: the statuses of a GET by somebody who may.
        outside: the status for those who may not enter the admin: sent to log in, but for what programs ask.
    """

    what: str
    needs: tuple[str | tuple[str, ...], ...]
    methods: tuple[str, ...] = ("GET",)
    acts: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    done: int = 302
    query: str = ""
    fine: tuple[int, ...] = (200,)
    outside: int = 302

    def url(self, name: str, world: World) -> str:
        """Its address, without the query."""
        if not self.what:
            return reverse(f"admin:{name}")
        here = getattr(world, self.what).pk if hasattr(world, self.what) else quote(self.what)
        return reverse(f"admin:{name}", args=(here,))


REASON = {"confirmed": "1", "reason": "the ticket"}
BOTH = ("GET", "POST")
ASKED = {"kind": "run", "database": "default", "reason": "the ticket", "arg-country": "AT"}
VIEW, READ = ("view_run",), ("view_run", "view_log")

PAGES: dict[str, Page] = {
    "console_migration_changelist": Page("", VIEW),
    "console_migration_change": Page(PENDING, VIEW),
    "console_migration_run": Page(PENDING, (("run_migration", "dry_run_migration"),), BOTH, True, data=ASKED, done=200),
    "console_migration_start": Page(PENDING, ("run_migration",), ("POST",), True),
    "console_migration_mark": Page(PENDING, ("mark_migration",), BOTH, True, data=REASON),
    "console_migration_unmark": Page(APPLIED, ("unmark_migration",), BOTH, True, data=REASON),
    "console_migration_accept": Page(POISON, ("accept_quarantine",), BOTH, True, data=REASON),
    "console_migration_marking": Page(
        "", ("mark_migration",), ("POST",), True, data={"name": [PENDING], "action": "mark", **REASON}
    ),
    "console_schemamigration_changelist": Page("", VIEW),
    "console_health_changelist": Page("", ("view_health",)),
    "console_health_json": Page("", ("view_health",), fine=(200, 503), outside=401),
    # 501: the library is not installed.
    "console_health_metrics": Page("", ("view_health",), fine=(200, 501), outside=401),
    "console_run_changelist": Page("", VIEW, query="q=sentinel"),
    "console_run_export": Page("csv", VIEW),
    "console_run_compare": Page("", VIEW, query="run=1", fine=(200, 404)),
    "console_run_compare_with": Page("failed", VIEW),
    "console_run_change": Page("failed", VIEW),
    "console_run_state": Page("failed", VIEW),
    "console_run_log": Page("failed", READ),
    "console_run_log_search": Page("failed", READ, query="text=sentinel"),
    "console_run_log_groups": Page("failed", READ),
    # Under WSGI there is no stream.
    "console_run_log_stream": Page("failed", READ, fine=(204,)),
    "console_run_log_download": Page("failed", READ),
    "console_run_start": Page("scheduled", ("run_migration",), BOTH, True),
    "console_run_approve": Page("waiting", ("approve_run",), BOTH, True),
    "console_run_reject": Page("waiting", ("approve_run",), BOTH, True, data={"note": "not today"}),
    "console_run_pause": Page("running", ("cancel_run",), BOTH, True),
    "console_run_resume": Page("paused", ("cancel_run",), BOTH, True),
    "console_run_cancel": Page("running", ("cancel_run",), BOTH, True),
    "console_run_force": Page("running", ("force_stop_run",), BOTH, True),
    "console_run_tune": Page("running", ("run_migration",), BOTH, True, data={"batch_size": "5", "pause": "0"}),
}

ROLES: dict[str, tuple[str, ...]] = {
    "anonymous": (),
    "not of the staff": ("everything",),
    "staff without": (),
    "viewer": ("view_run",),
    "log reader": ("view_run", "view_log"),
    "argument reader": ("view_run", "view_arguments"),
    "dry-runner": ("view_run", "dry_run_migration"),
    "runner": ("view_run", "run_migration"),
    "canceller": ("view_run", "cancel_run"),
    "force stopper": ("view_run", "force_stop_run"),
    "approver": ("view_run", "approve_run"),
    "marker": ("view_run", "mark_migration"),
    "unmarker": ("view_run", "unmark_migration"),
    "acceptor": ("view_run", "accept_quarantine"),
    "health viewer": ("view_health",),
    "log reader who may not view": ("view_log",),
    "narrowed out": ("everything",),
    "superuser": ("everything",),
}


def routes() -> set[str]:
    """The names of the console's addresses, as the URLconf has them."""

    def walk(patterns: Any) -> Iterator[str]:
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns)
            elif str(pattern.name).startswith("console_") or "console" in pattern.lookup_str.partition(".")[0]:
                yield str(pattern.name)

    return set(walk(get_resolver().url_patterns))


def codenames(role: str) -> set[str]:
    if ROLES[role] == ("everything",):
        return set(Permission.objects.filter(content_type__app_label="console").values_list("codename", flat=True))
    return set(ROLES[role])


def client_of(role: str, **options: Any) -> tuple[Client, Any]:
    """A browser of somebody in that role, and who it is."""
    client = Client(**options)
    if role == "anonymous":
        return client, AnonymousUser()
    user = person(role, *codenames(role))
    if role == "superuser":
        user = User.objects.create_superuser("root", password="secret")
    elif role == "not of the staff":
        User.objects.filter(pk=user.pk).update(is_staff=False)
    if role not in ("narrowed out", "superuser"):
        user.user_permissions.add(Permission.objects.get(codename="delete_user", content_type__app_label="auth"))
    client.force_login(user)
    return client, user


def may(role: str, page: Page) -> bool:
    """The rule."""
    has = codenames(role)
    if page.acts and role == "narrowed out":
        return False
    return all(bool(has & set(need)) if isinstance(need, tuple) else need in has for need in page.needs)


def expected(role: str, page: Page, method: str) -> tuple[int, ...]:
    """The statuses by the rule; people who may not enter the admin are sent to log in whatever they ask."""
    is_outside, is_taken = role in ("anonymous", "not of the staff"), method.replace("HEAD", "GET") in page.methods
    if is_outside and (is_taken or page.outside == 302):
        return (page.outside,)
    if not is_taken:
        return (405,)
    if not may(role, page):
        return (403,)
    return (page.done,) if method == "POST" else page.fine


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A console with something on every page, and no queue."""
    monkeypatch.setattr("console.queue.ring", lambda run_id: None)
    for name in (PENDING, APPLIED, POISON, RUNNING, PAUSED, FAILED, SCHEDULED, WAITING):
        monkeypatch.setattr(registry.get(name).command_class, "permission", FURTHER, raising=False)
    ledger.record(APPLIED, using="default", by="ben", door=Door.SHELL)
    now = timezone.now()
    for name in (RUNNING, PAUSED):
        Checkpoint.objects.create(name=name, batches=3, rows=30, batch_size=10, started_at=now, updated_at=now)
    QuarantinedRow.objects.create(name=POISON, key="1", error="no such seat", at=now)
    kept: dict[str, Any] = {
        "arguments": {"country": ARGUMENT},
        "sealed_arguments": sealing.seal({"country": ARGUMENT, "password": SECRET}),
        "heartbeat_at": now,
    }
    under_way = {"finished_at": None, "in_batches": True, "door": "worker", **kept}
    not_begun = {"started_at": None, "finished_at": None, "door": "worker", **kept}
    found = World(
        a_run(migration=FAILED, status="failed", error_message="broken", traceback=f"Traceback {LOG}", **kept),
        a_run(migration=RUNNING, status="running", **under_way),
        a_run(migration=PAUSED, status="paused", **under_way),
        a_run(migration=SCHEDULED, status="scheduled", start_at=now + timedelta(hours=1), **not_begun),
        a_run(migration=WAITING, status="waiting", approval_expires_at=now + timedelta(hours=1), **not_begun),
    )
    waiting = found.waiting
    waiting.checksum = registry.get(WAITING).checksum
    waiting.fingerprint = approval.fingerprint(waiting)
    waiting.save()
    for run in (found.failed, found.running, found.paused):
        print_lines(run, "one", f"two {LOG}")
    return found


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is done inside is taken back."""
    with ExitStack() as stack:
        for alias in connections:
            stack.enter_context(transaction.atomic(using=alias))
        yield
        for alias in connections:
            transaction.set_rollback(True, using=alias)


def everything() -> dict[str, Any]:
    """All rows of all tables but sessions, which keep what a page has to say next."""
    return {
        model._meta.label: list(model._base_manager.using(router.db_for_read(model)).order_by("pk").values_list())
        for model in apps.get_models()
        if model._meta.managed and model._meta.app_label != "sessions"
    }


def body(response: Any) -> str:
    """What was sent, headers included."""
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return f"{response.headers}\n{content.decode()}"


def data_of(name: str, page: Page, user: Any) -> dict[str, Any]:
    """What is posted; the confirm page's ticket is of this very person."""
    if name == "console_run_approve":
        return {"fingerprint": Run.objects.get(status="waiting").fingerprint}
    if name != "console_migration_start":
        return page.data
    ticket = Ticket(page.what, "run", "default", "the ticket", False, {"country": "AT"}, "", str(user.pk))
    checksum = registry.get(page.what).checksum
    return {"ticket": Ticket(**{**vars(ticket), "checksum": checksum}).seal()}


def test_every_address_of_the_console_is_in_the_table() -> None:
    assert routes() == set(PAGES)


@pytest.mark.parametrize("role", ROLES)
def test_each_address_answers_each_method_by_the_rule(world: World, role: str) -> None:
    client, user = client_of(role)
    before = everything()
    wrong: dict[tuple[str, str], Any] = {}
    hidden = [SECRET]
    if "view_log" not in codenames(role) or role in ("not of the staff", "log reader who may not view"):
        hidden.append(LOG)
    if "view_arguments" not in codenames(role) or role == "not of the staff":
        hidden.append(ARGUMENT)

    def check(name: str, method: str, ask: Callable[[], Any]) -> None:
        wanted = expected(role, PAGES[name], method)
        # What somebody may do is taken back; what is refused may have changed nothing to take back.
        with undone() if method == "POST" and may(role, PAGES[name]) else nullcontext():
            response = ask()
        if response.status_code not in wanted:
            wrong[name, method] = (response.status_code, f"expected {wanted}")
        text = body(response)
        if told := [each for each in hidden if each in text]:
            wrong[name, f"{method} tells"] = told

    for name, page in PAGES.items():
        url = page.url(name, world)
        data = data_of(name, page, user)
        asked = dict(parse_qsl(page.query))
        asks: dict[str, Callable[..., Any]] = {
            "GET": partial(client.get, url, asked),
            "HEAD": partial(client.head, url, asked),
            "POST": partial(client.post, url, data),
        }
        for method in METHODS:
            check(name, method, asks.get(method) or partial(client.generic, method, url, b"confirmed=1&reason=x"))
        if "GET" in page.methods:
            # What would do it in a POST does nothing in the address; and a page that refreshes itself tells no more.
            check(name, "GET", partial(client.get, url, {**data, **asked}))
            check(name, "GET", partial(client.get, url, asked, headers={"X-Console-Live": "1"}))
        changed = [label for label, rows in everything().items() if rows != before[label]]
        if changed:
            wrong[name, "changes"] = changed
    assert wrong == {}


def test_the_rule_lets_somebody_do_each_thing_and_that_changes_something(world: World) -> None:
    client, user = client_of("superuser")
    before = everything()
    for name, page in PAGES.items():
        if "POST" not in page.methods or page.done == 200:
            continue
        with undone():
            client.post(page.url(name, world), data_of(name, page, user))
            assert everything() != before, name


def test_each_post_wants_a_csrf_token_of_this_browser_and_this_site(world: World) -> None:
    client, user = client_of("superuser", enforce_csrf_checks=True)
    other, _ = client_of("runner", enforce_csrf_checks=True)
    field = re.compile(r'csrfmiddlewaretoken" value="([^"]+)"')
    token, foreign = (
        field.findall(each.get("/admin/password_change/").content.decode())[0] for each in (client, other)
    )
    before = everything()
    for name, page in PAGES.items():
        if "POST" not in page.methods:
            continue
        url, data = page.url(name, world), data_of(name, page, user)
        good = {**data, "csrfmiddlewaretoken": token}
        refused = [
            client.post(url, data),
            client.post(url, {**data, "csrfmiddlewaretoken": foreign}),
            client.post(url, good, headers={"Origin": "https://evil.example"}),
            client.post(url, good, headers={"Origin": "null"}),
            client.post(url, good, headers={"Referer": "https://evil.example/x"}, secure=True),
            client.post(url, good, secure=True),
        ]
        assert [each.status_code for each in refused] == [403] * len(refused), name
        assert everything() == before, name
        with undone():
            assert client.post(url, good).status_code == page.done, name
            assert client.post(url, good, headers={"Origin": "http://testserver"}).status_code != 403, name


def targets(html: str) -> list[str]:
    """Where the links and forms of a page lead."""
    return re.findall(r'(?:href|action|formaction|src)="([^"]*)"', html)


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_crafted_address_to_go_back_to_never_leads_off_the_site(world: World, elsewhere: str) -> None:
    client, user = client_of("superuser")
    keys = ("next", "back", "return", "redirect", "url", "_popup", "_to_field", "_changelist_filters")
    crafted = dict.fromkeys(keys, elsewhere)
    wrong = []
    for name, page in PAGES.items():
        url, data = page.url(name, world), data_of(name, page, user)
        asks: list[Callable[[], Any]] = []
        if "GET" in page.methods:
            asks.append(lambda: client.get(url, {**crafted}))  # noqa: B023
        if "POST" in page.methods:
            asks.append(lambda: client.post(url, {**data, **crafted}))  # noqa: B023
            asks.append(lambda: client.post(url, {**data, **crafted, "confirmed": ""}))  # noqa: B023
        for ask in asks:
            with undone():
                response = ask()
            assert response.status_code != 500, name
            assert "X-Evil" not in response.headers
            leads = targets(body(response)) if response.status_code == 200 else []
            leads += [response["Location"]] if response.has_header("Location") else []
            wrong += [
                (name, each)
                for each in leads
                if not url_has_allowed_host_and_scheme(each.replace("&amp;", "&"), allowed_hosts={"testserver"})
                and each not in ("", "#")
            ]
    assert wrong == []


def test_the_history_cannot_be_asked_about_what_one_may_not_see(world: World) -> None:
    client, _ = client_of("viewer")
    history = reverse("admin:console_run_changelist")
    for column in ("traceback", "arguments", "sealed_arguments", "samples", "key", "requested_by_pk", "chunks__text"):
        for lookup in ("startswith", "contains", "icontains", "regex", "country", "isnull"):
            assert client.get(f"{history}?{column}__{lookup}=s").status_code in (302, 400), (column, lookup)
    for words in (LOG, ARGUMENT):
        assert "0 runs" in client.get(history, {"q": words}).content.decode()
    # Sorting by what is not shown tells about it as well.
    assert client.get(history, {"o": "99"}).status_code == 200
