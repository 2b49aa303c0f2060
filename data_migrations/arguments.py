"""A command's own arguments: described for a form, converted from it, masked for a log."""

from __future__ import annotations

import argparse
import json
import linecache
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .exceptions import InvalidArgument, WrongValue
from .words import counted, stopped

MASKED = "********"

_BASE_PACKAGE = f"{__package__}.management.commands.base"
_COUNTED = (argparse._CountAction,)
_BOOLEAN = (argparse._StoreTrueAction, argparse._StoreFalseAction, argparse.BooleanOptionalAction)
_LISTS = (argparse._AppendAction, argparse._ExtendAction)
# What Python's own converters take, in words.
_NAMES = (
    (int, "a whole number"),
    (float, "a number"),
    (json.loads, "JSON"),
    (date.fromisoformat, "a date such as 2026-11-22"),
    (datetime.fromisoformat, "a moment such as 2026-11-22 02:00"),
    (uuid.UUID, "a UUID"),
)


@dataclass(frozen=True)
class Argument:
    """One argument that the author added; ``kind`` is text, integer, float, boolean, choice, list or json."""

    dest: str
    flags: tuple[str, ...]
    help: str
    kind: str
    choices: tuple[Any, ...]
    default: Any
    required: bool
    nargs: Any
    sensitive: bool
    action: argparse.Action

    @property
    def label(self) -> str:
        """The long flag without its dashes, or the name of a positional argument."""
        longest = max(self.flags, key=len, default=self.dest)
        return longest.lstrip("-").replace("-", " ").replace("_", " ")


def own_actions(command: BaseCommand) -> list[argparse.Action]:
    """The argparse actions that the command has beyond ours and Django's."""
    base = next(cls for cls in type(command).__mro__ if cls.__module__.startswith(_BASE_PACKAGE))
    ours = {action.dest for action in base().create_parser("manage.py", "x")._actions}
    parser = command.create_parser("manage.py", "x")
    return [action for action in parser._actions if action.dest not in ours]


def describe(command_class: type[BaseCommand]) -> list[Argument]:
    """The author's own arguments of a command, in their order."""
    command = command_class()
    sensitive = set(getattr(command, "sensitive_arguments", ()))
    return [
        Argument(
            dest=action.dest,
            flags=tuple(action.option_strings),
            help=(action.help or "") if action.help != argparse.SUPPRESS else "",
            kind=_kind(action),
            choices=tuple(action.choices or ()),
            default=None if action.default == argparse.SUPPRESS else action.default,
            required=action.required,
            nargs=action.nargs,
            sensitive=action.dest in sensitive,
            action=action,
        )
        for action in own_actions(command)
    ]


def _kind(action: argparse.Action) -> str:
    if isinstance(action, _BOOLEAN):
        return "boolean"
    if isinstance(action, _COUNTED):
        return "integer"
    if isinstance(action, _LISTS) or action.nargs in ("*", "+") or isinstance(action.nargs, int):
        return "list"
    if action.choices:
        return "choice"
    if action.type is int:
        return "integer"
    if action.type is float:
        return "float"
    if action.type is json.loads:
        return "json"
    return "text"


def to_options(command: BaseCommand, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options for the command from values as JSON can hold them, converted as its own parser would.

    A value is never read as a command line, so one that begins with a dash is only a value.

    Args:
        values: from the arguments' dests; a list where the argument takes several.

    Raises:
        InvalidArgument: there is no argument of a name.
        WrongValue: a missing required one, or a value that the argument does not take.
    """
    actions = {action.dest: action for action in own_actions(command)}
    unknown = sorted(set(values) - set(actions))
    if unknown:
        known = ", ".join(sorted(actions)) or "none"
        raise InvalidArgument(
            f"{unknown[0]!r} is not an argument of this data migration (its own: {known}). Nothing was run."
        )
    options = {}
    for dest, action in actions.items():
        try:
            if dest in values and values[dest] is not None:
                options[dest] = _convert(action, values[dest])
            elif action.required:
                raise _Wrong("a value is needed.")
            else:
                default = None if action.default == argparse.SUPPRESS else action.default
                options[dest] = _convert(action, default) if isinstance(default, str) else default
        except _Wrong as error:
            is_secret = dest in getattr(command, "sensitive_arguments", ())
            raise WrongValue(dest, error.secretly if is_secret else str(error)) from error
    return options


class _Wrong(ValueError):
    """What is wrong with a value: ``secretly`` says it without the value."""

    def __init__(self, text: str, secretly: str = "") -> None:
        super().__init__(text)
        self.secretly = secretly or text


def _convert(action: argparse.Action, value: Any) -> Any:
    if isinstance(action, _BOOLEAN):
        if not isinstance(value, bool):
            raise _wrong(value, "is neither true nor false.")
        return value
    if isinstance(action, _COUNTED):
        return _typed(action, int, value)
    if isinstance(action, argparse._StoreConstAction):
        return action.const if value is True else value
    if isinstance(action, _LISTS) or action.nargs in ("*", "+") or isinstance(action.nargs, int):
        items = value if isinstance(value, list | tuple) else [value]
        if isinstance(action.nargs, int) and not isinstance(action, _LISTS) and len(items) != action.nargs:
            raise _Wrong(f"it takes {counted(action.nargs, 'value')}, not {len(items)}.")
        return [_typed(action, action.type, item) for item in items]
    return _typed(action, action.type, value)


def _typed(action: argparse.Action, kind: Any, value: Any) -> Any:
    # A value that already has its type (a default, call_command) is not converted twice.
    if isinstance(kind, str):
        kind = None
    if kind is not None and isinstance(value, str):
        try:
            value = kind(value)
        except (ValueError, TypeError, argparse.ArgumentTypeError, CommandError) as error:
            name = next((name for known, name in _NAMES if known == kind), None)
            if name is not None:
                raise _wrong(value, f"is not {name}.") from error
            said = str(error) if _is_authors(error, kind) else ""
            raise _wrong(value, "is not taken", stopped(f": {said}" if said else "")) from error
    if action.choices is not None and value not in action.choices:
        raise _wrong(value, f"is not one of {', '.join(map(str, action.choices))}.")
    return value


def _is_authors(error: Exception, kind: Any) -> bool:
    """Whether a converter's author wrote its message, and not Python: "Invalid isoformat string" is for programmers."""
    if isinstance(error, argparse.ArgumentTypeError | CommandError):
        return True
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    is_here = frame.f_globals.get("__name__") == getattr(kind, "__module__", None)
    return is_here and linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("raise")


def _wrong(value: Any, what: str, more: str = "") -> _Wrong:
    """That a value is wrong; ``more`` may quote it."""
    return _Wrong(f"“{value}” {what}{more}", stopped(f"this value {what}"))


def masked(command: BaseCommand, options: Mapping[str, Any]) -> dict[str, Any]:
    """The command's own arguments among ``options`` as they may be shown and stored, JSON-serialisable."""
    sensitive = set(getattr(command, "sensitive_arguments", ()))
    shown = {}
    for action in own_actions(command):
        if action.dest in options:
            value = options[action.dest]
            hide = action.dest in sensitive and value not in (None, "", [])
            shown[action.dest] = MASKED if hide else _plain(value)
    return shown


def defaults(command: BaseCommand, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the command takes for those of its own arguments that are not among ``options``; as ``masked`` has it."""
    own = {action.dest: action.default for action in own_actions(command) if action.dest not in options}
    return masked(
        command, {dest: value for dest, value in own.items() if value not in (None, "", [], argparse.SUPPRESS)}
    )


def secrets(command: BaseCommand, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values that ``masked`` hides, so that they can be hidden in what the command prints as well."""
    return tuple(options[dest] for dest in getattr(command, "sensitive_arguments", ()) if options.get(dest))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
