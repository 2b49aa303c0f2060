"""Hearing everything a run prints: its own streams, print, logging and warnings."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from django.core.management.base import OutputWrapper

from .reporting import Reporter


class Tee:
    """A text stream that passes everything on and tells the reporter what went by."""

    def __init__(self, stream: Any, name: str, reporter: Reporter) -> None:
        self._stream = stream
        self._name = name
        self._reporter = reporter

    def write(self, text: str) -> int:
        """Pass the text on; a closed terminal does not keep it from being reported."""
        try:
            self._stream.write(text)
        finally:
            self._reporter.output(self._name, text)
        return len(text)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)


class ReportingHandler(logging.Handler):
    """Reports log records, traceback included."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        # What goes wrong while reporting is logged under our own name: not a thing to report again.
        if record.name == "data_migrations" and record.exc_info:
            return
        try:
            self.reporter.output(f"logging:{record.levelname}", self.format(record) + "\n")
        except Exception:
            self.handleError(record)


@contextmanager
def captured(reporter: Reporter, *wrappers: OutputWrapper) -> Iterator[None]:
    """Report what is printed within the block through the given wrappers, ``print``, logging and warnings.

    It still reaches where it went before. Within the block the process's streams are replaced, so
    what another thread prints meanwhile is reported too.
    """
    handler = ReportingHandler(reporter)
    with ExitStack() as stack:
        for wrapper, name in zip(wrappers, ("stdout", "stderr"), strict=False):
            stack.enter_context(_teed(wrapper, name, reporter))
        stack.enter_context(redirect_stdout(_tee(sys.stdout, "stdout", reporter)))
        stack.enter_context(redirect_stderr(_tee(sys.stderr, "stderr", reporter)))
        stack.enter_context(_warnings_reported(reporter))
        stack.enter_context(_info_let_through())
        for logger in _outermost_loggers():
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
        yield


def _tee(stream: TextIO, name: str, reporter: Reporter) -> Any:
    return Tee(stream, name, reporter)


@contextmanager
def _teed(wrapper: OutputWrapper, name: str, reporter: Reporter) -> Iterator[None]:
    # Django's wrapper has no public way to look behind it.
    inner: Any = vars(wrapper)["_out"]
    vars(wrapper)["_out"] = Tee(inner, name, reporter)
    try:
        yield
    finally:
        vars(wrapper)["_out"] = inner


@contextmanager
def _info_let_through() -> Iterator[None]:
    """Where nobody set logging up, Python drops what is below WARNING; a run's log wants INFO too."""
    root = logging.getLogger()
    level = root.level
    if not root.handlers and level > logging.INFO:
        root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)


def _outermost_loggers() -> list[logging.Logger]:
    """The root, and each logger that does not pass its records up to it (Django's own does not)."""
    loggers = [logging.getLogger()]
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger) and not logger.propagate:
            loggers.append(logger)
    return loggers


@contextmanager
def _warnings_reported(reporter: Reporter) -> Iterator[None]:
    show = warnings.showwarning

    def report(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        reporter.output("warnings", f"{category.__name__}: {message} ({filename}:{lineno})\n")

    warnings.showwarning = report
    try:
        yield
    finally:
        warnings.showwarning = show
