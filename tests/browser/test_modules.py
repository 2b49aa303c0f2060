"""The logic of the scripts, asked for in the browser that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture
def page(site: Site, visit: Callable[..., Any]) -> Any:
    return visit(site)


def take(page: Any, start: int, *answers: list[list[Any]]) -> list[Any]:
    """What a sequence that wants ``start`` takes of each answer, and whether it sees a gap."""
    return page.evaluate(
        """async ([start, answers]) => {
            const { Sequence } = await import("/static/console/sequence.js");
            const sequence = new Sequence(start);
            return answers.map((lines) => {
                const { fresh, gap } = sequence.take(lines);
                return [fresh.map((line) => line[0]), gap, sequence.next];
            });
        }""",
        [start, list(answers)],
    )  # fmt: skip


def lines(*numbers: int) -> list[list[Any]]:
    return [[number, "2026-01-01T00:00:00Z", "o", "x"] for number in numbers]


def test_only_the_next_line_is_taken(page: Any) -> None:
    assert take(page, 1, lines(1, 2, 3)) == [[[1, 2, 3], False, 4]]
    assert take(page, 3, lines(1, 2, 3, 4)) == [[[3, 4], False, 5]]
    assert take(page, 1, lines(1, 2), lines(1, 2), lines(2, 3)) == [
        [[1, 2], False, 3], [[], False, 3], [[3], False, 4]
    ]  # fmt: skip
    assert take(page, 1, lines(2, 3), lines(1), lines(2)) == [[[], True, 1], [[1], False, 2], [[2], False, 3]]
    assert take(page, 1, lines(1, 3)) == [[[1], True, 2]]


def test_a_line_that_stands_for_many_is_taken_once_and_closes_the_gap(page: Any) -> None:
    many = [5, "2026-01-01T00:00:00Z", "s", "… lines 5 to 90 are not kept …", 90]
    assert take(page, 4, [*lines(4), many, *lines(91)]) == [[[4, 5, 91], False, 92]]
    # Lines that were cut away after the page had them.
    assert take(page, 50, [many, *lines(91)]) == [[[5, 91], False, 92]]
    assert take(page, 91, [many, *lines(91)]) == [[[91], False, 92]]


def test_the_pace_slows_down_and_speeds_up(page: Any) -> None:
    delays = page.evaluate(
        """async () => {
            const { Pace } = await import("/static/console/sequence.js");
            const pace = new Pace();
            return [true, false, false, false, false, false, false, true].map((news) => pace.after(news));
        }"""
    )
    assert delays == [250, 500, 1000, 2000, 4000, 5000, 5000, 250]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
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
    ],
)
def test_only_colours_of_the_list_become_classes(page: Any, text: str, expected: list[Any]) -> None:
    found = page.evaluate(
        """async (text) => {
            const { pieces } = await import("/static/console/ansi.js");
            return pieces(text).map((piece) => [piece.text, piece.classes]);
        }""",
        text,
    )
    assert found == expected
