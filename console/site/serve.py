"""Start the runnable site: databases, demo data, web server and worker; stop them together.

``python -m console.site.serve``, which is what ``make run`` does. From the environment: ``HOST``, ``PORT``,
``DEMO_CUSTOMERS``, ``DEMO_ORDERS``, and what settings.py reads.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from .children import Child

LOOPBACK = ("127.0.0.1", "localhost", "::1")
START_SECONDS = 60
STOP_SECONDS = 10


class CannotStart(Exception):
    """The site cannot be started; the message says why and what to do."""


def main() -> int:
    """Run until a signal says to stop. Returns the exit status: 0 when asked to stop, 1 when it could not go on."""
    stop = threading.Event()
    hurry = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)

    children: list[Child] = []
    try:
        host, port = address()
        check_port(host, port)
        allow(host)
        prepare(stop)
        if stop.is_set():
            return 0
        web = Child("web server", web_command(host, port))
        children.append(web)
        worker = Child("worker", [sys.executable, "-m", "django", "qcluster"])
        children.append(worker)
        wait_for_web(web, host, port, stop)
        if not stop.is_set():
            announce(host, port)
        return watch(web, worker, stop)
    except CannotStart as error:
        say(str(error))
        return 1
    finally:
        end(children, hurry)


def address() -> tuple[str, int]:
    """Host and port from the environment. Raises CannotStart for a port that is no port number."""
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CannotStart(f"PORT={port} is not a port number; choose one from 1 to 65535.")
    return host, int(port)


def check_port(host: str, port: int) -> None:
    """Raise CannotStart where somebody else listens already, before anything is started."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen(1)
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. Nothing was started. "
            f"Stop what uses that port, or choose another: make run PORT={port + 1 if port < 65535 else 8000}"
        ) from error


def allow(host: str) -> None:
    """Let the site answer to the host's name, and warn where others can reach it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.site.settings")
    if host in LOOPBACK:
        return
    say(f"Listening on {host}: whoever reaches this machine can log in with the demo password.")
    if "ALLOWED_HOSTS" not in os.environ:
        os.environ["ALLOWED_HOSTS"] = f"127.0.0.1,localhost,[::1],{host}"


def prepare(stop: threading.Event) -> None:
    """Migrate every database and load the demo data, unless they are there already."""
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    # The console's tables first: a data migration inside the shop's migrations is recorded there.
    aliases = sorted(connections, key=lambda alias: alias == "default")
    steps = [("migrate", {"database": alias, "interactive": False, "verbosity": 0}) for alias in aliases]
    steps.append(
        (
            "load_demo",
            {
                "customers": int(os.environ.get("DEMO_CUSTOMERS") or 50_000),
                "orders": int(os.environ.get("DEMO_ORDERS") or 200_000),
            },
        )
    )
    for command, options in steps:
        if stop.is_set():
            return
        call_command(command, **options)
    connections.close_all()


def web_command(host: str, port: int) -> list[str]:
    """The command line of the web server."""
    options = ["--log-level", "warning", "--no-access-log", "--lifespan", "off", "--timeout-graceful-shutdown", "3"]
    return [
        sys.executable, "-m", "uvicorn", "console.site.asgi:application", "--host", host, "--port", str(port), *options
    ]  # fmt: skip


def wait_for_web(web: Child, host: str, port: int, stop: threading.Event) -> None:
    """Return when the web server listens. Raises CannotStart when it ends or does not come up."""
    deadline = time.monotonic() + START_SECONDS
    while not stop.is_set():
        if web.status() is not None:
            raise CannotStart(f"The web server ended at once with status {web.status()}; its own words stand above.")
        try:
            socket.create_connection((reachable(host), port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise CannotStart(f"The web server does not answer after {START_SECONDS} seconds.") from None
        stop.wait(0.1)


def reachable(host: str) -> str:
    """An address to reach a server at that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def announce(host: str, port: int) -> None:
    """Print where the site is and how to log in."""
    shown = reachable(host)
    say(
        f"\n  http://{f'[{shown}]' if ':' in shown else shown}:{port}/\n\n"
        "  Log in as ana (may do everything), ben (may approve what others ask for)\n"
        "  or viewer (may only look); the password is demo. Then open Data migrations.\n"
        f"  Ctrl-C stops the web server and the worker; from another shell: kill {os.getpid()}\n"
    )


def watch(web: Child, worker: Child, stop: threading.Event) -> int:
    """Wait for the signal to stop; say when a child ends before that. Without a worker the pages stay up."""
    missed = False
    while not stop.wait(0.5):
        if web.status() is not None:
            say(f"The web server ended with status {web.status()}. Stopping.")
            return 1
        if not missed and worker.status() is not None:
            missed = True
            worker.kill()
            say(
                f"The worker ended with status {worker.status()}. The pages stay up, and runs wait in the queue until "
                "a worker is there: .venv/bin/python manage.py qcluster"
            )
    return 0


def end(children: list[Child], hurry: threading.Event) -> None:
    """End all children and whatever they started; a second signal ends them at once."""
    for child in children:
        child.ask_to_end()
    started, told = time.monotonic(), False
    while any(child.status() is None for child in children):
        waited = time.monotonic() - started
        if hurry.is_set() or waited > STOP_SECONDS:
            break
        if not told and waited > 2:
            told = True
            say("Waiting for the worker to come to a stop; Ctrl-C again ends it at once.")
        time.sleep(0.05)
    for child in children:
        child.kill()


def say(text: str) -> None:
    """Print at once, also into a pipe; a terminal that is gone is no reason to fail."""
    try:
        print(text, flush=True)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
