"""Viewing and managing the ledger from a shell."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from ... import databases, ledger, quarantine, registry
from ...exceptions import UnknownMigration
from ...models import NAME_LENGTH
from ...reporting import Door
from ...status import MigrationStatus, State, statuses
from ...words import counted
from ...work import current_actor
from ..batches import NAME_HELP, BatchVerbs


class Command(BatchVerbs, BaseCommand):
    help = "Show which data migrations are applied, and mark or unmark their records."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subparser for each verb."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|mark|unmark|quarantine|tune")
        listing = verbs.add_parser("list", help="All registered and all recorded data migrations.")
        listing.add_argument("--name", default="", metavar="TEXT", help="Only those whose name contains this.")
        listing.add_argument("--pending", action="store_true", help="Only those that are not applied.")
        listing.add_argument("--format", choices=("table", "json"), default="table")
        listing.add_argument(
            "--check", action="store_true", help="Exit with status 1 where any of those shown is not applied."
        )
        mark = verbs.add_parser("mark", help="Record as applied without running.")
        unmark = verbs.add_parser("unmark", help="Take records out without undoing anything.")
        for verb in (mark, unmark):
            verb.add_argument("names", nargs="+", metavar="NAME", help=NAME_HELP)
            verb.add_argument("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
            verb.add_argument(
                "--allow-unregistered",
                action="store_true",
                help="Take names that are neither in the code nor recorded.",
            )
        for verb in (listing, mark, unmark, *self.add_batch_verbs(verbs)):
            verb.add_argument("--database", default=DEFAULT_DB_ALIAS, help="The database alias.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the verb."""
        getattr(self, f"do_{options['verb']}")(**options)

    def do_list(self, *, database: str, name: str, pending: bool, format: str, check: bool, **options: Any) -> None:
        """Print the migrations and their states."""
        shown = [
            status
            for status in statuses(database)
            if name.lower() in status.name.lower() and not (pending and status.record is not None)
        ]
        if format == "json":
            self.stdout.write(json.dumps([_as_json(status, database) for status in shown], indent=2))
        elif shown:
            self._write_table(shown, database)
        else:
            self.stdout.write("No data migrations." if not name and not pending else "No data migrations match.")
        unapplied = [status for status in shown if status.record is None]
        if check and unapplied:
            are = "is" if len(unapplied) == 1 else "are"
            raise CommandError(f"{len(unapplied):,} of these data migrations {are} not applied.", returncode=1)

    def do_mark(
        self, *, names: list[str], database: str, reason: str, allow_unregistered: bool, **options: Any
    ) -> None:
        """Write records."""
        databases.require(database)
        ledger.require_tables(database)
        names = self._known(names, database, allow_unregistered)
        checksums = {m.name: m.checksum for m in registry.all_migrations()}
        done = ledger.mark(
            names, using=database, by=current_actor(), reason=reason, door=Door.MARKED, checksums=checksums
        )
        self._say(names, done, "Marked as applied: ", "Already applied: ")

    def do_unmark(
        self, *, names: list[str], database: str, reason: str, allow_unregistered: bool, **options: Any
    ) -> None:
        """Take records out."""
        databases.require(database)
        ledger.require_tables(database)
        names = self._known(names, database, allow_unregistered)
        done = ledger.unmark(names, using=database, by=current_actor(), reason=reason)
        self._say(names, done, "Record removed: ", "Was not applied: ")

    def _known(self, names: list[str], database: str, allow_unregistered: bool) -> list[str]:
        """The migration names that are meant, each of them known or allowed not to be."""
        recorded = set(ledger.applied(database))
        candidates = {m.name for m in registry.all_migrations()} | recorded
        found = [registry.named(name, recorded) for name in names]
        for name in found:
            if not name or len(name) > NAME_LENGTH:
                raise UnknownMigration(f"A name has 1 to {NAME_LENGTH} characters. Nothing was changed.")
            if name not in candidates and not allow_unregistered:
                raise UnknownMigration(
                    f"{registry.unknown(name, sorted(candidates))} With --allow-unregistered it is taken as it is."
                )
        return found

    def _say(self, names: list[str], done: list[str], changed: str, unchanged: str) -> None:
        for name in dict.fromkeys(names):
            if name in done:
                self.stdout.write(self.style.SUCCESS(changed + name))
            else:
                self.stdout.write(unchanged + name)

    def _write_table(self, shown: list[MigrationStatus], database: str) -> None:
        rows = [("STATE", "NAME", "COMMAND", "APPLIED AT", "BY", "DOOR")]
        for status in shown:
            record, registered = status.record, status.registered
            rows.append(
                (
                    status.state + (" (changed since)" if status.changed else ""),
                    status.name,
                    registered.command_name if registered else "-",
                    f"{record.applied_at:%Y-%m-%d %H:%M:%S}" if record else "-",
                    record.by if record else "-",
                    record.door if record else "-",
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for number, row in enumerate(rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            style = self.style.MIGRATE_HEADING if number == 0 else self._styles(shown[number - 1].state)
            self.stdout.write(style(line))
        for status in shown:
            for note in _notes(status, database):
                self.stdout.write(self.style.WARNING(f"{status.name}: {note}"))

    def _styles(self, state: State) -> Any:
        return {
            State.APPLIED: self.style.SUCCESS,
            State.INTERRUPTED: self.style.ERROR,
            State.QUARANTINED: self.style.ERROR,
            State.BROKEN: self.style.ERROR,
            State.RUNNING: self.style.NOTICE,
            State.UNREGISTERED: self.style.WARNING,
        }.get(state, str)


def _notes(status: MigrationStatus, database: str) -> list[str]:
    notes = [status.note] if status.note else []
    if status.state == State.RUNNING:
        notes.append(f"is being run by {status.holder}.")
    if status.state == State.UNREGISTERED:
        notes.append("is recorded, but not in the code any more.")
    if status.state == State.BROKEN and status.registered:
        notes.append(f"cannot be imported: {status.registered.error.strip().splitlines()[-1]}")
    again = "run it again with --force" if status.record else "run it again"
    if status.state == State.QUARANTINED:
        is_one = status.set_aside == 1
        them = "it" if is_one else "them"
        notes.append(
            f"{counted(status.set_aside, 'row')} {'is' if is_one else 'are'} set aside: mend {them} and {again}, or "
            f'accept {them} with "{quarantine.how_to_accept(status.name, database)}".'
        )
    if status.state == State.INTERRUPTED and status.is_through:
        notes.append(f"is through with all its rows, but not recorded as applied; {again}.")
    elif status.state == State.INTERRUPTED:
        aside = f" ({counted(status.set_aside, 'row')} set aside so far)" if status.set_aside else ""
        notes.append(f"began and did not come to its end{aside}; {again}.")
    return notes


def _as_json(status: MigrationStatus, database: str) -> dict[str, Any]:
    record, registered = status.record, status.registered
    return {
        "name": status.name,
        "state": status.state,
        "command": registered.command_name if registered else None,
        "app": registered.app_label if registered else None,
        "applied_at": record.applied_at.isoformat() if record else None,
        "by": record.by if record else None,
        "door": record.door if record else None,
        "duration": record.duration if record else None,
        "affected_rows": record.affected_rows if record else None,
        "result": record.result if record else None,
        "times_applied": record.times_applied if record else 0,
        "changed_since_applied": status.changed,
        "set_aside": status.set_aside,
        "notes": _notes(status, database),
    }
