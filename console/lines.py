"""From what is written, in whatever pieces, to whole lines that any database takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .masking import Masker

# Lines that are headings: a group begins, ends, ends with an error; a new attempt of the run begins.
GROUP, GROUP_END, GROUP_FAILED, ATTEMPT = "g", "h", "x", "a"
LEVELS = {
    "o": "stdout",
    "e": "stderr",
    "d": "debug",
    "i": "info",
    "w": "warning",
    "r": "error",
    "s": "system",
    GROUP: "group",
    GROUP_END: "group end",
    GROUP_FAILED: "group failed",
    ATTEMPT: "attempt",
}
_STREAMS = {
    "stdout": "o",
    "stderr": "e",
    "warnings": "w",
    "logging:DEBUG": "d",
    "logging:INFO": "i",
    "logging:WARNING": "w",
    "logging:ERROR": "r",
    "logging:CRITICAL": "r",
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def level_of(stream: str) -> str:
    """The letter (of ``LEVELS``) for a reporter's stream; a logging level of somebody's own counts as info."""
    return _STREAMS.get(stream) or ("i" if stream.startswith("logging") else "o")


def clean(text: str) -> str:
    """The text without NUL, which PostgreSQL refuses, and without lone surrogates, which nothing can encode."""
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _SURROGATES.sub("\ufffd", text)
    return text


def cut(text: str, limit: int, dropped: int = 0) -> str:
    """The text, cut to ``limit`` bytes of UTF-8 with a mark; ``dropped`` bytes are missing already."""
    if len(text) * 4 <= limit and not dropped:
        return text
    encoded = text.encode()
    missing = len(encoded) - limit + dropped
    if missing <= 0:
        return text
    kept = encoded[:limit].decode(errors="ignore")
    return f"{kept} … [cut: {missing} bytes more]"


@dataclass
class _Partial:
    text: str = ""
    dropped: int = 0


@dataclass
class Splitter:
    """Collects what is written to each stream and gives whole lines, masked and cut.

    A carriage return begins the line anew, as on a terminal: of a progress bar the last state stays.
    """

    mask: Masker
    limit: int
    # Room beyond the limit, so that a secret across the cut is still seen whole.
    slack: int = 4096
    _partials: dict[str, _Partial] = field(default_factory=dict)

    def feed(self, stream: str, text: str) -> Iterator[tuple[str, str]]:
        """Level and text of each line that this piece completes."""
        partial = self._partials.setdefault(stream, _Partial())
        *whole, rest = clean(text).split("\n")
        for piece in whole:
            self._add(partial, piece)
            yield self._take(stream, partial)
        self._add(partial, rest)

    def flush(self) -> Iterator[tuple[str, str]]:
        """Level and text of the lines that still wait for their end."""
        for stream, partial in self._partials.items():
            if partial.text or partial.dropped:
                yield self._take(stream, partial)

    def waiting(self) -> list[tuple[str, str]]:
        """What ``flush`` would give, without taking it."""
        return [
            (level_of(stream), cut(self.mask.beginning(partial.text.rstrip("\r")), self.limit, partial.dropped))
            for stream, partial in self._partials.items()
            if partial.text or partial.dropped
        ]

    def _add(self, partial: _Partial, piece: str) -> None:
        if not piece:
            return
        if "\r" in piece:
            body = partial.text + piece
            # A return at the very end may be half of \r\n, or of the next state of a progress bar.
            end = body.endswith("\r")
            last = next((part for part in reversed(body.split("\r")) if part), "")
            partial.text, partial.dropped = last + ("\r" if end else ""), 0
        elif partial.text.endswith("\r"):
            partial.text, partial.dropped = piece, 0
        else:
            partial.text += piece
        room = self.limit + self.slack
        if len(partial.text) > room:
            partial.dropped += len(partial.text[room:].encode())
            partial.text = partial.text[:room]

    def _finished(self, partial: _Partial) -> str:
        return cut(self.mask(partial.text.rstrip("\r")), self.limit, partial.dropped)

    def _take(self, stream: str, partial: _Partial) -> tuple[str, str]:
        line = self._finished(partial)
        partial.text, partial.dropped = "", 0
        return level_of(stream), line
