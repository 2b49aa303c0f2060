"""Writes, deletes and sends e-mail whatever it was asked."""

from django.core.mail import send_mail

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Ignore that it is a dry run"
    migration_name = "careless_2026_01_10"

    def perform_migration(self, dry_run=False):
        items = self.get_model("testapp.Item").objects.using(self.using)
        items.create(name="new")
        items.exclude(name="new").update(amount=5)
        items.filter(name="item 1").delete()
        send_mail("Hello", "body", "from@example.com", ["to@example.com"])
        return "done"
