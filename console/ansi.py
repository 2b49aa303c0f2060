"""Terminal text for pages without a script: the same as ansi.js, which see."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
CLASSES = {1: "ansi-bold", 2: "ansi-faint", 3: "ansi-italic", 4: "ansi-underline", 9: "ansi-strike"} | {
    base + index: f"ansi-{name}" for base in (30, 90) for index, name in enumerate(_COLOURS)
}
_OFF = {22: ("ansi-bold", "ansi-faint"), 23: ("ansi-italic",), 24: ("ansi-underline",), 29: ("ansi-strike",)}
_ESCAPE = re.compile("\x1b(?:\\[([0-9;:]*)[ -/]*([@-~])|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\^_])")
_UNSEEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# What nobody can mean; Python would make huge numbers of it.
_MOST_DIGITS = 4


def html(line: str) -> SafeString:
    """The line as markup: its text escaped, its colours as classes of the list."""
    return format_html_join("", "{}", ((_piece(text, classes),) for text, classes in pieces(line)))


def pieces(line: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Pieces of one look each: text and classes."""
    active: dict[str, None] = {}
    start = 0
    for match in _ESCAPE.finditer(line):
        if match.start() > start:
            yield visible(line[start : match.start()]), tuple(active)
        start = match.end()
        if match[2] == "m":
            _apply(match[1], active)
    if start < len(line):
        yield visible(line[start:]), tuple(active)


def visible(text: str) -> str:
    """The text with characters that are not seen as ones that are."""
    return _UNSEEN.sub(_seen, text)


def _seen(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 32:
        return chr(0x2400 + code)
    return "\u2421" if code == 127 else f"\u27e8U+{code:04X}\u27e9"


def _apply(codes: str, active: dict[str, None]) -> None:
    numbers = [int(code) if code.isdecimal() and len(code) <= _MOST_DIGITS else 0 for code in codes.split(";")]
    index = 0
    while index < len(numbers):
        code = numbers[index]
        if code == 0:
            active.clear()
        elif code in (38, 48):
            index += 2 if numbers[index + 1 : index + 2] == [5] else 4
        elif code == 39 or code in CLASSES:
            if code >= 30:
                for name in [name for name in active if name[5:] in _COLOURS]:
                    del active[name]
            if code in CLASSES:
                active[CLASSES[code]] = None
        else:
            for name in _OFF.get(code, ()):
                active.pop(name, None)
        index += 1


def _piece(text: str, classes: tuple[str, ...]) -> SafeString:
    if not classes:
        return format_html("{}", text)
    return format_html('<span class="{}">{}</span>', " ".join(classes), text)
