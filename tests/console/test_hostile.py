"""Whatever text reaches a page stays text: markup, scripts, control characters, names with slashes and emoji."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import dispatch, logs, worker
from console.lines import Splitter
from console.masking import Masker
from console.models import Attempt, Notice, Run, Worker
from data_migrations import ledger, registry
from data_migrations.models import QuarantinedRow
from data_migrations.reporting import Door
from tests.console.pages import EVERYTHING, a_run, address, person, print_lines, run_address

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.once, pytest.mark.slow]

# One text with all that a page, a script, a terminal or an attribute might take for more than text.
NASTY = (
    "</script></title></textarea>--><script>alert('sentinel')</script><img src=x onerror=alert(1)>"
    "\"' onmouseover=alert(1) x=' {{ 7*7 }}{% now 'Y' %} &lt;script&gt; javascript:alert(1) "
    "\x1b[31mred\x1b[0m\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \u202egnp.exe\u2066 \ufeff\u200b \x07\x08\x7f "
    "\x9b💣 %s %(x)s %0d%0a"
)
NAMES = (
    "../../etc/passwd", "a/b", "a//b/change", "quote'\"name", "100%", "%2e%2e%2f", "semi;colon", "--force", "-h",
    "💣 emoji", "ein\u202eeman", "back\\slash", "<script>alert('sentinel')</script>", "a?b=c#d&e", " space ", "_5F",
    "add", "marking", ".", "..", "tab\tname", "new\nline",
)  # fmt: skip


class Strict(HTMLParser):
    """Reads a page and keeps what could run in it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        is_data = values.get("type") == "application/json"
        if tag == "script" and not is_data and not str(values.get("src", "")).startswith("/static/"):
            self.wrong.append(f"<{tag} {attrs}>")
        if tag in ("iframe", "object", "embed", "base"):
            self.wrong.append(f"<{tag} {attrs}>")
        for name, value in attrs:
            scheme = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if name.startswith("on") or scheme.startswith(("javascript:", "data:text", "vbscript:")):
                self.wrong.append(f"<{tag} {name}={value!r}>")


def check(client: Client, url: str, *, status: int = 200) -> str:
    """The page, which must parse, run nothing and hold no markup that came from a text."""
    response = client.get(url)
    assert response.status_code == status, (url, response.status_code)
    html = response.content.decode()
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.wrong == [], url
    assert "<script>alert" not in html, url
    assert "<img src=x" not in html, url
    # Nothing of it was taken for a template.
    assert "{{ 7*7 }}" in html or "7*7" not in html
    return html


@pytest.fixture
def boss(db: None, settings: Any) -> Client:
    """A browser of somebody with a name like that, who may do everything."""
    settings.CONSOLE = {**settings.CONSOLE, "ENVIRONMENT": NASTY, "RELEASE": NASTY[:200]}
    codenames = (*EVERYTHING, "force_stop_run", "accept_quarantine", "approve_run", "view_health")
    client = Client()
    client.force_login(person(NASTY[:150], *codenames))
    return client


def hostile_run(name: str, **fields: Any) -> Run:
    """A run of which every text is like that."""
    values: dict[str, Any] = {
        "migration": name, "command_name": NASTY[:200], "requested_by": NASTY[:150], "reason": NASTY,
        "arguments": {NASTY: NASTY, "list": [NASTY]}, "host": NASTY[:255], "release": NASTY[:200], "result": NASTY,
        "error_class": NASTY[:200], "error_message": NASTY, "traceback": NASTY, "note": NASTY, "waiting_for": NASTY,
        "control_by": NASTY[:150], "decided_by": NASTY[:150], "decision_note": NASTY, "status": "failed",
        "changes": [{"table": NASTY, "inserted": 1, "updated": 2, "deleted": 3}],
        "samples": [
            {"key": NASTY, "before": {NASTY: NASTY}, "after": {NASTY: NASTY + "!"}},
            {"key": [NASTY, 1], "before": {"a": NASTY}, "after": None},
        ],
        "in_batches": True,
    }  # fmt: skip
    run = a_run(**values | fields)
    now = timezone.now()
    Attempt.objects.create(run=run, number=1, host=NASTY[:255], worker=NASTY[:100], outcome=NASTY[:200], started_at=now)
    Notice.objects.create(run=run, event="failed", channel=NASTY[:20], once_key=f"nasty-{run.pk}", subject=NASTY[:300],
                          text=NASTY, error=NASTY)  # fmt: skip
    for level in logs.LEVELS:
        print_lines(run, NASTY.replace("\x00", ""), level=level)
    return run


@pytest.mark.parametrize("name", NAMES)
def test_every_page_of_a_recorded_name_shows_it_as_text(boss: Client, name: str) -> None:
    ledger.record(name, using="default", by=NASTY[:150], door=Door.SHELL, result=NASTY, checksum="x")
    QuarantinedRow.objects.create(
        name=name, key=json.dumps(NASTY), model=NASTY[:200], error=NASTY, traceback=NASTY, at=timezone.now()
    )
    run = hostile_run(name)
    html = check(boss, address("change", name))
    assert "Not in the code" in html
    for page in ("unmark", "accept"):
        check(boss, address(page, name))
    check(boss, address("mark", name))
    assert boss.get(address("run", name)).status_code == 302
    for url in ("/admin/console/migration/", "/admin/console/run/", run_address(run)):
        check(boss, url)
    # Its links lead to it.
    history = boss.get("/admin/console/run/").content.decode()
    links = re.findall(r'field-migration_link"><a href="([^"]+)"', history)
    assert links
    assert boss.get(unescape(links[0])).status_code == 200
    # Unmarked for real, and this one only.
    ledger.record("bystander", using="default", by="ben", door=Door.SHELL)
    assert boss.post(address("unmark", name), {"confirmed": "1", "reason": NASTY}).status_code == 302
    assert set(ledger.applied("default")) == {"bystander"}
    assert Run.objects.filter(migration=name, kind="unmark").count() == 1


@pytest.mark.parametrize("status", ["failed", "running", "paused", "interrupted", "cancelled", "succeeded", "enqueued"])
@pytest.mark.parametrize("kind", ["run", "dry_run", "mark"])
def test_a_run_of_hostile_texts_is_shown_as_text(boss: Client, status: str, kind: str) -> None:
    run = hostile_run("increment_items_2026_01_01", status=status, kind=kind, heartbeat_at=timezone.now())
    html = check(boss, run_address(run))
    assert "&lt;script&gt;alert(&#x27;sentinel&#x27;)" in html
    for page in ("cancel", "pause", "force", "resume"):
        check(boss, run_address(run, page))
    answer = boss.get(run_address(run, "log"))
    assert answer["Content-Type"] == "application/json"
    assert answer.json()["lines"][0][3] == NASTY
    download = boss.get(run_address(run, "log_download"))
    assert download["Content-Type"].startswith("text/plain")
    assert "attachment" in download["Content-Disposition"]
    assert download["X-Content-Type-Options"] == "nosniff"


def test_the_lists_and_searches_show_hostile_texts_as_text(boss: Client) -> None:
    hostile_run(NASTY[:200])
    now = timezone.now()
    Worker.objects.create(host=NASTY[:255], pid=7, started_at=now, seen_at=now, release=NASTY[:200])
    for page in ("migration", "run", "schemamigration", "health"):
        check(boss, f"/admin/console/{page}/")
        for key in ("q", "by", "migration", "host", "state", "app", "show", "p", "o"):
            response = boss.get(f"/admin/console/{page}/", {key: NASTY})
            assert response.status_code in (200, 302, 404), (page, key)
            if response.status_code == 200:
                parser = Strict()
                parser.feed(response.content.decode())
                assert parser.wrong == [], (page, key)
                assert "<script>alert" not in response.content.decode(), (page, key)


def test_a_command_of_hostile_texts_is_shown_as_text(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    migration = registry.get("with_arguments_2026_01_09")
    monkeypatch.setattr(migration.command_class, "help", NASTY)
    monkeypatch.setattr(migration.command_class, "permission", NASTY, raising=False)
    broken = replace(migration, name=NASTY[:100], command_class=None, error=NASTY)
    everyone = (*registry.all_migrations(), broken)
    monkeypatch.setattr(registry, "_discover", lambda: everyone)
    check(boss, "/admin/console/migration/")
    check(boss, address("change", migration.name))
    check(boss, address("change", broken.name))


def test_what_is_typed_into_the_forms_comes_back_as_text(boss: Client) -> None:
    asked = {"kind": "run", "database": "default", "reason": NASTY, "arg-country": NASTY, "arg-count": NASTY}
    response = boss.post(address("run", "with_arguments_2026_01_09"), asked)
    assert "<script>alert" not in response.content.decode()
    confirm = boss.post(address("run", "with_arguments_2026_01_09"), {**asked, "arg-count": "3"})
    html = confirm.content.decode()
    assert 'name="ticket"' in html
    assert "<script>alert" not in html


@pytest.mark.parametrize(
    "value", ["--force", "-h", "--database=other", "--", "--password=x", "--dry-run", "@/etc/hostname", "$(id)", "-1"]
)
@pytest.mark.django_db(databases="__all__", transaction=True)
def test_an_argument_that_looks_like_an_option_stays_a_value(value: str) -> None:
    run = dispatch.request_run(
        "with_arguments_2026_01_09", user="ana", values={"country": value, "tag": [value, "b"]}, reason="x"
    )
    assert (run.force, run.database) == (False, "default")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == "succeeded", run.error_message
    assert f'"country": "{value}"' in run.result
    assert f'"tag": ["{value}", "b"]' in run.result
    assert ledger.is_applied("with_arguments_2026_01_09", "default")
    assert not ledger.is_applied("with_arguments_2026_01_09", "other")


def test_a_line_of_ten_megabytes_is_cut_and_every_answer_stays_small(client_of_ana: Client) -> None:
    splitter = Splitter(Masker([]), 16 * 1024)
    huge = "<b>" + "x" * (10 * 1024 * 1024)
    began = time.process_time()
    pieces = [*splitter.feed("stdout", huge), *splitter.feed("stdout", "\nafter\n")]
    assert time.process_time() - began < 20
    assert [text for _, text in pieces][1] == "after"
    assert len(pieces[0][1].encode()) < 17 * 1024
    assert "bytes more]" in pieces[0][1]
    run = a_run()
    print_lines(run, *(text for _, text in pieces))
    assert logs.read(run).lines[0].text == pieces[0][1]
    for url in (run_address(run), run_address(run, "log")):
        content = client_of_ana.get(url).content
        assert len(content) < 200_000
        assert b"<b>xxx" not in content or url.endswith("/log/")
