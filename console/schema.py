"""Django's own migrations in one database, beside the data migrations that hang on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.migrations.exceptions import CircularDependencyError, InconsistentMigrationHistory, NodeNotFoundError
from django.db.migrations.migration import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import Error

from data_migrations import ledger, registry
from data_migrations.disk import DiskLoader
from data_migrations.exceptions import DataMigrationError
from data_migrations.models import AppliedMigration
from data_migrations.registry import RegisteredMigration
from data_migrations.utils.migrations import RunDataMigration

from .dangers import Danger, Harm, Judge, flat, name_of

Key = tuple[str, str]


@dataclass(frozen=True)
class Hanging:
    """A data migration that a Django migration runs, or that needs one. ``state`` is as ``appearance`` knows it."""

    name: str
    command_name: str
    state: str
    in_code: bool = True


@dataclass(frozen=True)
class Row:
    """One Django migration in one database. ``applied`` is None where nobody knows."""

    app: str
    name: str
    applied: bool | None
    applied_at: datetime | None = None
    in_code: bool = True
    operations: tuple[str, ...] = ()
    dangers: tuple[Danger, ...] = ()
    runs: tuple[Hanging, ...] = ()
    needed_by: tuple[Hanging, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """As ``appearance`` knows it."""
        if self.applied is None:
            return "unknown"
        if not self.in_code:
            return "unregistered"
        return "applied" if self.applied else "pending"

    @property
    def is_destructive(self) -> bool:
        """Whether it takes data away or locks a table."""
        return any(danger.harm in (Harm.LOSS, Harm.LOCK) for danger in self.dangers)

    @property
    def has_data_migration(self) -> bool:
        """Whether a data migration hangs on it."""
        return bool(self.runs or self.needed_by)


@dataclass(frozen=True)
class Overview:
    """All rows of a database in the order in which ``migrate`` takes them, and what is wrong with them."""

    database: str
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def apps(self) -> list[str]:
        """The apps that have migrations."""
        return sorted({row.app for row in self.rows})


def read(database: str) -> Overview:
    """Everything known about one database, with a constant number of queries.

    What cannot be read (a broken module, conflicts, a database that does not answer) is a problem in words.
    """
    problems: list[str] = []
    loader = _load(database, problems)
    is_known = loader.connection is not None
    recorded: dict[Key, Any] = loader.applied_migrations or {}
    hangings = Hangings(database, is_known, problems)
    judge = Judge(connections[database].vendor)
    rows = []
    for migration in _in_order(loader, problems):
        key = (migration.app_label, migration.name)
        is_applied = key in recorded if is_known else None
        operations = list(flat(migration.operations))
        runs = hangings.run_by(operations)
        rows.append(
            Row(
                *key,
                applied=is_applied,
                # For a squashed one whose parts are applied Django gives the migration instead of its record.
                applied_at=getattr(recorded.get(key), "applied", None),
                operations=tuple(name_of(operation) for operation in operations),
                dangers=tuple(judge.judge(migration)),
                runs=runs,
                needed_by=hangings.needing(key),
                notes=tuple(hangings.faked(migration.app_label, runs)) if is_applied else (),
            )
        )
    return Overview(database, rows + _not_in_code(loader, recorded), problems)


@dataclass(frozen=True)
class Around:
    """A Django migration that a data migration has to do with. ``relation`` is "run by" or "needs"."""

    relation: str
    name: str
    state: str


def around(migration: RegisteredMigration, database: str) -> list[Around]:
    """The Django migrations that run a data migration, and those that it needs, with their state in one database."""
    loader = DiskLoader(None, load=False, ignore_no_migrations=True)
    loader.load_disk()
    run_by = [
        key
        for key, each in sorted(loader.disk_migrations.items())
        for operation in flat(each.operations)
        if isinstance(operation, RunDataMigration) and operation.command_name == migration.command_name
    ]
    needed = [tuple(key) for key in getattr(migration.command_class, "requires_schema", ())]
    if not (run_by or needed):
        return []
    try:
        applied: Any = MigrationRecorder(connections[database]).applied_migrations()
    except (Error, ImproperlyConfigured):
        applied = None
    named = [("run by", key) for key in run_by] + [("needs", key) for key in needed]
    return [Around(relation, ".".join(key), _state(key, applied)) for relation, key in named]


def _state(key: tuple[str, ...], applied: Any) -> str:
    if applied is None:
        return "unknown"
    return "applied" if key in applied else "pending"


def _load(database: str, problems: list[str]) -> DiskLoader:
    """The loader with as much as can be had; its ``connection`` is None where the database does not answer."""
    loader = DiskLoader(connections[database], load=False, ignore_no_migrations=True)
    try:
        try:
            loader.build_graph()
        except (Error, ImproperlyConfigured) as error:
            problems.append(f"The database {database!r} does not answer, so what is applied is not known: {error}")
            loader.connection = None
            loader.build_graph()
        if loader.connection is not None:
            loader.check_consistent_history(loader.connection)
    except (NodeNotFoundError, CircularDependencyError, ValueError) as error:
        problems.append(f"They do not fit together, so that migrate refuses, and their order here is a guess: {error}")
        # An empty graph says that there is no order.
        loader.graph = type(loader.graph)()
    except InconsistentMigrationHistory as error:
        problems.append(f"The history does not fit the code, so that migrate refuses: {error}")
    for name, reason in sorted(loader.broken.items()):
        problems.append(f"{name} cannot be imported, so that migrate refuses, and it is not listed here: {reason}")
    for app, names in sorted(loader.detect_conflicts().items()):
        problems.append(
            f"{app} has more than one last migration ({', '.join(sorted(names))}), so that migrate refuses. "
            "Join them with: python manage.py makemigrations --merge"
        )
    return loader


def _in_order(loader: DiskLoader, problems: list[str]) -> list[Migration]:
    """As ``migrate`` would take them in an empty database."""
    if not loader.graph.nodes:
        return _guessed_order(loader.disk_migrations)
    plan: dict[Key, None] = {}
    for leaf in loader.graph.leaf_nodes():
        plan.update(dict.fromkeys(loader.graph.forwards_plan(leaf)))
    return [loader.graph.nodes[key] for key in plan]


def _guessed_order(migrations: dict[Key, Migration]) -> list[Migration]:
    """Each after those of its dependencies that are there, as far as that is possible."""
    plan: dict[Key, Migration] = {}
    for start in sorted(migrations):
        stack, seen = [start], set()
        while stack:
            key = stack[-1]
            waiting = [
                each
                for each in migrations[key].dependencies
                if each in migrations and each not in plan and each not in seen
            ]
            if key in seen or not waiting:
                plan.setdefault(key, migrations[key])
                stack.pop()
            else:
                stack += waiting
            seen.add(key)
    return list(plan.values())


def _not_in_code(loader: DiskLoader, recorded: dict[Key, Any]) -> list[Row]:
    known = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    known |= loader.disk_migrations.keys()
    return [
        Row(*key, applied=True, applied_at=getattr(record, "applied", None), in_code=False)
        for key, record in sorted(recorded.items())
        if key not in known and not loader.broken.keys() & {key[0], ".".join(key)}
    ]


class Hangings:
    """Which data migrations hang on which Django migration, with their state in one database."""

    def __init__(self, database: str, is_known: bool, problems: list[str]) -> None:
        self.database = database
        self.by_command = {each.command_name: each for each in registry.all_migrations()}
        self.records: dict[str, AppliedMigration] | None = None
        if is_known and router.allow_migrate_model(database, AppliedMigration):
            try:
                ledger.require_tables(database)
                self.records = ledger.applied(database)
            except (DataMigrationError, Error) as error:
                problems.append(str(error))
        self._needing: dict[Key, list[Hanging]] = {}
        for each in registry.all_migrations():
            for needed in getattr(each.command_class, "requires_schema", ()):
                self._needing.setdefault((needed[0], needed[1]), []).append(self._of(each))

    def run_by(self, operations: Iterable[Any]) -> tuple[Hanging, ...]:
        """What these operations run."""
        commands = [each.command_name for each in operations if isinstance(each, RunDataMigration)]
        return tuple(
            self._of(self.by_command[name])
            if name in self.by_command
            else Hanging(name, name, "unregistered", in_code=False)
            for name in commands
        )

    def needing(self, key: Key) -> tuple[Hanging, ...]:
        """Those whose ``requires_schema`` names that Django migration."""
        return tuple(self._needing.get(key, ()))

    def faked(self, app: str, runs: Iterable[Hanging]) -> list[str]:
        """What does not fit where the Django migration is applied and its data migration is not recorded."""
        if self.records is None or not router.allow_migrate(self.database, app):
            return []
        return [
            f"It is applied, but the data migration {each.name} that it runs is not recorded: was it faked "
            "(migrate --fake), or unmarked? Run that by hand, or mark it as applied."
            for each in runs
            if each.in_code and each.name not in self.records
        ]

    def _of(self, migration: RegisteredMigration) -> Hanging:
        if self.records is None:
            state = "unknown"
        elif migration.command_class is None:
            state = "broken"
        else:
            state = "applied" if migration.name in self.records else "pending"
        return Hanging(migration.name, migration.command_name, state)
