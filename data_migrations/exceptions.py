"""Everything that can go wrong, in words that say what happened and what to do next.

A class's docstring is its default message. Each is a ``CommandError``, so that a
shell shows the message without a traceback and exits with ``returncode``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

EXIT_FAILED = 1
EXIT_REFUSED = 3
EXIT_STOPPED = 4


class DataMigrationError(CommandError):
    """The data migration failed."""

    exit_status = EXIT_FAILED

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("returncode", self.exit_status)
        super().__init__(message or (self.__doc__ or "").strip(), **kwargs)


class Misconfigured(DataMigrationError):
    """The data migration is not set up correctly. Run "manage.py check" for the details."""


class UnknownMigration(DataMigrationError):
    """There is no data migration of that name. "manage.py custom_migrations list" shows the known ones."""


class BrokenMigration(DataMigrationError):
    """The module of this data migration cannot be imported. Fix the import, then run it again."""


class InvalidArgument(DataMigrationError):
    """An argument has a value that the data migration does not take. Nothing was run."""


class WrongValue(InvalidArgument):
    """An argument was given no value that it takes.

    Args:
        dest: which argument.
        what: what is wrong with its value, a sentence that begins small.
    """

    def __init__(self, dest: str, what: str) -> None:
        super().__init__(f"Argument {dest!r}: {what} Nothing was run.")
        self.dest = dest
        self.what = what


class LedgerMissing(DataMigrationError):
    """The tables of data_migrations do not exist in this database yet. Run "manage.py migrate data_migrations"."""


class DatabaseUnavailable(DataMigrationError):
    """The database does not answer. Nothing was run; start it, or check DATABASES, and run again."""


class MigrationFailed(DataMigrationError):
    """The data migration raised an error.

    Args:
        what: what happened.
        kept: what of it is kept.
        todo: what to do next, for one at a shell; the message has all three.
    """

    def __init__(self, what: str = "", kept: str = "", todo: str = "") -> None:
        super().__init__(" ".join(part for part in (what, kept, todo) if part))
        self.what = what
        self.kept = kept


class VerificationFailed(MigrationFailed):
    """verify() did not accept the result."""


class BatchFailed(MigrationFailed):
    """A batch failed; the batches before it are kept."""


class QuarantineNotEmpty(MigrationFailed):
    """Everything else is done, but rows were set aside; they have to go through or to be accepted."""


class LeaseLost(DataMigrationError):
    """Another process took this data migration over while this one was not answering.

    Nothing of this run was committed after that; the other process does the work.
    """


class Refused(DataMigrationError):
    """The data migration was not started."""

    exit_status = EXIT_REFUSED


class AlreadyRunning(Refused):
    """Another process is running this data migration. Nothing was started here."""


class DependencyNotApplied(Refused):
    """A data migration or schema migration that this one depends on is not applied. Nothing was started."""


class SourceRefused(Refused):
    """The file that the rows come from cannot be used as it is."""


class NotReversible(Refused):
    """This data migration has no reverse_migration(). Nothing was started."""


class StoppedEarly(DataMigrationError):
    """The data migration was stopped before its end.

    Args:
        reason: in a word or two, what stopped it.
        kept: what of it is kept.
        todo: what to do next, for one at a shell; the message has all three.
    """

    exit_status = EXIT_STOPPED

    def __init__(self, message: str, *, reason: str, kept: str = "", todo: str = "") -> None:
        super().__init__(" ".join(part for part in (message, kept, todo) if part))
        self.reason = reason
        self.kept = kept


class OutsideWindow(StoppedEarly):
    """The data migration stopped because its daily window is closed. What was committed is kept.

    Args:
        opens_at: when the window opens again.
    """

    def __init__(self, name: str, window: object, opens_at: datetime) -> None:
        self.opens_at = opens_at
        super().__init__(
            f"{name} works from {window} only. Its finished batches are kept; it goes on when that opens again.",
            reason="window",
        )
