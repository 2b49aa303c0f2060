"""The stage for measurements of the log's stream: a scratch site with its people, its servers, runs and viewers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.browser.site import ARGUMENTS, ROOT, chromium
from tests.console.servers import Server, serving
from tests.viewers import Viewer

ASGI = (
    "-m", "uvicorn", "console.site.asgi:application", "--lifespan", "off", "--log-level", "warning", "--port", "{port}",
)  # fmt: skip
# One process, as there.
WSGI = (
    "-m", "gunicorn", "console.site.wsgi", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "30",
    "--log-level", "warning", "--bind", "127.0.0.1:{port}",
)  # fmt: skip
# Each viewer is somebody else, as far as there are so many.
PEOPLE = 101


class Stage:
    """The scratch site, and what is done with it."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.env = {"DJANGO_SETTINGS_MODULE": "benchmarks.stream_settings", "DATA_DIR": str(folder)}
        self.cookie = ""
        self.cookies: Iterator[str] = iter(())

    def prepare(self) -> None:
        """Tables, people who may read logs, and the session of each."""
        os.environ.update(self.env)
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connections

        for alias in sorted(settings.DATABASES, key=lambda alias: alias == "default"):
            call_command("migrate", database=alias, interactive=False, verbosity=0)
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.auth.models import Permission, User
        from django.contrib.sessions.backends.db import SessionStore

        keys = []
        for number in range(PEOPLE):
            user = User.objects.create_user(f"reader-{number}", is_staff=True)
            user.user_permissions.set(Permission.objects.filter(codename__in=["view_run", "view_log"]))
            session = SessionStore()
            session[SESSION_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
            session.save()
            keys.append(str(session.session_key))
        self.cookie, *others = keys
        self.cookies = cycle(others)
        connections.close_all()

    def printing(self, record: bool = True, **options: Any) -> subprocess.Popen[bytes]:
        """Start a run that prints; what it writes to its terminal is thrown away."""
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return subprocess.Popen(
            [sys.executable, "manage.py", "print_lines", "--force", *arguments],
            cwd=ROOT, env={**os.environ, **self.env, "BENCHMARK_RECORD": str(int(record))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    async def run(self, **options: Any) -> tuple[int, subprocess.Popen[bytes]]:
        """Start a run that is recorded, and wait until it has its page; its number and its process."""
        before = await asyncio.to_thread(self._newest)
        process = self.printing(**options)
        deadline = time.monotonic() + 60
        while (found := await asyncio.to_thread(self._newest)) == before:
            if process.poll() not in (None, 0) or time.monotonic() > deadline:
                raise RuntimeError(f"The run did not start: {process.stderr.read().decode() if process.stderr else ''}")
            await asyncio.sleep(0.02)
        return found, process

    def _newest(self) -> int:
        from django.db import connections

        from console.models import Run

        try:
            return Run.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        finally:
            connections.close_all()

    def viewer(self, port: int, run: int, **options: Any) -> Viewer:
        """One more who watches that run."""
        return Viewer(port, next(self.cookies), f"/admin/console/run/{run}/log/", **options)

    def server(self, command: tuple[str, ...] = ASGI) -> Any:
        """A web server, as a context manager."""
        return serving(self.folder, command, env=self.env)


async def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a run. Raises RuntimeError when it failed."""
    _, errors = await asyncio.to_thread(process.communicate)
    if process.returncode:
        raise RuntimeError(f"The run ended with status {process.returncode}: {errors.decode()[-2000:]}")


@asynccontextmanager
async def browser(stage: Stage, server: Server, streams: bool) -> AsyncIterator[Any]:
    """A page in a Chromium, logged in; None where there is no Chromium."""
    path = chromium()
    if path is None:
        yield None
        return
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        chrome = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = await chrome.new_context()
        await context.add_cookies(
            [{"name": "sessionid", "value": stage.cookie, "url": f"http://127.0.0.1:{server.port}"}]
        )
        page = await context.new_page()
        if not streams:
            await page.route("**/log/stream/*", lambda route: route.fulfill(status=204))
        yield page
        await chrome.close()
