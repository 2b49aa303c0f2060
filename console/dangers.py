"""What of a Django migration takes data away, locks a table, or cannot be undone; each with a word why."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.migrations import operations as ops
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import NOT_PROVIDED, Field

from . import sqlwords
from .fieldchanges import needs_index, why_alter

POSTGRESQL = "postgresql"


class Harm(enum.StrEnum):
    """What kind of harm; the first two are what the filter "destructive" shows."""

    LOSS = "loss"
    LOCK = "lock"
    ONE_WAY = "one way"


@dataclass(frozen=True)
class Danger:
    """One operation that deserves a second look. ``what`` names it, ``why`` is a sentence's part."""

    harm: Harm
    what: str
    why: str


class Judge:
    """Goes through migrations in their order, and knows of each what the tables were like before it.

    Args:
        vendor: of the database, as Django calls it; what an index locks depends on it.
    """

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor
        self.state = ProjectState()
        self._new_tables: set[tuple[str, str]] = set()

    def judge(self, migration: Migration) -> list[Danger]:
        """The dangers of the next migration."""
        self._new_tables = set()
        found: list[Danger] = []
        for operation in migration.operations:
            try:
                found += self._of(operation, migration.app_label)
            except Exception as error:
                # An operation that somebody else wrote may have any shape; one page must not fail because of it.
                found.append(Danger(Harm.ONE_WAY, name_of(operation), f"could not be judged: {error!r:.200}"))
            self._go_on(operation, migration.app_label)
        return found

    def _go_on(self, operation: Operation, app: str) -> None:
        if isinstance(operation, ops.CreateModel):
            self._new_tables.add((app, operation.name_lower))
        if type(operation) in (ops.AlterField, ops.RenameField):
            self._change_field(operation, app)
            return
        try:
            operation.state_forwards(app, self.state)
        except Exception:
            # Then nothing is known of the tables before the next one, which only makes us say less.
            return

    def _change_field(self, operation: Any, app: str) -> None:
        """As ``state_forwards`` does, but without its search of all models for references to the field."""
        model = self.state.models.get((app, operation.model_name_lower))
        if model is None:
            return
        if isinstance(operation, ops.AlterField):
            model.fields[operation.name] = operation.field
            return
        old, new = operation.old_name, operation.new_name
        if old in model.fields:
            model.fields[new] = model.fields.pop(old)
        if together := model.options.get("unique_together"):
            model.options["unique_together"] = {
                tuple(new if name == old else name for name in each) for each in together
            }

    def _model(self, app: str, name: str) -> ModelState | None:
        """The table as it was, if it is one of Django's making and has rows already."""
        key = (app, name.lower())
        model = self.state.models.get(key)
        if model is None or key in self._new_tables:
            return None
        return model if model.options.get("managed", True) and not model.options.get("proxy") else None

    def _of(self, operation: Operation, app: str) -> Iterator[Danger]:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            for inner in operation.database_operations:
                yield from self._of(inner, app)
        elif isinstance(operation, ops.DeleteModel):
            if self._model(app, operation.name):
                yield Danger(Harm.LOSS, f"DeleteModel {operation.name}", "drops the table with all its rows")
        elif isinstance(operation, ops.RunSQL):
            yield from self._of_sql(operation)
        elif isinstance(operation, ops.RunPython):
            if operation.reverse_code is None:
                name = getattr(operation.code, "__name__", "")
                yield Danger(Harm.ONE_WAY, f"RunPython {name}".strip(), "has no way back (reverse_code)")
        elif isinstance(operation, ops.AddIndex | ops.AddConstraint | ops.AlterUniqueTogether):
            yield from self._of_index(operation, app)
        elif isinstance(operation, ops.RemoveField | ops.AlterField | ops.AddField):
            model = self._model(app, operation.model_name)
            if model is not None:
                yield from self._of_field(operation, model)

    def _of_field(self, operation: Any, model: ModelState) -> Iterator[Danger]:
        what = f"{type(operation).__name__} {operation.model_name}.{operation.name}"
        old = model.fields.get(operation.name)
        if isinstance(operation, ops.RemoveField):
            if isinstance(old, models.ManyToManyField):
                yield Danger(Harm.LOSS, what, "drops the table that links the two, with all its rows")
            elif old is None or getattr(old, "concrete", True):
                yield Danger(Harm.LOSS, what, "drops the column and what is in it")
            return
        new: Field[Any, Any] = operation.field
        if isinstance(operation, ops.AlterField):
            if old is None:
                return
            for why, is_loss in why_alter(old, new):
                yield Danger(Harm.LOSS if is_loss else Harm.LOCK, what, why)
        elif new.unique and not new.null and (new.has_default() or new.db_default is not NOT_PROVIDED):
            yield Danger(Harm.LOSS, what, "gives every row the same unique value: it fails as soon as there are two")
        if self.vendor == POSTGRESQL and needs_index(new) and not (old is not None and needs_index(old)):
            reason = "a unique index" if new.unique else "an index"
            yield Danger(Harm.LOCK, what, f"builds {reason} not concurrently: nobody can write the table meanwhile")

    def _of_index(self, operation: Any, app: str) -> Iterator[Danger]:
        name = getattr(operation, "model_name", None) or operation.name
        model = self._model(app, name)
        if self.vendor != POSTGRESQL or model is None or _is_gentle(operation):
            return
        what = f"{type(operation).__name__} {name}"
        if isinstance(operation, ops.AlterUniqueTogether):
            before = {tuple(each) for each in model.options.get("unique_together") or ()}
            if not {tuple(each) for each in operation.option_value or ()} - before:
                return
        elif isinstance(operation, ops.AddConstraint):
            what += f" {operation.constraint.name}"
            if isinstance(operation.constraint, models.CheckConstraint):
                yield Danger(Harm.LOCK, what, "checks every row: nobody can use the table meanwhile")
                return
        else:
            what += f" {operation.index.name}"
        yield Danger(Harm.LOCK, what, "builds an index not concurrently: nobody can write the table meanwhile")

    def _of_sql(self, operation: ops.RunSQL) -> Iterator[Danger]:
        text = ";\n".join(_sql_texts(operation.sql))
        words = sqlwords.taken_away(text)
        if words:
            yield Danger(Harm.LOSS, "RunSQL", f"runs {', '.join(words)}")
        if self.vendor == POSTGRESQL and sqlwords.locking_indexes(text):
            yield Danger(Harm.LOCK, "RunSQL", "builds an index not concurrently: nobody can write the table meanwhile")
        if operation.reverse_sql is None:
            yield Danger(Harm.ONE_WAY, "RunSQL", "has no way back (reverse_sql)")


def name_of(operation: Operation) -> str:
    """What an operation does, in its own words."""
    try:
        return str(operation.describe())
    except Exception:
        return type(operation).__name__


def flat(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The operations that touch the database, also those inside ``SeparateDatabaseAndState``."""
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from flat(operation.database_operations)
        else:
            yield operation


def _is_gentle(operation: Operation) -> bool:
    """By name: importing django.contrib.postgres needs a driver that other databases do not."""
    return any(each.__name__ in ("AddIndexConcurrently", "AddConstraintNotValid") for each in type(operation).__mro__)


def _sql_texts(sql: Any) -> list[str]:
    """RunSQL takes a text, or a list of texts and of pairs of text and parameters."""
    if isinstance(sql, str):
        return [sql]
    return [each if isinstance(each, str) else str(each[0]) for each in sql]
