"""The real site in processes of its own, and the Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = [
    # What moves on a page would be drawn sixty times a second by the processor.
    "--force-prefers-reduced-motion",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def chromium() -> str | None:
    """The path of a Chromium: ``CHROMIUM``, or the system's, first the one without windows, which is lighter."""
    given = os.environ.get("CHROMIUM")
    names = (given, "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Site:
    """A running site."""

    url: str
    data: Path

    def environment(self) -> dict[str, str]:
        """What a command needs to work on the same data."""
        return _environment(self.data)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its management commands."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip


def _environment(data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DATABASE_URL"))}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
        "PYTHONPATH": str(ROOT),
        "DATA_DIR": str(data),
        "DEMO_CUSTOMERS": "200",
        "DEMO_ORDERS": "1000",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(data: Path, *, worker: bool = True, **environment: str) -> Iterator[Site]:
    """The site as ``make run`` starts it; without a worker, the web server alone on fresh tables."""
    port = _free_port()
    env = {**_environment(data), "PORT": str(port), **environment}
    command = [sys.executable, "-m", "console.site.serve"]
    if not worker:
        for arguments in (["migrate", "--database", "console"], ["migrate"], ["load_demo", "--customers", "5"]):
            subprocess.run(
                [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, check=True, capture_output=True
            )
        command = [sys.executable, "-m", "uvicorn", "console.site.asgi:application", "--port", str(port)]
        command += ["--lifespan", "off", "--log-level", "warning"]
    log = (data / "site.log").open("wb")
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        site = Site(f"http://127.0.0.1:{port}", data)
        _wait(site, process)
        yield site
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _wait(site: Site, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{site.url}/admin/login/", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("The site did not start:\n" + (site.data / "site.log").read_text(errors="replace")[-3000:])
