"""A child process and everything that it starts in turn."""

from __future__ import annotations

import os
import signal
import subprocess


class Child:
    """A process in a session of its own.

    Ctrl-C in a terminal goes to the whole foreground group. Django-Q's main process hangs when its workers are
    signalled along with it, so it has to be out of that group; and a group of its own can be ended as a whole.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(command, start_new_session=True)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's id too."""
        return self._process.pid

    def status(self) -> int | None:
        """The exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process itself; it is to end its own children."""
        if self.status() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and all that is left of its group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
