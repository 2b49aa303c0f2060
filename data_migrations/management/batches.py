"""The verbs of ``custom_migrations`` that are about batches: what was set aside, and how fast a run goes."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .. import checkpoints, databases, ledger, quarantine, registry
from ..exceptions import Refused, UnknownMigration
from ..models import QuarantinedRow
from ..words import counted
from ..work import current_actor

NAME_HELP = "The name of a data migration, or of its command."


class BatchVerbs(BaseCommand):
    """``quarantine`` and ``tune``."""

    def add_batch_verbs(self, verbs: Any) -> list[Any]:
        """Add the subparsers and give them."""
        rows = verbs.add_parser("quarantine", help="The rows that a batched data migration set aside.")
        rows.add_argument("name", metavar="NAME", help=NAME_HELP)
        rows.add_argument("--accept", action="store_true", help="Take it that those rows stay as they are.")
        rows.add_argument("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
        rows.add_argument("--retry-info", action="store_true", help="Say how they are tried again, and the tracebacks.")
        rows.add_argument("--format", choices=("table", "json"), default="table")
        tune = verbs.add_parser("tune", help="Change batch size and pause of a batched data migration under way.")
        tune.add_argument("name", metavar="NAME", help=NAME_HELP)
        tune.add_argument("--batch-size", type=int, metavar="ROWS", help="Rows in a batch from now on.")
        tune.add_argument("--pause", type=float, metavar="SECONDS", help="Pause between two batches from now on.")
        return [rows, tune]

    def do_quarantine(
        self, *, name: str, database: str, accept: bool, reason: str, retry_info: bool, format: str, **options: Any
    ) -> None:
        """Show the rows that were set aside, or accept them."""
        name = registry.named(name)
        self._require_batched(name, database)
        if accept:
            if not reason.strip():
                raise CommandError("Say why with --reason TEXT; it is kept in the history. Nothing was changed.")
            count = quarantine.accept(name, database, by=current_actor(), reason=reason)
            if not count:
                self.stdout.write(f"{name} has no rows that were set aside to accept.")
                return
            self.stdout.write(self.style.SUCCESS(f"Accepted: {counted(count, 'row')} of {name}."))
            if not ledger.is_applied(name, database):
                self.stdout.write(f"Run it again, and it counts as applied: {self._how_to_run(name, database)}")
            return
        rows = quarantine.every(name, database)
        if format == "json":
            self.stdout.write(json.dumps([_as_json(row) for row in rows], indent=2))
            return
        waiting = [row for row in rows if row.accepted_at is None]
        for row in waiting:
            self.stdout.write(f"{row.words}  {row.error}")
            if retry_info:
                self.stdout.write(row.traceback)
        accepted = len(rows) - len(waiting)
        tail = f"; {accepted:,} accepted before" if accepted else ""
        self.stdout.write(f"Quarantined rows of {name}: {len(waiting):,}{tail}.")
        if waiting and retry_info:
            self.stdout.write(
                f"Mend their cause and run {self._how_to_run(name, database)} again: it tries these rows first, those "
                "that go through leave the quarantine, and once it is empty the migration counts as applied. To leave "
                f'them as they are: "{quarantine.how_to_accept(name, database)}".'
            )

    def do_tune(self, *, name: str, database: str, batch_size: int | None, pause: float | None, **options: Any) -> None:
        """Write the wish, which a run reads within a second or so."""
        name = registry.named(name)
        self._require_batched(name, database)
        if (batch_size is not None and batch_size < 1) or (pause is not None and pause < 0):
            raise CommandError("A batch has at least one row, and a pause is not negative. Nothing was changed.")
        given = {"batch_size": batch_size, "pause": pause}
        wanted: dict[str, int | float | None] = {key: value for key, value in given.items() if value is not None}
        if not wanted:
            raise CommandError("Say --batch-size ROWS, --pause SECONDS, or both. Nothing was changed.")
        if not checkpoints.wish(name, database, **wanted):
            raise Refused(
                f"{name} is not under way in {database!r}: none of its batches is kept there, or all are done. Nothing "
                "was changed. Give --batch-size and --pause when it is started."
            )
        words = [f"batch size {batch_size}"] * (batch_size is not None) + [f"pause {pause} s"] * (pause is not None)
        self.stdout.write(self.style.SUCCESS(f"{name}: {', '.join(words)} from its next batches on."))

    def _require_batched(self, name: str, database: str) -> None:
        """Refuse a name that is neither in the code nor among what was set aside."""
        databases.require(database)
        ledger.require_tables(database)
        names = {m.name for m in registry.all_migrations()}
        if name not in names and not quarantine.every(name, database):
            raise UnknownMigration(registry.unknown(name, sorted(names)))

    def _how_to_run(self, name: str, database: str) -> str:
        commands = [m.command_name for m in registry.all_migrations() if m.name == name]
        option = "" if database == "default" else f" --database {database}"
        return f'"manage.py {commands[0]}{option}"' if commands else "its command"


def _as_json(row: QuarantinedRow) -> dict[str, Any]:
    return {
        "key": json.loads(row.key),
        "model": row.model,
        "error": row.error,
        "traceback": row.traceback,
        "at": row.at.isoformat(),
        "accepted_at": row.accepted_at.isoformat() if row.accepted_at else None,
        "accepted_by": row.accepted_by,
        "accepted_reason": row.accepted_reason,
    }
