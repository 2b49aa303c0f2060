"""Threads of the console's own, told apart from those of the migrations they watch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connections

Answer = TypeVar("Answer")


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


def within(seconds: float, action: Callable[[], Answer]) -> Answer:
    """What the action gives, done in a thread of its own, which is left alone when it takes longer.

    Raises:
        TimeoutError: it did not end in time.
        Exception: what the action raised.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def act() -> None:
        try:
            answers.append(action())
        except Exception as error:
            errors.append(error)

    thread = ConsoleThread("console question", act)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answers[0]
