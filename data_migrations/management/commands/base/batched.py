"""The base class of data migrations that go through many rows, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from .... import windows
from ....batches import Batch, GeneratorSource, QuerysetBatch, QuerysetSource, Source
from ....exceptions import Misconfigured
from ....keyset import PickedPage
from ....progress import Progress
from ....work import RunRequest
from .idempotent import IdempotentCommand


class BatchedCommand(IdempotentCommand):
    """A data migration whose work is cut into batches, each of which commits with its checkpoint.

    Write ``get_queryset`` and ``perform_batch``; or ``get_batches`` for another source than a table.
    However often it is killed, each row is worked on once.
    """

    in_batches: bool = True

    batch_size: int = 1000
    """Rows in a batch, or in the first one where ``target_batch_seconds`` is set."""
    target_batch_seconds: float | None = None
    """How long a batch should take; the size adapts to it. None keeps the size."""
    window: Sequence[str] | None = None
    """When it may work, each day by the clock of ``TIME_ZONE``: ("22:00", "06:00"). None takes the setting ``WINDOW``;
    () takes none."""
    window_policy = windows.WAIT
    pause_seconds: float = 0.0
    """The pause between two batches."""
    on_row_error: str = "fail"
    """"fail", or "quarantine": set aside the rows that fail and go on with the others."""
    works_elsewhere: bool = False
    """Whether ``perform_batch`` does something outside of this database with the rows that it reads.

    Then they are always locked when they are loaded, and each batch stores its checkpoint, also where nothing is
    written to this database.
    """
    dry_run_batches: int = 3
    """How many batches a dry run does; 0 does all."""
    dry_run_samples: int = 5
    """How many rows a dry run shows before and after; 0 where nobody should see them."""

    # What an author writes.

    def get_queryset(self) -> QuerySet[Any]:
        """The rows to go through, in any order and not sliced."""
        raise NotImplementedError(f"{type(self).__module__} needs a get_queryset() or a get_batches() method.")

    def perform_batch(self, batch: Any) -> int | None:
        """Do the work on one batch, in its transaction.

        Returns:
            The rows done; None counts the rows seen.
        """
        raise NotImplementedError(f"{type(self).__module__} needs a perform_batch() method.")

    def get_batches(self, cursor: Any) -> Iterator[tuple[Sequence[Any], Any]]:
        """Yield ``(items, next_cursor)`` from where the cursor says, None being the start.

        The cursor has to be JSON-serialisable. A queryset needs no ``get_batches``.
        """
        raise NotImplementedError

    def count_items(self) -> int | None:
        """How many items ``get_batches`` has in all, where that is known."""
        return None

    def throttle(self) -> str | None:
        """A reason to wait before the next batch, or None to go on; asked again every second while it waits."""
        return None

    # The command line.

    def add_arguments(self, parser: CommandParser) -> None:
        """The options of batches besides those of every data migration."""
        super().add_arguments(parser)
        parser.add_argument("--batch-size", type=_positive, metavar="ROWS", help="Rows in the first batch.")
        parser.add_argument("--pause", type=float, metavar="SECONDS", help="Pause between two batches.")
        parser.add_argument("--limit-batches", type=_positive, metavar="N", help="Stop after so many batches.")
        parser.add_argument("--ignore-window", action="store_true", help="Work outside its daily window, too.")
        parser.add_argument("--restart", action="store_true", help="Forget the checkpoint and begin anew; asks first.")
        parser.add_argument("--no-input", action="store_true", help="Do not ask.")
        parser.add_argument(
            "--dry-run-batches",
            type=int,
            default=self.dry_run_batches,
            metavar="N",
            help="How many batches a dry run does; 0 does all.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask before a checkpoint is dropped, then run."""
        if options["restart"] and not options["dry_run"] and not options["no_input"]:
            answer = input(
                f"Drop the checkpoint of {self.migration_name}? Rows already worked on will be worked on again. "
                "Type yes to do so: "
            )
            if answer != "yes":
                raise CommandError("Nothing was changed.")
        super().handle(*args, **options)

    # What the executor asks for.

    def bind(self, request: RunRequest, progress: Progress) -> None:
        """Take on, besides, what this run does outside its daily window."""
        super().bind(request, progress)
        self.window_policy = windows.IGNORE if self.options.get("ignore_window") else request.window

    def make_source(self) -> Source:
        """Where the batches come from: ``get_batches`` where the author wrote it, else the queryset."""
        if type(self).get_batches is not BatchedCommand.get_batches:
            return GeneratorSource(self.get_batches, self.count_items)
        return QuerysetSource(self.get_queryset(), self.using)

    def batch_of_keys(self, keys: Sequence[Any]) -> Batch:
        """The rows of these keys as a batch, to try quarantined ones again."""
        source = self.make_source()
        if not isinstance(source, QuerysetSource):
            raise Misconfigured("Only rows of a queryset can be quarantined.")
        keyset = source.keyset
        return QuerysetBatch(keyset, 0, PickedPage.of(keyset, keyset.unfiltered, keys))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
