"""From pieces of text to whole lines."""

from __future__ import annotations

import pytest

from console.lines import Splitter, clean, cut, level_of
from console.masking import Masker


def split(*pieces: str, limit: int = 16384, mask: Masker | None = None) -> list[str]:
    splitter = Splitter(mask or Masker(), limit)
    whole = [line for piece in pieces for _, line in splitter.feed("stdout", piece)]
    return whole + [line for _, line in splitter.flush()]


def test_a_line_in_pieces_is_one_line() -> None:
    assert split("a", "b", "c\nd", "e\n") == ["abc", "de"]


def test_the_rest_without_a_newline_comes_at_the_end() -> None:
    assert split("one\ntwo") == ["one", "two"]


def test_empty_lines_are_lines() -> None:
    assert split("\n\na\n") == ["", "", "a"]


def test_the_streams_do_not_mix() -> None:
    splitter = Splitter(Masker(), 100)
    assert list(splitter.feed("stdout", "half")) == []
    assert list(splitter.feed("stderr", "whole\n")) == [("e", "whole")]
    assert list(splitter.feed("stdout", " a line\n")) == [("o", "half a line")]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["\r10 %", "\r20 %", "\r100 %\n"], ["100 %"]),
        (["10 %\r", "20 %\r", "100 %\r", "\n"], ["100 %"]),
        (["one\r\ntwo\r\n"], ["one", "two"]),
        (["one\r", "\ntwo"], ["one", "two"]),
        (["a\rb\rc\n"], ["c"]),
        (["before", "\rafter\n"], ["after"]),
    ],
)
def test_a_carriage_return_begins_the_line_anew(pieces: list[str], expected: list[str]) -> None:
    assert split(*pieces) == expected


def test_only_a_newline_ends_a_line() -> None:
    assert split("a\x0bb\x0cc\u2028d\x85e\n") == ["a\x0bb\x0cc\u2028d\x85e"]


def test_nul_and_lone_surrogates_are_taken_out() -> None:
    assert split("a\0b\n") == ["ab"]
    assert split("name \udcff \ud800.\n") == ["name \ufffd \ufffd."]
    assert clean("héllo 🐘") == "héllo 🐘"


def test_a_long_line_is_cut_with_a_mark() -> None:
    assert split("x" * 50 + "\n", limit=20) == ["x" * 20 + " … [cut: 30 bytes more]"]


def test_the_cut_does_not_split_a_character() -> None:
    assert cut("ééé", 3) == "é … [cut: 3 bytes more]"


def test_a_line_of_ten_megabytes_takes_little_memory_and_tells_how_much_was_cut() -> None:
    splitter = Splitter(Masker(), 1000)
    for _ in range(100):
        assert list(splitter.feed("stdout", "y" * 100_000)) == []
        assert len(splitter._partials["stdout"].text) <= 1000 + splitter.slack
    [(_, line)] = splitter.feed("stdout", "\n")
    assert line == "y" * 1000 + f" … [cut: {10_000_000 - 1000} bytes more]"


def test_what_waits_can_be_looked_at_without_taking_it() -> None:
    splitter = Splitter(Masker(["s3cret"]), 100)
    list(splitter.feed("stdout", "copying s3cret… "))
    assert splitter.waiting() == [("o", "copying ********… ")]
    assert list(splitter.feed("stdout", "done\n")) == [("o", "copying ********… done")]
    assert splitter.waiting() == []


@pytest.mark.parametrize(
    ("stream", "letter"),
    [
        ("stdout", "o"),
        ("stderr", "e"),
        ("warnings", "w"),
        ("logging:DEBUG", "d"),
        ("logging:INFO", "i"),
        ("logging:WARNING", "w"),
        ("logging:ERROR", "r"),
        ("logging:CRITICAL", "r"),
        ("logging:Level 25", "i"),
    ],
)
def test_each_stream_has_its_letter(stream: str, letter: str) -> None:
    assert level_of(stream) == letter
