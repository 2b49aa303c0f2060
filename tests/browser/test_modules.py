"""The logic of the scripts, asked for in the browser that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.site import Site
from tests.console.test_ansi import CASES

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


def test_a_server_that_is_slow_to_answer_is_asked_more_rarely(page: Any) -> None:
    delays = page.evaluate(
        """async () => {
            const { Pace } = await import("/static/console/sequence.js");
            const pace = new Pace();
            return [[true, 100], [true, 200], [true, 9000], [false, 10], [true, 10], [false, 900], [false, 10]].map(
                ([news, took]) => pace.after(news, took));
        }"""
    )
    assert delays == [250, 400, 5000, 5000, 250, 1800, 3600]


def test_the_pace_slows_down_and_speeds_up(page: Any) -> None:
    delays = page.evaluate(
        """async () => {
            const { Pace } = await import("/static/console/sequence.js");
            const pace = new Pace();
            return [true, false, false, false, false, false, false, true].map((news) => pace.after(news));
        }"""
    )
    assert delays == [250, 500, 1000, 2000, 4000, 5000, 5000, 250]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_only_colours_of_the_list_become_classes(page: Any, text: str, expected: list[Any]) -> None:
    found = page.evaluate(
        """async (text) => {
            const { pieces } = await import("/static/console/ansi.js");
            return pieces(text).map((piece) => [piece.text, piece.classes]);
        }""",
        text,
    )
    assert found == expected


def test_lines_are_named_by_the_address(page: Any) -> None:
    found = page.evaluate(
        """async (addresses) => {
            const { named, hashOf } = await import("/static/console/address.js");
            return addresses.map(([hash, search]) => {
                const range = named({ hash, search });
                return range && [range.first, range.last, hashOf(range)];
            });
        }""",
        [
            ["#L120", ""], ["#L120-L180", ""], ["#L180-120", "?around=5"], ["", "?around=5"],
            ["", "?level=x&around=5-9"],
            ["#L0", ""], ["#Lx", ""], ["#L1-L2-L3", ""], ["#L" + "9" * 30, ""], ["", ""], ["#L1<script>", ""],
        ],
    )  # fmt: skip
    assert found[:5] == [
        [120, 120, "#L120"], [120, 180, "#L120-L180"], [120, 180, "#L120-L180"], [5, 5, "#L5"], [5, 9, "#L5-L9"],
    ]  # fmt: skip
    assert found[5:] == [None] * 6


def folds(page: Any, script: str) -> Any:
    """What a script gives of an outline with a failed group 10–20 that has 12–15 in it, and an open one from 30."""
    return page.evaluate(
        """async (script) => {
            const { Folds } = await import("/static/console/folds.js");
            const folds = new Folds();
            const groups = [
                [10, 20, "One", 0, true, false], [12, 15, "In", 1, true, false], [30, null, "Two", 0, false, false],
            ];
            folds.set({ groups, through: 40 });
            return eval(script);
        }""",
        script,
    )


def test_folded_groups_hide_their_lines_and_no_heading(page: Any) -> None:
    hidden = "folds.toggle(12); folds.toggle(30); [9, 12, 13, 15, 16, 30, 31, 1e9].filter((line) => folds.hides(line))"
    assert folds(page, hidden) == [13, 15, 31, 1e9]
    assert folds(page, "folds.toggle(10); folds.toggle(12); folds.skip(1)") == "11-20"
    assert folds(page, "folds.foldAll(true); folds.skip(100, 1)") == "31-999999999999999"
    assert folds(page, "folds.foldAll(true); folds.reveal(13); [11, 13, 31].map((line) => folds.hides(line))") == [
        False, False, True,
    ]  # fmt: skip
    assert folds(page, "folds.reveal(10)") is False
    assert folds(page, "[5, 10, 11, 12, 13, 16, 21, 30, 31].map((line) => folds.depth(line))") == [
        0, 0, 1, 1, 2, 1, 0, 0, 1,
    ]  # fmt: skip


def test_the_rank_of_a_line_passes_over_what_is_hidden_and_back(page: Any) -> None:
    there_and_back = """folds.toggle(10); folds.toggle(30);
        [1, 10, 21, 25, 30].map((line) => [folds.rank(line), folds.unrank(folds.rank(line))])"""
    assert folds(page, there_and_back) == [[1, 1], [10, 10], [11, 21], [15, 25], [20, 30]]
    assert folds(page, "folds.toggle(30); [folds.rank(5000), folds.unrank(5000)]") == [30, 30]


def test_live_lines_begin_and_end_groups_and_folds_stay(page: Any) -> None:
    live = """folds.toggle(30);
        [[41, 0, "g", "Inner"], [42, 0, "o", "x"], [43, 0, "r", "no"], [44, 0, "x", ""], [45, 0, "h", ""]]
            .concat([[46, 0, "h", ""], [47, 0, "g", "New"]]).forEach((line) => folds.add(line));
        [folds.groups.slice(2).map((group) => [group.first, group.last, group.title, group.depth, group.failed]),
            folds.hides(44), folds.hides(46), folds.isStale]"""
    assert folds(page, live) == [
        [[30, 45, "Two", 0, True], [41, 44, "Inner", 1, True], [47, None, "New", 0, False]], True, False, False,
    ]  # fmt: skip
    # An outline that was made before is completed by what was heard meanwhile.
    late = """folds.add([41, 0, "h", ""]); folds.add([42, 0, "g", "New"]);
        folds.set({ groups: [[30, null, "Two", 0, false, false]], through: 40 });
        folds.groups.map((group) => [group.first, group.last])"""
    assert folds(page, late) == [[30, 41], [42, None]]
    assert folds(page, 'folds.add([60, 0, "o", "x"]); folds.isStale') is True
    assert folds(page, 'folds.add([41, 0, "a", "Attempt 2"]); folds.isStale') is True


def test_times_are_counted_from_the_start_of_the_run_as_soon_as_that_is_known(page: Any) -> None:
    found = page.evaluate(
        """async () => {
            const { Choices } = await import("/static/console/choices.js");
            const { Lines } = await import("/static/console/lines.js");
            document.body.innerHTML = `<div id="console-activity"></div>
                <section><input type="checkbox" name="log-follow"><input type="checkbox" name="log-wrap">
                <select name="log-time"><option>off</option><option>relative</option><option>absolute</option></select>
                <select name="level"><option>all</option></select>
                <div data-log-pane><div id="box"></div></div></section>`;
            const lines = new Lines(document.getElementById("box"));
            new Choices(document.querySelector("section"), { lines, follow() {}, refilter() {} });
            lines.append([[1, "2026-01-01T00:01:02.500Z", "o", "x"]]);
            const shown = () => document.querySelector("#box time").textContent;
            const before = shown();
            document.getElementById("console-activity").innerHTML =
                '<span id="console-started"><time datetime="2026-01-01T01:01:00+01:00"></time></span>';
            document.dispatchEvent(new CustomEvent("console:refreshed"));
            return [before, shown()];
        }"""
    )
    assert found == ["+0:00.000", "+0:02.500"]


def test_a_search_is_shown_across_colours_and_whatever_the_case(page: Any) -> None:
    found = page.evaluate(
        """async () => {
            const { Marks } = await import("/static/console/marks.js");
            const { draw } = await import("/static/console/drawing.js");
            const time = { start: new Date(0), mode: "relative" };
            const shown = (text, exact, ...lines) => {
                const marks = new Marks();
                marks.set(text, exact);
                lines.forEach((line) => marks.draw(draw([1, "1970-01-01", "o", line], time)));
                return [...marks.highlight].map((range) => range.toString());
            };
            return [
                shown("a.b", false, "A.B a.b axb", "x \x1b[31ma\x1b[0m.b"), shown("a.b", true, "A.B a.b"),
                shown("", false, "x"), shown("\u0130", false, "\u0130stanbul"), shown("(", false, "f(x)"),
            ];
        }"""
    )
    assert found == [["A.B", "a.b", "a.b"], ["a.b"], [], ["İ"], ["("]]
