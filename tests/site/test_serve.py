"""``make run`` with real processes: it starts, lets people in, says what is wrong, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """One start of the supervisor, with all that it prints in a file."""

    def __init__(self, data: Path, port: int, command: list[str] | None = None, **environment: str) -> None:
        self.port, self.data = port, data
        self.output = data / f"output-{time.monotonic_ns()}.txt"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO_", "TEST_", "PYTEST_", "DATABASE_URL"))
        }
        environment = {
            **inherited,
            "DATA_DIR": str(data),
            "PORT": str(port),
            "DEMO_CUSTOMERS": "50",
            "DEMO_ORDERS": "100",
            **environment,
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "console.site.serve"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited too long for {what}:\n{self.text()}"
            time.sleep(0.1)

    def ready(self) -> Site:
        self.until(lambda: "Log in as" in self.text() or self.process.poll() is not None, "the site to start")
        assert self.process.poll() is None, self.text()
        return self

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        return next(child for child in psutil.Process(self.process.pid).children() if word in " ".join(child.cmdline()))

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def browser(self, cookies: CookieJar | None = None) -> OpenerDirector:
        return build_opener(HTTPCookieProcessor(cookies))

    def url(self, path: str = "/admin/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def log_in(self, username: str) -> str:
        """Log in over HTTP; returns the page that is shown then."""
        cookies = CookieJar()
        browser = self.browser(cookies)
        browser.open(self.url("/admin/login/"), timeout=20).read()
        token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken") or ""
        form = {"csrfmiddlewaretoken": token, "username": username, "password": "demo", "next": "/admin/"}
        return browser.open(self.url("/admin/login/"), urlencode(form).encode(), timeout=20).read().decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Starts sites on one data directory; whatever is left of them at the end is killed."""
    started: list[Site] = []
    families: list[psutil.Process] = []

    def starter(port: int | None = None, command: list[str] | None = None, **environment: str) -> Site:
        site = Site(tmp_path, port or free_port(), command, **environment)
        started.append(site)
        return site

    yield starter
    for site in started:
        if site.process.poll() is None:
            families += site.family()
            site.process.kill()
            site.process.wait()
    for process in families:
        if process.is_running():
            process.kill()


def customers(data: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(data / "shop.sqlite3") as connection:
        return connection.execute("SELECT id, email FROM shop_customer ORDER BY id").fetchall()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_lets_people_in_and_leaves_no_process(start: Callable[..., Site], number: signal.Signals) -> None:
    site = start().ready()
    assert f"http://127.0.0.1:{site.port}/" in site.text()
    assert "Site administration" in site.log_in("ana")
    viewers_page = site.log_in("viewer")
    assert "Customer" in viewers_page
    assert "/add/" not in viewers_page
    assert site.browser().open(site.url("/static/admin/css/base.css"), timeout=20).status == 200
    icon = site.browser().open(site.url("/favicon.ico"), timeout=20)
    assert icon.read(4) == b"\x00\x00\x01\x00"
    family = site.family()
    assert any("qcluster" in " ".join(process.cmdline()) for process in family)

    assert site.stop(number) == 0

    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", site.port))


def test_it_says_how_to_stop_it_from_another_shell(start: Callable[..., Site]) -> None:
    site = start().ready()
    found = re.search(r"from another shell: kill (\d+)$", site.text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) == site.process.pid


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_itself_hands_a_sigterm_on(start: Callable[..., Site]) -> None:
    # What is installed stays as it is: the stamp counts as old, whether it is there or not.
    site = start(command=["make", "-o", ".venv/.run-installed", f"PY={sys.executable}", "run"]).ready()
    family = site.family()
    assert any("console.site.serve" in " ".join(process.cmdline()) for process in family)
    site.stop(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_second_start_keeps_the_data_and_is_quick(start: Callable[..., Site]) -> None:
    site = start().ready()
    site.stop()
    with sqlite3.connect(site.data / "shop.sqlite3") as connection:
        connection.execute("UPDATE shop_customer SET email = 'kept@example.com' WHERE id = 1")
    before = customers(site.data)
    assert len(before) == 50

    started = time.monotonic()
    again = start().ready()
    took = time.monotonic() - started

    assert customers(site.data) == before
    assert "it is kept" in again.text()
    assert took < 15
    assert again.stop() == 0


def test_the_same_seed_makes_the_same_shop(start: Callable[..., Site], tmp_path: Path) -> None:
    shops = []
    for name in ("first", "second"):
        data = tmp_path / name
        data.mkdir()
        site = start(DATA_DIR=str(data)).ready()
        site.stop()
        shops.append(customers(data))
    assert shops[0] == shops[1]


def test_a_taken_port_is_said_before_anything_is_started(start: Callable[..., Site], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site = start(port)
        assert site.process.wait(timeout=START_SECONDS) == 1
    assert f"Cannot listen on 127.0.0.1 port {port}" in site.text()
    assert "choose another: make run PORT=" in site.text()
    assert not (tmp_path / "shop.sqlite3").exists()


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_port_that_is_none_is_said(start: Callable[..., Site], port: str) -> None:
    site = start(PORT=port)
    assert site.process.wait(timeout=START_SECONDS) == 1
    assert f"PORT={port} is not a port number" in site.text()


def test_the_pages_stay_up_when_the_worker_dies(start: Callable[..., Site]) -> None:
    site = start().ready()
    worker = site.child("qcluster")
    family = [worker, *worker.children(recursive=True)]
    worker.kill()
    site.until(lambda: "The worker ended" in site.text(), "the word about the worker")
    assert "manage.py qcluster" in site.text()
    # The rest of its group would go on working without anybody to end it.
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert "Site administration" in site.log_in("ana")
    assert site.stop() == 0


def test_everything_ends_when_the_web_server_dies(start: Callable[..., Site]) -> None:
    site = start().ready()
    family = site.family()
    site.child("uvicorn").kill()
    assert site.process.wait(timeout=30) == 1
    assert "The web server ended with status -9" in site.text()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_name_that_is_not_allowed_is_refused(start: Callable[..., Site]) -> None:
    site = start().ready()
    request = Request(site.url(), headers={"Host": "evil.example.com"})
    with pytest.raises(HTTPError) as refused:
        site.browser().open(request, timeout=20)
    assert refused.value.code == 400
    refused.value.close()
    site.stop()


def test_ctrl_c_ends_a_data_migration_that_is_running_and_the_next_start_takes_it_up(
    start: Callable[..., Site],
) -> None:
    site = start(DEMO_ORDERS="3000").ready()
    request = (
        "from django.contrib.auth.models import User\n"
        "from console.dispatch import request_run\n"
        "request_run('backfill_order_totals_v1_2026_11_05', user=User.objects.get(username='ana'),"
        " values={'chunk': 10, 'pause': 0.1}, reason='a test')"
    )
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", request],
        cwd=ROOT, env={**os.environ, "DATA_DIR": str(site.data), "DJANGO_SETTINGS_MODULE": "console.site.settings"},
        check=True, capture_output=True,
    )  # fmt: skip
    site.until(lambda: runs(site.data) == ["running"], "the run to begin")
    family = site.family()
    assert site.stop() == 0
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    with sqlite3.connect(site.data / "shop.sqlite3") as connection:
        filled = connection.execute("SELECT count(*) FROM shop_order WHERE total IS NOT NULL").fetchone()
    assert filled == (0,)

    again = start().ready()
    again.until(lambda: runs(site.data) == ["running"], "the run to be taken up again")
    assert again.stop() == 0


def runs(data: Path) -> list[str]:
    with sqlite3.connect(data / "console.sqlite3", timeout=10) as connection:
        query = "SELECT status FROM console_run WHERE door = 'worker'"
        return [status for (status,) in connection.execute(query).fetchall()]
