"""A command's own arguments: described, converted, masked."""

from __future__ import annotations

from datetime import date

import pytest

from data_migrations import arguments
from data_migrations.exceptions import InvalidArgument
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
        ({}, "'country' is required"),
        ({"country": "de", "count": "many"}, "does not take 'many'"),
        ({"country": "de", "mode": "wild"}, "takes one of fast, safe"),
        ({"country": "de", "loud": "yes"}, "takes true or false"),
        ({"country": "de", "pair": ["1"]}, "takes 2 values, not 1"),
        ({"country": "de", "speed": 1}, "'speed' is not an argument"),
        ({"country": "de", "since": "yesterday"}, "does not take 'yesterday'"),
        ({"country": "de", "dry_run": True}, "'dry_run' is not an argument"),
    ],
)
def test_what_it_does_not_take_is_named(values, words):
    with pytest.raises(InvalidArgument, match=words):
        arguments.to_options(Command(), values)


def test_defaults_apply():
    assert arguments.to_options(Increment(), {}) == {"before": 0.0, "after": 0.0, "lines": 0}


def test_sensitive_values_are_masked_and_the_rest_is_plain():
    shown = arguments.masked(Command(), {"country": "de", "password": "hunter2", "since": date(2026, 1, 2), "x": 1})
    assert shown == {"country": "de", "password": "********", "since": "2026-01-02"}
    assert arguments.masked(Command(), {"password": ""})["password"] == ""
