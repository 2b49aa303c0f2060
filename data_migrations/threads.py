"""Letting the threads that a piece of code starts inherit context variables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_lock = threading.Lock()
_active: list[tuple[ContextVar[Any], ...]] = []
_original: Callable[[threading.Thread], None] = threading.Thread.start
_is_installed = False


@contextmanager
def inherited(*variables: ContextVar[Any]) -> Iterator[None]:
    """During the block a thread takes over the values that the context starting it has for ``variables``.

    Python has no hook for the start of a thread, so ``Thread.start`` is replaced for the time; a context in which the
    variables are not set starts its threads as ever. A thread with a true attribute ``outside_dry_runs`` inherits
    nothing. Threads made below ``threading``, by ``_thread`` or by C code, are not seen.
    """
    global _original, _is_installed
    with _lock:
        if not _is_installed:
            _original = threading.Thread.start
            _is_installed = True
            setattr(threading.Thread, "start", _start)  # noqa: B010
        _active.append(variables)
    try:
        yield
    finally:
        with _lock:
            _active.remove(variables)
            # Whoever has wrapped it meanwhile goes on calling ours, which then does nothing of its own.
            if not _active and threading.Thread.start is _start:
                _is_installed = False
                setattr(threading.Thread, "start", _original)  # noqa: B010


def _start(thread: threading.Thread) -> None:
    values = {
        variable: value for group in [*_active] for variable in group if (value := variable.get(None)) is not None
    }
    if values and not getattr(thread, "outside_dry_runs", False):
        run = thread.run

        def run_with_values() -> None:
            for variable, value in values.items():
                variable.set(value)
            run()

        thread.run = run_with_values  # type: ignore[method-assign]
    _original(thread)
