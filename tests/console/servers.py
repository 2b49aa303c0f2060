"""A web server in a process of its own, on the databases of the tests."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import processes


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One that runs."""

    port: int
    process: subprocess.Popen[str]
    log: Path

    def stop(self, seconds: float = 20) -> int:
        """Ask it to stop, as a deploy does; its exit status. Raises TimeoutExpired when it hangs."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


UVICORN = (
    "-m", "uvicorn", "tests.console.hasty_asgi:application", "--lifespan", "off", "--log-level", "warning",
    "--port", "{port}",
)  # fmt: skip
WSGI = ("-m", "tests.console.wsgi_server", "--port", "{port}")


@contextmanager
def serving(
    folder: Path, command: tuple[str, ...] = UVICORN, *, port: int = 0, env: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server, once it listens; ended at the end, whatever it does. Its command says where ``{port}`` goes."""
    port = port or free_port()
    path = folder / f"server-{port}.log"
    with path.open("a") as log:
        words = (word.format(port=port) for word in command)
        process = processes.python(*words, env=env, stdout=log, stderr=log)
        server = Server(port, process, path)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"The server did not start:\n{path.read_text()[-3000:]}") from None
                    time.sleep(0.1)
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
