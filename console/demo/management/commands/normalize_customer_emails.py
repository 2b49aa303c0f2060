"""The smallest useful data migration: one UPDATE."""

from __future__ import annotations

from itertools import islice

from django.db.models.functions import Lower, Trim

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Lower-case every customer's e-mail address and cut the spaces around it."
    migration_name = "normalize_customer_emails_v1_2026_11_02"

    def perform_migration(self, dry_run: bool = False) -> int:
        customers = self.get_model("shop.Customer").objects.using(self.using)
        if dry_run:
            emails = customers.order_by("pk").values_list("email", flat=True).iterator()
            changes = ((old, new) for old in emails if (new := old.strip().lower()) != old)
            for old, new in islice(changes, 5):
                self.stdout.write(f"for example: {old!r} → {new!r}")
        # Every row: to compare first would miss some on MariaDB, which takes "A@b.c" and "a@b.c" for equal.
        return customers.update(email=Lower(Trim("email")))
