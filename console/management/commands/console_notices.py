"""``manage.py console_notices``: try the channels, send what is due, have what was given up tried again."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console import channels, conf, outbox, wording
from console.channels import NobodyToTell, NotSent


class Command(BaseCommand):
    """Parses, calls ``channels`` or ``outbox``, and says what came of it."""

    help = "The notices of the console: test the channels, send what is due now, try again what was given up."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subcommand each."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        test = verbs.add_parser("test", help="Send a test notice by every channel, or by one, at once.")
        test.add_argument("--channel", metavar="NAME", help='Only this one: "email", or a name in NOTIFY_URLS.')
        verbs.add_parser("send", help="Send what is due now; for sites whose workers do not always run.")
        verbs.add_parser("retry", help="Have notices that were given up tried again.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked for."""
        if options["verb"] == "test":
            self._test(options["channel"])
        elif options["verb"] == "send":
            sent, failed = outbox.send_due()
            self.stdout.write(f"Sent: {sent}. Not sent: {failed}.")
        else:
            self.stdout.write(f"To be tried again by the next worker that looks: {outbox.retry()}.")

    def _test(self, only: str | None) -> None:
        """Try each channel; exit status 1 where one does not work."""
        known = [name for name in channels.names() if name != channels.REQUESTER and channels.usable(name, "")]
        if only is not None and only not in known:
            raise CommandError(
                f"There is no channel {only!r}. " + (f"There are {', '.join(known)}." if known else NONE_THERE)
            )
        if not known:
            raise CommandError(NONE_THERE)
        where = wording.line(conf.get("ENVIRONMENT") or "data migrations", 50)
        site = str(conf.get("SITE_URL") or "")
        text = "This is a test of the console's notices. They come by this channel."
        bad = []
        for name in [only] if only else known:
            try:
                channels.send(
                    name, f"[{where}] Test", f"{text}\n\n{site}\n" if site else f"{text}\n", ident=uuid.uuid4().hex
                )
            except (NotSent, NobodyToTell) as error:
                bad.append(name)
                self.stderr.write(f"{name}: not sent. {error}")
            else:
                self.stdout.write(f"{name}: sent.")
        if bad:
            raise CommandError(f"Not every channel works: {', '.join(bad)}. See above, and CONSOLE in the settings.")


NONE_THERE = "No channel is set up: CONSOLE['NOTIFY_EMAILS'] and CONSOLE['NOTIFY_URLS'] are empty."
