"""System checks: what is wrong with a data migration before anybody runs it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connections
from django.utils.module_loading import import_string

from . import conf, registry, windows
from .models import NAME_LENGTH
from .registry import RegisteredMigration

CONVENTION = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*?(_v\d+)?_\d{4}_(0[1-9]|1[0-2])_(0[1-9]|[12]\d|3[01])")


@checks.register("data_migrations")
def check_settings(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Unknown keys and values that cannot work in ``DATA_MIGRATIONS``."""
    given = getattr(settings, "DATA_MIGRATIONS", {})
    if not isinstance(given, dict):
        return [checks.Error("DATA_MIGRATIONS is not a dict.", id="data_migrations.E006")]
    found: list[checks.CheckMessage] = [
        checks.Error(
            f"DATA_MIGRATIONS has an unknown key {key!r}.",
            hint=f"The known keys are {', '.join(conf.DEFAULTS)}.",
            id="data_migrations.E006",
        )
        for key in given
        if key not in conf.DEFAULTS
    ]
    if conf.heartbeat_seconds() * 2 > conf.lease_seconds():
        found.append(
            checks.Error(
                "DATA_MIGRATIONS['HEARTBEAT_SECONDS'] is more than half of LEASE_SECONDS: one late heartbeat would "
                "lose the lease.",
                hint="Leave HEARTBEAT_SECONDS out; it is then a third of LEASE_SECONDS.",
                id="data_migrations.E007",
            )
        )
    for path in conf.get("AUDIT_CONTEXT_MANAGERS"):
        try:
            import_string(path)
        except ImportError as error:
            found.append(
                checks.Error(
                    f"DATA_MIGRATIONS['AUDIT_CONTEXT_MANAGERS'] has {path!r}, which cannot be imported: {error}.",
                    hint="It takes dotted paths of callables that give a context manager.",
                    id="data_migrations.E009",
                )
            )
    for pattern in conf.get("MASK"):
        try:
            re.compile(pattern)
        except re.error as error:
            found.append(
                checks.Error(
                    f"DATA_MIGRATIONS['MASK'] has {pattern!r}, which is no regular expression: {error}.",
                    id="data_migrations.E008",
                )
            )
    try:
        windows.parse(conf.get("WINDOW"))
    except windows.InvalidWindow as error:
        found.append(_window_error("DATA_MIGRATIONS['WINDOW']", error))
    return found + _throttle_errors(conf.get("THROTTLE"))


def _window_error(where: str, error: Exception) -> checks.Error:
    return checks.Error(
        f"{where} is no daily window: {error}.",
        hint='It takes two different times of the day, such as ("22:00", "06:00"), or None.',
        id="data_migrations.E011",
    )


@checks.register("data_migrations")
def check_windows(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Each daily window is one, and stands where it can be kept."""
    found: list[checks.CheckMessage] = []
    for migration in registry.all_migrations():
        window = getattr(migration.command_class, "window", None)
        if migration.command_class is None or window is None:
            continue
        where = f"The window of {migration.module_name}"
        if not migration.in_batches:
            found.append(
                checks.Warning(
                    f"{where} has no effect: only work in batches can stop when it closes and go on.",
                    hint="Inherit from BatchedCommand, or take it out.",
                    id="data_migrations.W003",
                )
            )
            continue
        try:
            windows.of(migration.command_class)
        except windows.InvalidWindow as error:
            found.append(_window_error(where, error))
    return found


def _throttle_errors(given: Any) -> list[checks.CheckMessage]:
    """Unknown keys and values that cannot work in ``DATA_MIGRATIONS["THROTTLE"]``."""
    if not isinstance(given, dict):
        return [checks.Error("DATA_MIGRATIONS['THROTTLE'] is not a dict.", id="data_migrations.E010")]
    found: list[checks.CheckMessage] = []
    for key, value in given.items():
        if key not in conf.THROTTLE_DEFAULTS:
            text, hint = f"has an unknown key {key!r}", f"The known keys are {', '.join(conf.THROTTLE_DEFAULTS)}."
        elif key == "unreadable" and value not in ("go", "stop"):
            text, hint = f"has {value!r} for 'unreadable'", 'It takes "go" or "stop".'
        elif key == "replicas" and (isinstance(value, str) or not set(value) <= set(connections)):
            text, hint = f"has {value!r} for 'replicas'", "It takes a list of aliases of DATABASES."
        elif key == "vacuum" and value not in (True, False, None):
            text, hint = f"has {value!r} for 'vacuum'", "It takes True or None."
        elif key not in ("unreadable", "replicas", "vacuum") and not _is_limit(value):
            text, hint = f"has {value!r} for {key!r}", "It takes a number that is not negative, or None for off."
        else:
            continue
        found.append(checks.Error(f"DATA_MIGRATIONS['THROTTLE'] {text}.", hint=hint, id="data_migrations.E010"))
    return found


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)


@checks.register("data_migrations")
def check_names(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Each data migration has a name of its own that fits into the ledger."""
    found: list[checks.CheckMessage] = []
    by_name: dict[str, list[RegisteredMigration]] = defaultdict(list)
    for migration in registry.all_migrations():
        if migration.command_class is None:
            found.append(
                checks.Warning(
                    f"The data migration module {migration.module_name} cannot be imported.",
                    hint=migration.error.strip().splitlines()[-1],
                    id="data_migrations.W002",
                )
            )
            continue
        name = migration.command_class.migration_name
        if not name:
            found.append(
                checks.Error(
                    f"{migration.module_name}.Command has no migration_name.",
                    hint=f'Set one, such as migration_name = "{migration.command_name}_2026_01_31", '
                    "and never change it.",
                    id="data_migrations.E001",
                )
            )
            continue
        by_name[name].append(migration)
        if len(name) > NAME_LENGTH:
            found.append(
                checks.Error(
                    f"The migration_name of {migration.module_name} has {len(name)} characters.",
                    hint=f"The ledger holds {NAME_LENGTH}.",
                    id="data_migrations.E003",
                )
            )
        elif not CONVENTION.fullmatch(name):
            found.append(
                checks.Warning(
                    f"The migration_name {name!r} does not follow the convention.",
                    hint="{description}_{version}_{YYYY_MM_DD}, the version optional, such as "
                    "lowercase_emails_v1_2026_01_31. Other names work.",
                    id="data_migrations.W001",
                )
            )
    for name, migrations in by_name.items():
        if len(migrations) > 1:
            modules = " and ".join(migration.module_name for migration in migrations)
            found.append(
                checks.Error(
                    f"{modules} have the same migration_name {name!r}, so only one of them would ever run.",
                    hint="Give the newer one a name of its own.",
                    id="data_migrations.E002",
                )
            )
    return found


@checks.register("data_migrations")
def check_dependencies(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """What ``depends_on`` names exists and does not lead back."""
    migrations = {m.name: m for m in registry.all_migrations()}
    found: list[checks.CheckMessage] = [
        checks.Error(
            f"{migration.name!r} depends on {name!r}, which is no data migration.",
            hint="Correct depends_on; it takes migration names, not command names.",
            id="data_migrations.E004",
        )
        for migration in migrations.values()
        for name in migration.depends_on
        if name not in migrations
    ]
    found += [
        checks.Error(
            f"depends_on leads in a circle: {' -> '.join(circle)}.",
            hint="Take one of these out.",
            id="data_migrations.E005",
        )
        for circle in circles({name: m.depends_on for name, m in migrations.items()})
    ]
    return found


@checks.register("data_migrations")
def check_isolation(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """No PostgreSQL database keeps one snapshot for a transaction, in which the lease is renewed by another session."""
    return [
        checks.Warning(
            f"The database {alias!r} works at an isolation level above READ COMMITTED: a data migration whose "
            "transaction takes longer than HEARTBEAT_SECONDS would fail in the end, with nothing kept.",
            hint="Leave isolation_level out of its OPTIONS, or give data migrations an alias of its own without it.",
            id="data_migrations.W004",
        )
        for alias in connections
        if connections[alias].vendor == "postgresql" and _is_above_read_committed(connections[alias].settings_dict)
    ]


def _is_above_read_committed(settings_dict: Mapping[str, Any]) -> bool:
    # Only where there is PostgreSQL: it imports the driver, and each of the two has numbers of its own.
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    options = settings_dict.get("OPTIONS", {})
    level = options.get("isolation_level")
    names = {"REPEATABLE_READ", "SERIALIZABLE"}
    if level in [one for one in IsolationLevel if one.name in names]:
        return True
    asked = re.search(r"default_transaction_isolation\s*=\s*'?(\w+)", str(options.get("options", "")))
    return level is None and asked is not None and asked[1].upper() in {"REPEATABLE", "SERIALIZABLE"}


def circles(graph: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Every circle in a graph once, each as the names along it with the first again at its end."""
    found: dict[frozenset[str], list[str]] = {}
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> None:
        if name in path:
            circle = [*path[path.index(name) :], name]
            found.setdefault(frozenset(circle), circle)
            return
        if name in done:
            return
        for successor in graph.get(name, ()):
            follow(successor, [*path, name])
        done.add(name)

    for name in sorted(graph):
        follow(name, [])
    return list(found.values())
