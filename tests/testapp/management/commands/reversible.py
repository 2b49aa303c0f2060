"""Adds ten to every item, and can take it away again."""

from django.db.models import F

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Add ten to every item"
    migration_name = "reversible_v2_2026_01_06"

    def perform_migration(self, dry_run=False):
        return self.get_model("testapp.Item").objects.using(self.using).update(amount=F("amount") + 10)

    def reverse_migration(self, dry_run=False):
        return self.get_model("testapp.Item").objects.using(self.using).update(amount=F("amount") - 10)
