"""Secrets do not get into what is stored."""

from __future__ import annotations

from typing import Any

from console.lines import Splitter
from console.masking import Masker


def test_a_value_is_masked_wherever_it_stands() -> None:
    assert Masker(["hunter2"])("login hunter2:hunter2!") == "login ********:********!"


def test_a_value_split_across_writes_is_masked() -> None:
    splitter = Splitter(Masker(["hunter2"]), 1000)
    lines = [line for piece in ("pass hun", "te", "r2 ok", "\n") for _, line in splitter.feed("stdout", piece)]
    assert lines == ["pass ******** ok"]


def test_a_value_across_the_cut_of_a_long_line_is_masked() -> None:
    secret = "k" * 5000
    masker = Masker([secret])
    splitter = Splitter(masker, 100, slack=max(4096, masker.longest))
    [(_, line)] = splitter.feed("stdout", "a" * 90 + secret + "b" * 9000 + "\n")
    assert "k" not in line.partition(" … ")[0]
    assert line.startswith("a" * 90 + "********")


def test_the_longer_of_two_values_is_masked_whole() -> None:
    assert Masker(["pass", "password1"])("password1 pass") == "******** ********"


def test_a_value_is_masked_as_json_python_and_urls_write_it() -> None:
    masker = Masker(['p"a/ß'])
    assert "a/" not in masker(r'{"key": "p\"a/ß"}')
    assert "a%2F" not in masker("https://x/?key=p%22a%2F%C3%9F")


def test_each_line_of_a_value_of_several_lines_is_masked() -> None:
    masker = Masker(["-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----"])
    assert masker.lines("the key is\nMIIEvQIBADANBg\nthere") == "the key is\n********\nthere"


def test_a_short_value_is_masked_only_where_it_stands_alone() -> None:
    masker = Masker(["7"])
    assert masker("pin 7, of 1709 rows") == "pin ********, of 1709 rows"


def test_values_within_lists_and_dicts_are_masked() -> None:
    masker = Masker([["first-one", "second-one"], {"key": "third-one"}, 123456, None, True, ""])
    text = masker("first-one second-one third-one 123456 None True")
    assert text == "******** ******** ******** ******** None True"


def test_the_sites_patterns_are_masked(settings: Any) -> None:
    settings.DATA_MIGRATIONS = {"MASK": [r"\b\d{16}\b", r"token=\S+"]}
    assert Masker()("card 4111111111111111 token=abc next") == "card ******** ******** next"


def test_a_pattern_that_cannot_be_used_does_not_fail_a_run(settings: Any) -> None:
    settings.DATA_MIGRATIONS = {"MASK": ["(", r"\d+"]}
    assert Masker()("a 12") == "a ********"


def test_texts_in_results_are_masked_through_and_through() -> None:
    assert Masker(["hunter2"]).tree({"a": ["hunter2", 1, None], "b": "x\nhunter2"}) == {
        "a": ["********", 1, None],
        "b": "x\n********",
    }


def test_what_waits_for_its_end_does_not_show_the_beginning_of_a_value() -> None:
    splitter = Splitter(Masker(["hunter2"]), 1000)
    assert list(splitter.feed("stdout", "pass hunt")) == []
    assert splitter.waiting() == [("o", "pass ")]
    assert list(splitter.feed("stdout", "ing\n")) == [("o", "pass hunting")]
