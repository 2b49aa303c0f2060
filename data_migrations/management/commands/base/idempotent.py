"""The base class of every data migration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from django.apps import apps as current_apps
from django.core.management.base import BaseCommand, CommandParser, OutputWrapper
from django.db import DEFAULT_DB_ALIAS

from .... import arguments, executor, groups, registry, reporting, stopping
from ....progress import Progress
from ....reporting import Door
from ....stopping import StopFlag
from ....terminal import TerminalReporter
from ....work import RunRequest, current_actor

T = TypeVar("T")


class IdempotentCommand(BaseCommand):
    """A management command whose work is done exactly once in every environment.

    Set ``migration_name`` and write ``perform_migration``. What the command's own arguments got is in
    ``self.options``.
    """

    in_batches: bool = False

    migration_name: str = ""
    """The name in the ledger, unique; by convention ``{description}_{version}_{YYYY_MM_DD}``."""
    atomic: bool = True
    """One transaction around the work and its record; with False none is opened."""
    disable_audit: bool = False
    """Whether model auditing is off during the run."""
    depends_on: Sequence[str] = ()
    """Names of the data migrations that must be applied first."""
    requires_schema: Sequence[tuple[str, str]] = ()
    """(app label, migration name) of the Django migrations that must be applied first."""
    destructive: bool = False
    """Whether the console asks to type the name before it runs."""
    requires_approval: bool = False
    """Whether the console asks for a second person before it runs."""
    sensitive_arguments: Sequence[str] = ()
    """Dests of own arguments that are masked wherever they are shown or stored."""
    permission: str = ""
    """A Django permission ("app.codename") that the console asks for besides its own."""
    notify: Mapping[str, Sequence[str]] = {}
    """For an event (``failed``, …) the channels of the console's notices, in the place of the site's."""

    using: str = DEFAULT_DB_ALIAS
    verbosity: int = 1
    options: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = {}
        self._apps: Any = current_apps
        self._progress = Progress(reporting.Reporter(), StopFlag())

    # What an author writes.

    def perform_migration(self, dry_run: bool = False) -> Any:
        """Do the work.

        Args:
            dry_run: whether this is one; what is written then is undone in any case.

        Returns:
            A count, a text or None: printed as the result and kept.
        """
        raise NotImplementedError(f"{type(self).__module__} needs a perform_migration() method.")

    def reverse_migration(self, dry_run: bool = False) -> Any:
        """Undo the work; a command that overrides this can be reversed."""
        raise NotImplementedError

    def verify(self) -> Any:
        """Look at the result, inside the same transaction; raise to undo an atomic run and fail any run."""

    # What an author calls.

    def get_model(self, label: str) -> Any:
        """The model ("app.Model"): the historical one inside a Django migration, the current one elsewhere.

        Raises:
            LookupError: there is none of that name.
        """
        return self._apps.get_model(label)

    def progress(self, done: int, total: int | None = None) -> None:
        """Tell how many of how many are done. A run that is asked to stop does so here."""
        self._progress.update(done, total)

    def track(self, iterable: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Pass the items through and tell the progress."""
        return self._progress.track(iterable, total)

    def log_group(self, title: str) -> AbstractContextManager[None]:
        """A part of the log that can be folded, with a heading: ``with self.log_group("Loading"):``."""
        return groups.group(self._progress.reporter, title)

    # The command line.

    def add_arguments(self, parser: CommandParser) -> None:
        """The options that every data migration has; an author's own version calls this one."""
        parser.add_argument("--dry-run", action="store_true", help="Do the work, show what it changes, and undo it.")
        parser.add_argument("--force", action="store_true", help="Run even where it is applied already.")
        parser.add_argument("--reverse", action="store_true", help="Undo it with its reverse_migration().")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="The database alias to run against.")
        parser.add_argument(
            "--no-wait", action="store_true", help="Refuse at once where another process is running it."
        )
        parser.add_argument(
            "--lock-timeout", type=float, metavar="SECONDS", help="How long to wait for another process."
        )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's parser with our options, also where the author's add_arguments forgot to call ours."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if not any(action.dest == "dry_run" for action in parser._actions):
            IdempotentCommand.add_arguments(self, parser)
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        """Run as the options ask, and tell the shell."""
        self.accept(options)
        self.verbosity = options["verbosity"]
        request = RunRequest(
            using=options["database"] or DEFAULT_DB_ALIAS,
            door=Door.SHELL if self._called_from_command_line else Door.CODE,  # type: ignore[attr-defined]
            by=current_actor(),
            dry_run=options["dry_run"],
            force=options["force"],
            reverse=options["reverse"],
            wait=not options["no_wait"],
            lock_timeout=options["lock_timeout"],
            arguments=arguments.masked(self, options),
            secrets=arguments.secrets(self, options),
        )
        stop = StopFlag()
        terminal = TerminalReporter(self.stdout, self.stderr, self.style, self.verbosity)
        with stopping.signals(stop, lambda text: terminal.message("warning", text)):
            executor.execute(self, request, [terminal], stop)

    # What the executor asks for.

    @property
    def command_name(self) -> str:
        """The name that the shell calls it by."""
        return type(self).__module__.rpartition(".")[2]

    @classmethod
    def is_reversible(cls) -> bool:
        """Whether the author wrote a ``reverse_migration``."""
        return cls.reverse_migration is not IdempotentCommand.reverse_migration

    def accept(self, options: dict[str, Any]) -> None:
        """Take the values of the command's own arguments."""
        self.options = options

    def bind(self, request: RunRequest, progress: Progress) -> None:
        """Take on the database, the models and the progress of one run."""
        self.using = request.using
        self._apps = request.apps or current_apps
        self._progress = progress

    def streams(self) -> Sequence[OutputWrapper]:
        """The wrappers whose output is reported."""
        return (self.stdout, self.stderr)

    def source_checksum(self) -> str:
        """SHA-256 of the command's module."""
        return registry.checksum(type(self).__module__)
