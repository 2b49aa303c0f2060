"""Threads of the console's own, told apart from those of the migrations they watch."""

from __future__ import annotations

import threading


class ConsoleThread(threading.Thread):
    """A background thread of ours. What it logs or prints is never taken for a migration's output."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)


def is_ours() -> bool:
    """Whether the calling thread is one of ours."""
    return isinstance(threading.current_thread(), ConsoleThread)
