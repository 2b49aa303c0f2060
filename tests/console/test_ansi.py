"""Colours of terminal text without a script; tests/browser/test_modules.py asks the script for the same."""

from __future__ import annotations

import pytest

from console import ansi

CASES = [
    ("plain", [["plain", []]]),
    ("\x1b[31mred\x1b[0m", [["red", ["ansi-red"]]]),
    (
        "a\x1b[1;92mb\x1b[22mc\x1b[39md",
        [["a", []], ["b", ["ansi-bold", "ansi-green"]], ["c", ["ansi-green"]], ["d", []]],
    ),
    ("\x1b[31m\x1b[34mblue", [["blue", ["ansi-blue"]]]),
    ("\x1b[38;5;196mx\x1b[38;2;1;2;3my", [["x", []], ["y", []]]),
    ("\x1b[2J\x1b[10;10Hmoved\x1b]8;;https://x\x07link\x1b]8;;\x07", [["moved", []], ["link", []]]),
    ("\x1b[31", [["\u241b[31", []]]),
    ("\x1b[mx", [["x", []]]),
    ("\x1b[31;constructor;__proto__mx", [["onstructor;__proto__mx", []]]),
    ("a\rb\x00c\u202ed\u2028e", [["a\u240db\u2400c\u27e8U+202E\u27e9d\u27e8U+2028\u27e9e", []]]),
    ("\u05e9\u05dc\u05d5\u05dd \u200f 👩‍👧\ttab", [["\u05e9\u05dc\u05d5\u05dd \u200f 👩‍👧\ttab", []]]),
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_only_colours_of_the_list_become_classes(line: str, expected: list[list[object]]) -> None:
    assert [[text, list(classes)] for text, classes in ansi.pieces(line)] == expected


def test_every_class_has_its_style() -> None:
    from tests.browser.site import ROOT

    style = (ROOT / "console/static/console/console.css").read_text()
    assert all(f".{name} {{" in style for name in ansi.CLASSES.values())
