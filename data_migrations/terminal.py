"""The reporter of a shell: sentences, and a progress bar where there is a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import Style
from tqdm import tqdm

from .exceptions import MigrationFailed
from .rate import Rate
from .reporting import GroupEnd, Holder, Outcome, OutcomeKind, Reporter, RunInfo, group_words
from .words import counted

LINE_SECONDS = 30.0
"""Seconds between two lines of progress in a log."""
SOON_SECONDS = 5.0
"""Seconds after which the next tenth is worth a line before that, so that a quick run has none."""


class TerminalReporter(Reporter):
    """Tells a person at a shell what happens. What the command itself prints is not repeated."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, style: Style, verbosity: int = 1) -> None:
        # The wrappers' own streams: what we say is reported by ourselves, not captured a second time.
        self.stdout = OutputWrapper(vars(stdout)["_out"])
        self.stderr = OutputWrapper(vars(stderr)["_out"])
        self.style = style
        self.verbosity = verbosity
        self.name = ""
        self.bar: tqdm[Any] | None = None
        self.rate: Rate | None = None
        self._line_at = 0.0
        self._tenth = 0

    def started(self, run: RunInfo) -> None:
        self.name = run.name

    def waiting(self, holder: Holder) -> None:
        self._say(self.style.NOTICE(f"{self.name} is being run by {holder}. Waiting for it."))

    def message(self, level: str, text: str) -> None:
        styles = {"success": self.style.SUCCESS, "warning": self.style.WARNING, "error": self.style.ERROR}
        style = styles.get(level, str)
        if level in ("warning", "error"):
            self._close_bar()
            self.stderr.write(style(text))
        else:
            self._say(style(text))

    def group_began(self, title: str) -> None:
        self._say(self.style.MIGRATE_HEADING(title))

    def group_ended(self, title: str, end: GroupEnd, seconds: float) -> None:
        words = group_words(title, end, seconds)
        self._say(self.style.ERROR(words) if end == GroupEnd.FAILED else words)

    def progress(self, done: int, total: int | None) -> None:
        if self.verbosity < 1:
            return
        if not self.stderr.isatty():
            self._progress_line(done, total)
            return
        if self.bar is None:
            self.bar = tqdm(
                initial=done,
                total=total,
                file=vars(self.stderr)["_out"],
                unit="row",
                leave=False,
                dynamic_ncols=True,
            )
        if total is not None and self.bar.total != total:
            self.bar.total = total
        self.bar.update(done - self.bar.n)

    def pace_changed(self) -> None:
        if self.rate is not None:
            self.rate = Rate()

    def _progress_line(self, done: int, total: int | None) -> None:
        """Write where the run is, if the last line is old enough."""
        now = time.monotonic()
        tenth = done * 10 // total if total else 0
        if self.rate is None:
            self.rate, self._line_at, self._tenth = Rate(), now, tenth
        self.rate.update(done, now)
        since = now - self._line_at
        if since >= LINE_SECONDS or (tenth > self._tenth and since >= SOON_SECONDS):
            self._say(self.rate.words(total))
            self._line_at, self._tenth = now, tenth

    def finished(self, outcome: Outcome) -> None:
        self._close_bar()
        if outcome.result:
            self._say(f"Result: {outcome.result}")
        for sentence in summary(self.name, outcome):
            style = self.style.SUCCESS if outcome.kind == OutcomeKind.APPLIED else str
            self._say(style(sentence))

    def failed(self, error: BaseException, traceback_text: str) -> None:
        self._close_bar()
        # The message itself is printed by Django, last, where one looks first.
        if isinstance(error, MigrationFailed) and traceback_text:
            self.stderr.write(traceback_text)

    def _say(self, text: str) -> None:
        self._close_bar()
        if self.verbosity >= 1:
            self.stdout.write(text)

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def summary(name: str, outcome: Outcome) -> list[str]:
    """How the run ended, in sentences for a person."""
    if outcome.kind == OutcomeKind.ALREADY_APPLIED:
        return [f"{name} is already applied. Nothing was run."]
    if outcome.kind == OutcomeKind.NOT_APPLIED:
        return [f"{name} is not applied, so there is nothing to reverse."]
    if outcome.kind == OutcomeKind.REVERSED:
        return [f"{name} is reversed in {outcome.duration:.1f} s and pending again."]
    if outcome.kind == OutcomeKind.APPLIED:
        rows = "" if outcome.affected_rows is None else f", {_affected(outcome.affected_rows, outcome.rows_before)}"
        return [f"{name} is applied in {outcome.duration:.1f} s{rows}."]
    sentences = [
        f"  {change.table}: {change.inserted:,} inserted, {change.updated:,} updated, {change.deleted:,} deleted"
        for change in outcome.changes
    ]
    head = "It would have changed these rows:" if sentences else "It would have changed no rows."
    tail = [f"E-mails held back: {outcome.emails_held:,}."] if outcome.emails_held else []
    aside = f"; {outcome.set_aside} would be set aside" if outcome.set_aside.count else ""
    return [head, *sentences, *tail, f"Dry run of {name} done in {outcome.duration:.1f} s{aside}. Nothing was kept."]


def _affected(rows: int, before: int) -> str:
    """How many rows a run did, and how many there are in all where it went on after another one."""
    own = f"{counted(rows - before, 'row')} affected"
    return f"{own} ({rows:,} with those of earlier runs)" if before else own
