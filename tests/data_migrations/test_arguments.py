"""A command's own arguments: described, converted, masked."""

from __future__ import annotations

import argparse
from datetime import date

import pytest

from data_migrations import arguments
from data_migrations.exceptions import InvalidArgument, WrongValue
from tests.testapp.management.commands.increment import Command as Increment
from tests.testapp.management.commands.migrate_users import Command as MigrateUsers
from tests.testapp.management.commands.with_arguments import Command


def test_only_the_authors_own_are_described():
    kinds = {argument.dest: argument.kind for argument in arguments.describe(Command)}
    assert kinds == {
        "country": "text",
        "count": "integer",
        "ratio": "float",
        "mode": "choice",
        "loud": "boolean",
        "since": "text",
        "tag": "list",
        "pair": "list",
        "extra": "json",
        "password": "text",
    }
    assert arguments.describe(MigrateUsers) == []


def test_what_a_form_needs_to_know():
    by_dest = {argument.dest: argument for argument in arguments.describe(Command)}
    assert by_dest["country"].required
    assert not by_dest["count"].required
    assert by_dest["count"].default == 3
    assert by_dest["mode"].choices == ("fast", "safe")
    assert by_dest["password"].sensitive
    assert by_dest["country"].help == "A country code."


def test_values_are_converted_as_the_parser_would():
    options = arguments.to_options(
        Command(),
        {
            "country": "--de",
            "count": "12",
            "ratio": "0.5",
            "since": "2026-11-21",
            "tag": ["a", "-b"],
            "pair": ["1", "2"],
            "extra": '{"x": 1}',
            "loud": True,
        },
    )
    assert options["country"] == "--de"
    assert options["count"] == 12
    assert options["ratio"] == 0.5
    assert options["since"] == date(2026, 11, 21)
    assert options["tag"] == ["a", "-b"]
    assert options["pair"] == [1, 2]
    assert options["extra"] == {"x": 1}
    assert options["loud"] is True
    assert options["mode"] == "safe"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Argument 'country': a value is needed."),
        ({"country": "de", "count": "many"}, "Argument 'count': “many” is not a whole number."),
        ({"country": "de", "ratio": "much"}, "Argument 'ratio': “much” is not a number."),
        ({"country": "de", "mode": "wild"}, "Argument 'mode': “wild” is not one of fast, safe."),
        ({"country": "de", "loud": "yes"}, "Argument 'loud': “yes” is neither true nor false."),
        ({"country": "de", "pair": ["1"]}, "Argument 'pair': it takes 2 values, not 1."),
        ({"country": "de", "pair": ["1", "x"]}, "Argument 'pair': “x” is not a whole number."),
        ({"country": "de", "since": "yesterday"}, "Argument 'since': “yesterday” is not a date such as 2026-11-22."),
        ({"country": "de", "extra": "{"}, "Argument 'extra': “{” is not JSON."),
    ],
)
def test_what_it_does_not_take_is_named(values, words):
    with pytest.raises(WrongValue) as caught:
        arguments.to_options(Command(), values)
    assert str(caught.value) == f"{words} Nothing was run."
    assert f"Argument {caught.value.dest!r}: {caught.value.what}" == words


@pytest.mark.parametrize("name", ["speed", "dry_run"])
def test_an_argument_that_it_has_not_is_named(name):
    with pytest.raises(InvalidArgument, match=f"'{name}' is not an argument of this data migration .* Nothing was run"):
        arguments.to_options(Command(), {"country": "de", name: True})


def odd(text: str) -> str:
    """A converter of the author's own that takes nothing."""
    if not text:
        raise argparse.ArgumentTypeError
    if int(text) % 2:
        raise ValueError(f"{text} is too odd")
    raise argparse.ArgumentTypeError(f"{text!r} is even")


class Choosy(Command):
    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--odd", type=odd)
        parser.add_argument("--pin", type=int)
        parser.add_argument("--key", type=odd)

    sensitive_arguments = ["pin", "key"]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"odd": "2"}, "“2” is not taken: '2' is even."),
        ({"odd": "3"}, "“3” is not taken: 3 is too odd."),
        ({"odd": ""}, "“” is not taken."),
        # Python's words are not the author's, also where his converter calls it.
        ({"odd": "x"}, "“x” is not taken."),
        # What is sensitive is not repeated, not even in the author's words.
        ({"pin": "12a4"}, "this value is not a whole number."),
        ({"key": "2"}, "this value is not taken."),
    ],
)
def test_a_converter_of_the_authors_own_says_why_but_nothing_of_a_sensitive_value(values, what):
    with pytest.raises(WrongValue) as caught:
        arguments.to_options(Choosy(), {"country": "de", **values})
    assert caught.value.what == what


def test_defaults_apply():
    assert arguments.to_options(Increment(), {}) == {"before": 0.0, "after": 0.0, "lines": 0}


def test_sensitive_values_are_masked_and_the_rest_is_plain():
    shown = arguments.masked(Command(), {"country": "de", "password": "hunter2", "since": date(2026, 1, 2), "x": 1})
    assert shown == {"country": "de", "password": "********", "since": "2026-01-02"}
    assert arguments.masked(Command(), {"password": ""})["password"] == ""


class Defaulted(Command):
    def add_arguments(self, parser):
        parser.add_argument("--day", type=date.fromisoformat, default=date(2026, 1, 2))
        parser.add_argument("--password", default="hunter2")
        parser.add_argument("--nothing")
        parser.add_argument("--hidden", default=argparse.SUPPRESS)


def test_the_defaults_of_what_is_not_given_are_told_and_masked_as_what_is_given():
    assert arguments.defaults(Defaulted(), {}) == {"day": "2026-01-02", "password": "********"}
    assert arguments.defaults(Defaulted(), {"day": None, "password": "x"}) == {}
