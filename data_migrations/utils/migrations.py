"""Running a data migration from a Django migration, or from any code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from django.core.management.base import OutputWrapper
from django.core.management.color import color_style
from django.db import DEFAULT_DB_ALIAS, router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.state import ProjectState

from .. import arguments, executor, ledger, registry, stopping, windows
from ..exceptions import DataMigrationError, LedgerMissing, Misconfigured
from ..execution import Execution, Turn
from ..progress import Progress
from ..reporting import Door, Outcome
from ..stopping import StopFlag
from ..terminal import TerminalReporter
from ..work import RunRequest, current_actor

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["RunDataMigration", "run_once"]


class RunDataMigration(Operation):
    """A Django migration operation that runs a data migration, once.

    Runs it with the historical models, against the database that is being migrated, where the router
    allows it, and inside the migration's transaction if it has one. Backwards it calls
    ``reverse_migration`` if there is one and takes the record out in any case.

    Args:
        command_name: the management command's name.
        command_options: values of the command's own arguments, by dest.
        elidable: whether squashing may leave it out.

    Raises, when the migration is run:
        UnknownMigration, BrokenMigration, InvalidArgument, LedgerMissing, Misconfigured, and whatever
        else ``executor.execute`` raises; the Django migration then is not applied.
    """

    # True, Django's default, would have sqlmigrate execute the operation to collect its SQL.
    reduces_to_sql = False
    reversible = True
    category = OperationCategory.PYTHON

    def __init__(
        self, command_name: str, command_options: Mapping[str, Any] | None = None, elidable: bool = False
    ) -> None:
        self.command_name = command_name
        self.command_options = command_options
        self.elidable = elidable  # type: ignore[misc]

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        """What the migration writer puts into a file."""
        kwargs: dict[str, Any] = {}
        if self.command_options:
            kwargs["command_options"] = self.command_options
        if self.elidable:
            kwargs["elidable"] = True
        return (type(self).__qualname__, [self.command_name], kwargs)

    def describe(self) -> str:
        """The line in ``migrate --plan``."""
        return f"Run data migration {self.command_name}"

    @property
    def migration_name_fragment(self) -> str:
        """The part of an automatic file name."""
        return f"run_{self.command_name.lower()}"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Data is not state."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Run it, unless the router keeps this app out of this database."""
        if self._is_for(app_label, schema_editor):
            self._run(app_label, schema_editor, from_state, reverse=False)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Reverse it where it can be, and take the record out."""
        if not self._is_for(app_label, schema_editor):
            return
        command = self._command(app_label)
        using = schema_editor.connection.alias
        if command.is_reversible():
            self._run(app_label, schema_editor, from_state, reverse=True)
        else:
            ledger.require_tables(using)
            ledger.unmark(
                [command.migration_name],
                using=using,
                by=current_actor(),
                door=Door.MIGRATE,
                reason=f"{app_label} migrated backwards; the command has no reverse_migration",
            )
        # What comes next may take away the very columns that an unfinished run has filled so far.
        ledger.settle(command.migration_name, using)

    def _is_for(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor) -> bool:
        if schema_editor.collect_sql:
            return False
        return router.allow_migrate(schema_editor.connection.alias, app_label, model_name=None)

    def _command(self, app_label: str) -> Any:
        out, err = OutputWrapper(sys.stdout), OutputWrapper(sys.stderr)
        try:
            command_class = registry.get_command(self.command_name)
        except DataMigrationError as error:
            raise type(error)(
                f"A migration of {app_label} runs the data migration {self.command_name!r}: {error} "
                "If the command was removed on purpose, take the RunDataMigration out of the Django migration."
            ) from error
        return command_class(stdout=out, stderr=err)

    def _run(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState, *, reverse: bool
    ) -> Outcome:
        command = self._command(app_label)
        if schema_editor.atomic_migration and not command.atomic:
            raise Misconfigured(
                f"The data migration {self.command_name!r} has atomic = False, but the Django migration of "
                f"{app_label} that runs it opens a transaction, so it could not keep its word. Nothing was run. "
                "Set atomic = False on the Migration class, with nothing else in that migration."
            )
        options = arguments.to_options(command, self.command_options or {})
        command.accept(options)
        # As RunPython does: models rendered before a delayed change would be stale.
        state.clear_delayed_apps_cache()
        request = RunRequest(
            using=schema_editor.connection.alias,
            door=Door.MIGRATE,
            by=current_actor(),
            reverse=reverse,
            # A deploy that stands still until tonight would be worse than work by day.
            window=windows.IGNORE,
            arguments=arguments.masked(command, options),
            secrets=arguments.secrets(command, options),
            apps=state.apps,
        )
        stop = StopFlag()
        terminal = TerminalReporter(command.stdout, command.stderr, color_style())
        try:
            with stopping.signals(stop, lambda text: terminal.message("warning", text)):
                return executor.execute(command, request, [terminal], stop)
        except LedgerMissing as error:
            raise LedgerMissing(
                f'The Django migration of {app_label} that runs {self.command_name!r} needs ("data_migrations", '
                f'"0001_initial") among its dependencies: {error}'
            ) from error


class _Block:
    """The body of ``run_once`` as the executor sees it."""

    in_batches = False
    command_name: str = ""
    disable_audit = False
    depends_on: Sequence[str] = ()
    requires_schema: Sequence[tuple[str, str]] = ()

    def __init__(self, name: str, atomic: bool) -> None:
        self.migration_name = name
        self.atomic = atomic

    @classmethod
    def is_reversible(cls) -> bool:
        return False

    def bind(self, request: RunRequest, progress: Progress) -> None:
        pass

    def streams(self) -> Sequence[OutputWrapper]:
        return ()

    def source_checksum(self) -> str:
        return ""

    def perform_migration(self, dry_run: bool = False) -> Any:
        raise NotImplementedError

    def reverse_migration(self, dry_run: bool = False) -> Any:
        raise NotImplementedError

    def verify(self) -> Any:
        pass


class run_once:
    """Run a block, or a function, exactly once in every environment, on the same ledger as the commands.

    ::

        with run_once("fix_currency_2026_11_21") as first:
            if first:
                ...

        @run_once("fix_currency_2026_11_21")
        def fix_currency(): ...

    The block's changes and the record are one transaction. A second starter waits for the first and
    then gets False; a decorated function then is not called and gives None.

    Args:
        name: the name in the ledger.
        using: the database alias.
        atomic: False opens no transaction around the block.
        wait: whether to wait for another process; ``lock_timeout`` is in seconds.

    Raises:
        AlreadyRunning, LedgerMissing, DatabaseUnavailable, LeaseLost. An error of the block itself goes
        through as it is, after everything was undone.
    """

    def __init__(
        self,
        name: str,
        using: str = DEFAULT_DB_ALIAS,
        *,
        atomic: bool = True,
        wait: bool = True,
        lock_timeout: float | None = None,
        reason: str = "",
    ) -> None:
        self.name = name
        self.atomic = atomic
        self.options: dict[str, Any] = {
            "using": using,
            "wait": wait,
            "lock_timeout": lock_timeout,
            "reason": reason,
        }
        self._stack: list[tuple[ExitStack, Execution, Turn]] = []

    def __enter__(self) -> bool:
        request = RunRequest(by=current_actor(), door=Door.CODE, **self.options)
        execution = executor.prepare(_Block(self.name, self.atomic), request, [])
        with ExitStack() as stack:
            stack.enter_context(execution.reported())
            execution.check()
            turn = stack.enter_context(execution.turn())
            self._stack.append((stack.pop_all(), execution, turn))
        return turn.needed

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        stack, execution, turn = self._stack.pop()
        try:
            stack.__exit__(kind, error, trace)
        except DataMigrationError as named:
            # The block's own error goes through; the record of the run has it in our words.
            if error is None or named.__cause__ is not error:
                raise
        if error is None:
            execution.finish(turn.done)

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            # Each call on its own, since several threads may make one.
            with run_once(self.name, atomic=self.atomic, **self.options) as first:
                return function(*args, **kwargs) if first else None

        return wrapper  # type: ignore[return-value]
