"""Notices are sent once, tried again, given up and seen: against a real mail server and a real web server."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from console import channels, chores, health, notices, outbox, presence, spool
from console.channels import NobodyToTell, NotSent
from console.health import probe
from console.models import Notice, Run
from data_migrations import mail as held
from data_migrations.processes import Process
from tests.console import smtp
from tests.console.factories import RunFactory, WorkerFactory, user
from tests.console.pages import run_address
from tests.console.smtp import MailServer

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    """A mail server, which Django knows."""
    with smtp.running() as found:
        smtp.use(settings, found.port)
        settings.DEFAULT_FROM_EMAIL = "Shop <shop@example.com>"
        yield found


@pytest.fixture(autouse=True)
def told(settings: Any) -> Any:
    settings.CONSOLE = {
        **settings.CONSOLE,
        "NOTIFY_EMAILS": ["ops@example.com", "night@example.com"],
        "SITE_URL": "https://admin.example.com",
    }
    return settings


def change(settings: Any, **values: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, **values}


def noticed(channel: str = "email", **fields: Any) -> Notice:
    """A notice that is due."""
    now = timezone.now() - timedelta(seconds=5)
    values = {
        "event": "failed",
        "channel": channel,
        "once_key": f"key-{Notice.objects.count()}",
        "subject": "[production] Failed: é <b>",
        "text": "It failed: <script>alert(1)</script>",
        "due_at": now,
        "created_at": now,
    }
    return Notice.objects.create(**values | fields)


def make_due() -> None:
    """As if the pause were over."""
    Notice.objects.exclude(due_at=None).update(due_at=timezone.now() - timedelta(seconds=1))


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


# By mail


def test_a_notice_is_mailed_to_all_with_its_link_and_marked(server: MailServer) -> None:
    run = RunFactory.create()
    notice = noticed(run=run)
    assert outbox.send_due() == (1, 0)
    [message] = server.messages
    assert message["subject"] == "[production] Failed: é <b>"
    assert message["to"] == "ops@example.com, night@example.com"
    assert len(server.recipients[0]) == 2
    assert message["from"] == "Shop <shop@example.com>"
    assert message["auto-submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    body = message.get_content()
    assert "<script>alert(1)</script>" in body
    assert body.rstrip().endswith(f"\nhttps://admin.example.com/admin/console/run/{run.pk}/change/")
    notice.refresh_from_db()
    assert notice.due_at is None
    assert (notice.tries, notice.error) == (1, "")
    assert notice.sent_at is not None
    assert outbox.send_due() == (0, 0)
    assert len(server.messages) == 1


def test_a_server_that_says_later_is_asked_again_until_it_takes_it(server: MailServer) -> None:
    notice = noticed()
    server.answers = ["451 try again later", "451 try again later"]
    assert outbox.send_due() == (0, 1)
    notice.refresh_from_db()
    assert "try again later" in notice.error
    assert notice.sent_at is None
    assert notice.due_at
    assert timedelta(seconds=0) < notice.due_at - timezone.now() <= timedelta(seconds=60)
    # Not before its time.
    assert outbox.send_due() == (0, 0)
    make_due()
    assert outbox.send_due() == (1, 0)
    notice.refresh_from_db()
    assert (notice.tries, notice.error) == (2, "")
    # The same message to a mailbox that has it already.
    assert len({message["message-id"] for message in server.messages}) == 1


def test_a_server_that_is_not_there_is_asked_ever_more_seldom_and_then_given_up(settings: Any) -> None:
    smtp.use(settings, 1)
    change(settings, NOTIFY_TRIES=3)
    notice = noticed()
    pauses = []
    for _ in range(3):
        make_due()
        assert outbox.send_due() == (0, 1)
        notice.refresh_from_db()
        pauses.append(math.ceil((notice.due_at - timezone.now()).total_seconds() / 60) if notice.due_at else None)
    assert pauses == [1, 2, None]
    assert (notice.tries, notice.sent_at) == (3, None)
    assert "ConnectionRefusedError" in notice.error
    assert outbox.send_due() == (0, 0)


def test_pauses_grow_from_a_minute_to_an_hour() -> None:
    minutes = [outbox.pause(tries).total_seconds() / 60 for tries in range(1, 12)]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_what_was_given_up_is_seen_and_can_be_tried_again(
    server: MailServer, client_of_ana: Client, settings: Any
) -> None:
    WorkerFactory.create()
    probe.forget()
    change(settings, NOTIFY_TRIES=1)
    run = RunFactory.create(finished=True)
    noticed(run=run)
    server.answers = ["550 no such <user>"]
    server.answers *= 2
    outbox.send_due()
    [problem] = health.problems()
    assert problem.id == "notices"
    assert problem.text.startswith("1 notice could not be sent by email: SMTPRecipientsRefused")
    page = client_of_ana.get(run_address(run)).content.decode()
    assert "Notices (1, 1 not sent)" in page
    assert "given up after 1 try" in page
    assert "no such &lt;user&gt;" in page
    out = StringIO()
    call_command("console_notices", "retry", stdout=out)
    assert out.getvalue() == "To be tried again by the next worker that looks: 1.\n"
    call_command("console_notices", "send", stdout=out)
    assert "Sent: 1. Not sent: 0." in out.getvalue()
    assert health.problems() == []
    assert "by email: sent" in client_of_ana.get(run_address(run)).content.decode()


def test_a_channel_that_works_again_is_no_problem_any_more() -> None:
    now = timezone.now()
    noticed(due_at=None, tries=12, error="refused", created_at=now - timedelta(hours=2))
    assert notices.failing() == [("email", 1, "refused")]
    noticed(due_at=None, tries=1, sent_at=now)
    assert notices.failing() == []


def test_notices_that_nobody_sends_are_a_problem() -> None:
    WorkerFactory.create()
    probe.forget()
    noticed(due_at=timezone.now() - timedelta(minutes=16))
    [problem] = health.problems()
    assert problem.text == "1 notice should have been sent a while ago."


def test_a_server_that_hangs_holds_up_neither_the_worker_nor_other_channels(
    server: MailServer, settings: Any, web: Web
) -> None:
    change(settings, NOTIFY_URLS={"chat": web.url}, NOTIFY_TIMEOUT_SECONDS=60)
    server.talks.clear()
    mailed, posted, next_one = noticed(), noticed("chat"), noticed()
    lively = presence.Presence(Process.current())
    lively.tick()
    server.is_asked.wait(20)
    # The mail server has the line and says nothing; everything else goes on.
    until(lambda: Notice.objects.get(pk=posted.pk).sent_at)
    run = RunFactory.create(running=True, host="gone", heartbeat_at=timezone.now() - timedelta(minutes=10))
    lively.tick()
    run.refresh_from_db()
    assert run.status != "running"
    # Nor does another channel's thread take up what would hang as well.
    outbox._threads["chat"].join(20)
    assert not outbox._threads["chat"].is_alive()
    assert server.connections == 1
    server.talks.set()
    for notice in (mailed, next_one):
        until(lambda pk=notice.pk: Notice.objects.get(pk=pk).sent_at)
    outbox._threads["email"].join(20)


def test_a_server_that_says_nothing_is_left_after_the_timeout(server: MailServer, settings: Any) -> None:
    change(settings, NOTIFY_TIMEOUT_SECONDS=0.2)
    server.talks.clear()
    notice = noticed()
    assert outbox.send_due() == (0, 1)
    notice.refresh_from_db()
    assert "timed out" in notice.error.lower()


def test_the_timeout_of_the_site_goes_first(server: MailServer, settings: Any) -> None:
    change(settings, NOTIFY_TIMEOUT_SECONDS=3600)
    smtp.use(settings, server.port, timeout=0.2)
    server.talks.clear()
    noticed()
    assert outbox.send_due() == (0, 1)


def test_a_dry_run_does_not_hold_notices_back_and_does_not_count_them(server: MailServer) -> None:
    noticed()
    with held.held_mail() as mails:
        assert outbox.send_due() == (1, 0)
    assert mails.count == 0
    assert len(server.messages) == 1


def test_of_several_that_send_at_once_one_does(server: MailServer) -> None:
    for _ in range(10):
        noticed()
    results: list[tuple[int, int]] = []
    barrier = threading.Barrier(4)

    def send() -> None:
        try:
            spool.prepare_connection()
            barrier.wait()
            for _ in range(200):
                try:
                    results.append(outbox.send_due())
                except OperationalError:
                    time.sleep(0.02)
                    continue
                return
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(server.messages) == 10
    assert len({message["message-id"] for message in server.messages}) == 10
    assert not Notice.objects.exclude(tries=1).exists()


KILLED = """
import os, signal, sys
import django
django.setup()
from console import outbox
outbox._mark = lambda notice, **fields: os.kill(os.getpid(), signal.SIGKILL)
outbox.send_due()
"""


def in_a_process(code: str, settings: Any) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with this test's databases and mail server."""
    names = {alias: connections[alias].settings_dict["NAME"] for alias in connections}
    names = {alias: str(name) for alias, name in names.items()}
    setup = (
        "from django.conf import settings\n"
        f"{smtp.as_code(settings)}\n"
        f"settings.CONSOLE = {settings.CONSOLE!r}\n"
        f"settings.DEFAULT_FROM_EMAIL = {settings.DEFAULT_FROM_EMAIL!r}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", setup + code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_DB_NAMES": json.dumps(names)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_a_process_killed_between_sending_and_marking_sends_again_and_loses_nothing(
    server: MailServer, settings: Any
) -> None:
    notice = noticed()
    done = in_a_process(KILLED, settings)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(server.messages) == 1
    notice.refresh_from_db()
    assert (notice.tries, notice.sent_at) == (1, None)
    # Nobody else takes it while the one that had it may still be about to say what came of it.
    assert outbox.send_due() == (0, 0)
    assert notice.due_at
    assert notice.due_at - timezone.now() > timedelta(minutes=5)
    make_due()
    assert outbox.send_due() == (1, 0)
    # Twice, honestly; but the same message.
    assert len(server.messages) == 2
    assert len({message["message-id"] for message in server.messages}) == 1


def test_one_that_was_killed_at_its_last_try_is_given_up_and_says_why(server: MailServer, settings: Any) -> None:
    change(settings, NOTIFY_TRIES=1)
    notice = noticed(tries=1)
    assert outbox.send_due() == (0, 0)
    notice.refresh_from_db()
    assert (notice.due_at, notice.error) == (None, outbox.DIED)
    assert server.messages == []


def test_what_was_sent_is_marked_although_the_database_was_busy(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = noticed()
    update = type(Notice.objects.all()).update
    failures = [OperationalError("database is locked")] * 2

    def busy(self: Any, **fields: Any) -> int:
        if "sent_at" in fields and failures:
            raise failures.pop()
        return update(self, **fields)

    monkeypatch.setattr(type(Notice.objects.all()), "update", busy)
    monkeypatch.setattr(outbox, "MARK_PAUSE", 0)
    assert outbox.send_due() == (1, 0)
    notice.refresh_from_db()
    assert notice.sent_at
    assert failures == []


def test_a_notice_whose_run_was_pruned_is_still_sent(server: MailServer) -> None:
    run = RunFactory.create()
    noticed(run=run)
    run.delete()
    assert outbox.send_due() == (1, 0)
    assert "admin.example.com" not in server.messages[0].get_content()


# To who asked for it


def test_the_requester_gets_it_at_the_address_of_now(server: MailServer) -> None:
    ana = user("ana", email="ana@example.com")
    run = RunFactory.create(requested_by_pk=str(ana.pk))
    noticed("requester", run=run)
    assert outbox.send_due() == (1, 0)
    assert server.messages[0]["to"] == "ana@example.com"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"email": ""}, "ana has no e-mail address."),
        ({"email": "ana@example.com", "is_active": False}, "The account of ana is not active."),
        (None, "not among the users"),
    ],
)
def test_a_requester_who_cannot_be_reached_is_no_failure(
    server: MailServer, fields: dict[str, Any] | None, words: str
) -> None:
    pk = str(user("ana", **fields).pk) if fields else "no number"
    notice = noticed("requester", run=RunFactory.create(requested_by_pk=pk))
    assert outbox.send_due() == (0, 1)
    notice.refresh_from_db()
    assert (notice.due_at, notice.tries) == (None, 0)
    assert words in notice.error
    assert notices.failing() == []
    assert server.messages == []


# By Apprise


class Web(ThreadingHTTPServer):
    """A web server that keeps what is posted to it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.posts: list[dict[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"json://anna:very-secret-token@127.0.0.1:{self.server_port}/hook-4711"


class Post(BaseHTTPRequestHandler):
    server: Web

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.server.posts.append(json.loads(self.rfile.read(size)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_a_notice_goes_to_a_service_through_apprise(settings: Any, web: Web) -> None:
    change(settings, NOTIFY_URLS={"chat": web.url})
    noticed("chat", text="It failed: <script>\\n @everyone <!here> a@here.example")
    assert outbox.send_due() == (1, 0)
    [post] = web.posts
    assert post["title"] == "[production] Failed: é <b>"
    # As it is, but for the words that would call everybody in a chat.
    assert post["message"].rstrip() == "It failed: <script>\\n @\u200beveryone <\u200b!here> a@\u200bhere.example"


def test_a_service_that_takes_html_gets_it_escaped(settings: Any, web: Web) -> None:
    change(settings, NOTIFY_URLS={"chat": web.url + "?format=html"})
    noticed("chat")
    assert outbox.send_due() == (1, 0)
    assert "<script>" not in web.posts[0]["message"]
    assert "&lt;script&gt;" in web.posts[0]["message"]


def test_a_service_that_refuses_is_tried_again_and_its_secrets_are_not_shown(settings: Any, web: Web) -> None:
    change(settings, NOTIFY_URLS={"chat": web.url})
    web.status = 503
    notice = noticed("chat")
    assert outbox.send_due() == (0, 1)
    notice.refresh_from_db()
    assert "503" in notice.error
    assert notice.due_at
    web.status = 200
    make_due()
    assert outbox.send_due() == (1, 0)
    assert len(web.posts) == 2


def test_secrets_in_the_address_of_a_service_are_masked_in_its_errors(settings: Any) -> None:
    url = "json://anna:very-secret-token@127.0.0.1:1/hook-4711?+X-Key=another%20secret"
    with pytest.raises(NotSent) as caught:
        channels._apprise(url, "subject", "text")
    assert not [word for word in ("very-secret-token", "hook-4711", "another secret", url) if word in str(caught.value)]
    assert channels._secrets("slack://TokenA1/TokenB2/TokenC3/#ops") >= {"TokenA1", "TokenB2", "TokenC3"}


def test_an_error_that_holds_the_address_of_a_service_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    def broken(self: Any, **kwargs: Any) -> None:
        raise RuntimeError("cannot post to https://127.0.0.1/hook-4711 with very-secret-token")

    monkeypatch.setattr(apprise.Apprise, "notify", broken)
    with pytest.raises(NotSent) as caught:
        channels._apprise("json://anna:very-secret-token@127.0.0.1/hook-4711", "subject", "text")
    assert str(caught.value) == "RuntimeError: cannot post to https://127.0.0.1/******** with ********"


def test_an_address_that_apprise_does_not_know_is_said_without_it() -> None:
    with pytest.raises(NotSent, match="does not understand") as caught:
        channels._apprise("nonsense://secret-token", "subject", "text")
    assert "secret-token" not in str(caught.value)


def test_without_the_library_it_is_said_how_to_get_it(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change(settings, NOTIFY_URLS={"chat": "json://127.0.0.1"})
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotSent, match=r"pip install .*\[apprise\]"):
        channels.send("chat", "subject", "text", ident="x")


def test_a_channel_that_the_settings_do_not_have_any_more_is_not_tried_again() -> None:
    notice = noticed("gone")
    outbox.send_due()
    notice.refresh_from_db()
    assert notice.due_at is None
    assert "has no channel 'gone'" in notice.error
    with pytest.raises(NobodyToTell):
        channels.send("gone", "subject", "text", ident="x")


@pytest.mark.slow
@pytest.mark.once
def test_apprise_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from console import outbox, chores, checks; from django.core.checks import run_checks; run_checks()\n"
        "print([name for name in sys.modules if name.startswith(('apprise', 'requests'))])"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# The worker


def test_the_presence_of_a_worker_sends_what_is_due(server: MailServer) -> None:
    notice = noticed()
    presence.Presence(Process.current()).tick()
    until(lambda: Notice.objects.get(pk=notice.pk).sent_at)
    outbox._threads["email"].join(20)
    assert len(server.messages) == 1


def test_a_worker_that_is_asked_to_stop_leaves_the_rest_to_others(server: MailServer) -> None:
    noticed()
    assert outbox.send_due(go_on=lambda: False) == (0, 0)
    assert server.messages == []


def test_a_chore_that_fails_is_said_once_and_spoils_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a mistake")

    chores._failing.clear()
    monkeypatch.setattr(outbox, "tick", broken)
    for _ in range(3):
        chores.tick()
    assert caplog.text.count("RuntimeError: a mistake") == 1
    chores._failing.clear()


# The command


def test_a_test_notice_goes_by_every_channel(server: MailServer, web: Web, settings: Any) -> None:
    change(settings, NOTIFY_URLS={"chat": web.url}, ENVIRONMENT="staging")
    out = StringIO()
    call_command("console_notices", "test", stdout=out)
    assert out.getvalue() == "email: sent.\nchat: sent.\n"
    assert server.messages[0]["subject"] == "[staging] Test"
    assert "https://admin.example.com" in server.messages[0].get_content()
    assert len(web.posts) == 1
    call_command("console_notices", "test", "--channel", "chat", stdout=out)
    assert (len(web.posts), len(server.messages)) == (2, 1)


def test_a_test_notice_that_cannot_be_sent_is_an_error(server: MailServer, web: Web, settings: Any) -> None:
    change(settings, NOTIFY_URLS={"chat": web.url})
    server.answers = ["550 no", "550 no"]
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="Not every channel works: email"):
        call_command("console_notices", "test", stdout=out, stderr=err)
    assert err.getvalue().startswith("email: not sent. SMTPRecipientsRefused")
    assert out.getvalue() == "chat: sent.\n"
    with pytest.raises(CommandError, match="There is no channel 'pager'"):
        call_command("console_notices", "test", "--channel", "pager")
    change(settings, NOTIFY_URLS={}, NOTIFY_EMAILS=())
    with pytest.raises(CommandError, match="No channel is set up"):
        call_command("console_notices", "test")


# System checks


def found(settings: Any, **values: Any) -> list[tuple[str | None, str]]:
    change(settings, **values)
    return [(each.id, each.msg) for each in checks.run_checks(tags=["console"]) if (each.id or "")[-3:-1] == "02"]


def test_settings_that_are_well_are_not_complained_about(settings: Any) -> None:
    assert found(settings, NOTIFY_URLS={"chat": "json://x"}, NOTIFY={"failed": ["chat"]}, KEEP_RUNS=5) == []


def test_a_missing_library_is_a_warning(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from console import checks as ours

    monkeypatch.setattr(ours, "find_spec", lambda name: None)
    [(ident, message)] = found(settings, NOTIFY_URLS={"chat": "json://x"})
    assert ident == "console.W020"
    assert "Apprise library is not installed" in message


@pytest.mark.parametrize(
    ("values", "ident", "words"),
    [
        ({"NOTIFY_URLS": ["json://x"]}, "console.E020", "not a dict of names and URLs"),
        ({"NOTIFY_URLS": {"email": "json://x"}}, "console.E020", "its name is taken"),
        ({"NOTIFY_URLS": {"x" * 21: "json://x"}}, "console.E020", "longer than 20"),
        ({"NOTIFY_EMAILS": "ops@example.com"}, "console.E020", "each of its letters"),
        ({"SITE_URL": "admin.example.com"}, "console.E021", "no address that a link could begin with"),
        ({"SITE_URL": "javascript://x"}, "console.E021", "no address"),
        ({"NOTIFY": {"failure": ["email"]}}, "console.E022", "unknown event 'failure'"),
        ({"NOTIFY": {"failed": ["mail"]}}, "console.E022", "unknown channel 'mail'"),
        ({"NOTIFY": {"failed": "email"}}, "console.E022", "no list of channels"),
        ({"NOTIFY": ["failed"]}, "console.E022", "is not a dict"),
        ({"KEEP_RUNS": 0}, "console.E023", "at least 1"),
        ({"KEEP_LOGS_DAYS": "90"}, "console.E023", "takes a number"),
    ],
)
def test_settings_that_cannot_work_are_errors(settings: Any, values: dict[str, Any], ident: str, words: str) -> None:
    [(given, message)] = found(settings, **values)
    assert given == ident
    assert words in message


def test_a_command_that_names_an_unknown_channel_is_an_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.testapp.management.commands.increment import Command

    monkeypatch.setattr(Command, "notify", {"failed": ["pager"]})
    [(ident, message)] = found(settings)
    assert ident == "console.E022"
    assert message == "notify of increment_items_2026_01_01 has an unknown channel 'pager'."


def test_the_pages_show_who_was_told(viewer: Client) -> None:
    run = RunFactory.create(finished=True)
    assert "Notices (" not in viewer.get(run_address(run)).content.decode()
    noticed(run=run)
    page = viewer.get(run_address(run)).content.decode()
    assert "Notices (1)" in page
    assert "by email: to be sent" in page
    assert Run.objects.count() == 1
