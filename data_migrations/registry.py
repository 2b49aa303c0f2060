"""The data migrations that the installed apps have: every management command that is one."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from django.apps import apps
from django.core.management import get_commands

from .exceptions import BrokenMigration, UnknownMigration

if TYPE_CHECKING:
    from .management.commands.base import IdempotentCommand

# A module without any of these words cannot be a data migration, so it is not imported to find out.
_TELLTALES = ("migration_name", "IdempotentCommand", "BatchedCommand", "data_migrations")


# Which module has that checksum.
_modules: dict[str, str] = {}
_looked_at = datetime.now(UTC)


@dataclass(frozen=True)
class RegisteredMigration:
    """One data migration as its code says it; ``command_class`` is None where the module cannot be imported."""

    name: str
    command_name: str
    app_name: str
    module_name: str
    command_class: type[IdempotentCommand] | None
    error: str = ""

    @cached_property
    def app_label(self) -> str:
        """The label of its app, as it stands before the names of its models and of its schema migrations."""
        labels = {config.name: config.label for config in apps.get_app_configs()}
        return labels.get(self.app_name, self.app_name.rpartition(".")[2])

    @property
    def description(self) -> str:
        """The command's help text."""
        return str(self.command_class.help) if self.command_class else ""

    @property
    def source(self) -> str:
        """The source of the command's module; empty where there is none to read."""
        return _source(self.module_name)

    @property
    def checksum(self) -> str:
        """SHA-256 of the source, hexadecimal; empty without a source."""
        return checksum(self.module_name)

    @property
    def is_stale(self) -> bool:
        """Whether its file was changed since this process imported it, which still runs what it was then."""
        source = self.source
        return bool(source) and self.command_class is not None and _sha256(source) != self.checksum

    @property
    def atomic(self) -> bool:
        """Whether work and record are one transaction."""
        return self.command_class.atomic if self.command_class else True

    @property
    def in_batches(self) -> bool:
        """Whether each of its batches is kept with its checkpoint."""
        return self.command_class is not None and self.command_class.in_batches

    @property
    def adapts(self) -> bool:
        """Whether the size of its batches follows the time that they take."""
        return self.in_batches and bool(getattr(self.command_class, "target_batch_seconds", None))

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Names of the data migrations that come first."""
        return tuple(self.command_class.depends_on) if self.command_class else ()

    @property
    def reversible(self) -> bool:
        """Whether it has a ``reverse_migration``."""
        return self.command_class is not None and self.command_class.is_reversible()

    @property
    def destructive(self) -> bool:
        """Whether the author calls it destructive."""
        return self.command_class is not None and self.command_class.destructive

    @property
    def sensitive_arguments(self) -> tuple[str, ...]:
        """Dests of the arguments that are masked."""
        return tuple(self.command_class.sensitive_arguments) if self.command_class else ()


@cache
def checksum(module_name: str) -> str:
    """SHA-256 of a module's source, hexadecimal; empty where there is none to read.

    Remembered from when the module was imported: that is the code which this process runs.
    """
    found = _sha256(_source(module_name))
    if found:
        _modules[found] = module_name
    return found


def source_of(checksum: str) -> str:
    """The source that has this checksum; empty where none is known, or its file was changed since it was imported."""
    source = _source(_modules.get(checksum, ""))
    return source if source and _sha256(source) == checksum else ""


def _sha256(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest() if source else ""


def _source(module_name: str) -> str:
    spec = _spec(module_name)
    loader = spec.loader if spec else None
    try:
        return (loader.get_source(module_name) or "") if hasattr(loader, "get_source") else ""  # type: ignore[union-attr]
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return ""


def _spec(module_name: str) -> ModuleSpec | None:
    try:
        return find_spec(module_name)
    except (ImportError, ValueError):
        return None


@cache
def _discover() -> tuple[RegisteredMigration, ...]:
    global _looked_at
    from .management.commands.base import IdempotentCommand

    _looked_at = datetime.now(UTC)
    found = []
    for command_name, app in sorted(get_commands().items()):
        app_name = app if isinstance(app, str) else app.__module__.partition(".management.")[0]
        if app_name.startswith("django.") or app_name == "data_migrations":
            continue
        module_name = f"{app_name}.management.commands.{command_name}"
        source = _source(module_name)
        if source and not any(word in source for word in _TELLTALES):
            continue
        try:
            command_class = importlib.import_module(module_name).Command
            checksum(module_name)
        except Exception:
            # Whatever it is, one broken module must not hide the others.
            if source:
                error = traceback.format_exc(limit=-3)
                found.append(RegisteredMigration(command_name, command_name, app_name, module_name, None, error))
            continue
        if (
            inspect.isclass(command_class)
            and issubclass(command_class, IdempotentCommand)
            and command_class.__module__ == module_name
        ):
            name = command_class.migration_name or command_name
            found.append(RegisteredMigration(name, command_name, app_name, module_name, command_class))
    return tuple(found)


def all_migrations() -> list[RegisteredMigration]:
    """Every data migration in the code, by name, those that cannot be imported included."""
    return sorted(_discover(), key=lambda migration: migration.name)


def known_since() -> datetime:
    """When this process looked through the apps; what was written after that it does not know."""
    _discover()
    return _looked_at


def newer_on_disk(names: Collection[str]) -> dict[str, str]:
    """Of names that this process does not know those that stand in a command which is newer, with that command's name.

    Nothing is imported: the files of the commands are looked at that were written since this process looked.
    """
    found: dict[str, str] = {}
    if not names:
        return found
    since = known_since().timestamp()
    for config in apps.get_app_configs():
        for path in Path(config.path, "management", "commands").glob("*.py"):
            try:
                if path.stem in get_commands() and path.stat().st_mtime < since:
                    continue
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            found |= {name: path.stem for name in names if f'"{name}"' in text or f"'{name}'" in text}
    return found


def reset() -> None:
    """Forget what was found; the next look goes through the apps again."""
    get_commands.cache_clear()  # type: ignore[attr-defined]
    _discover.cache_clear()
    checksum.cache_clear()
    _modules.clear()


def get(name: str) -> RegisteredMigration:
    """The data migration of that migration name.

    Raises:
        UnknownMigration: there is none; the message has near matches.
    """
    for migration in _discover():
        if migration.name == name:
            return migration
    raise UnknownMigration(unknown(name, [migration.name for migration in _discover()]))


def named(word: str, recorded: Collection[str] = ()) -> str:
    """The migration name that is meant by it, or by the name of its command; any other word as it is.

    Args:
        recorded: names that may not be in the code; they mean themselves.
    """
    found = _discover()
    if word in recorded or any(migration.name == word for migration in found):
        return word
    return next((migration.name for migration in found if migration.command_name == word), word)


def get_command(command_name: str) -> type[IdempotentCommand]:
    """The class of the data migration that runs as this management command.

    Raises:
        UnknownMigration: no such command, or it is no data migration.
        BrokenMigration: its module cannot be imported.
    """
    for migration in _discover():
        if migration.command_name == command_name:
            if migration.command_class is None:
                raise BrokenMigration(
                    f"The module {migration.module_name} cannot be imported, so nothing was run:\n{migration.error}"
                )
            return migration.command_class
    raise UnknownMigration(unknown(command_name, [migration.command_name for migration in _discover()]))


def unknown(name: str, candidates: list[str]) -> str:
    """The message for a name that nobody has, with near matches."""
    near = difflib.get_close_matches(name, candidates, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"There is no data migration {name!r}.{hint} Nothing was changed. "
        '"manage.py custom_migrations list" shows the known ones.'
    )
