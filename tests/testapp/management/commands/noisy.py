"""Prints in every way there is."""

import logging
import sys
import warnings

from data_migrations.management.commands.base import IdempotentCommand

logger = logging.getLogger("tests.noisy")


class Command(IdempotentCommand):
    help = "Print in every way there is"
    migration_name = "noisy_2026_01_08"

    def perform_migration(self, dry_run=False):
        self.stdout.write("through self.stdout")
        self.stderr.write("through self.stderr")
        print("through print")
        print("through print to stderr", file=sys.stderr)
        logger.warning("through %s", "logging")
        warnings.warn("through warnings", UserWarning, stacklevel=1)
        logging.getLogger("django.request").error("through django's own logger")
        self.progress(1, 2)
        self.progress(2, 2)
