"""Threads of the console's own, told apart from those of the migrations they watch."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connections


class ConsoleThread(threading.Thread):
    """A background thread of ours. What it logs or prints is never taken for a migration's output."""

    def __init__(self, name: str, action: Callable[[], None] | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self.action = action

    def run(self) -> None:
        """Do the action; then the connections that the thread opened are closed."""
        try:
            if self.action is not None:
                self.action()
        finally:
            connections.close_all()


def is_ours() -> bool:
    """Whether the calling thread is one of ours."""
    return isinstance(threading.current_thread(), ConsoleThread)
