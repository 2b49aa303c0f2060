"""The smallest useful data migration: one UPDATE."""

from __future__ import annotations

from django.db.models import F
from django.db.models.functions import Lower, Trim

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Lower-case every customer's e-mail address and cut the spaces around it."
    migration_name = "normalize_customer_emails_v1_2026_11_02"

    def perform_migration(self, dry_run: bool = False) -> int:
        customers = self.get_model("shop.Customer").objects.using(self.using)
        untidy = customers.exclude(email=Lower(Trim(F("email"))))
        if dry_run:
            for email in untidy.order_by("pk").values_list("email", flat=True)[:5]:
                self.stdout.write(f"for example: {email!r} → {email.strip().lower()!r}")
        return untidy.update(email=Lower(Trim(F("email"))))
