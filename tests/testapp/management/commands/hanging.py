"""Changes something and then hangs, in whichever way it is asked."""

import time

from django.db import connections

from data_migrations.management.commands.base import IdempotentCommand


class Command(IdempotentCommand):
    help = "Hang in a statement, a loop or a sleep"
    migration_name = "hanging_2026_02_04"

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--how", choices=["statement", "loop", "sleep", "stubborn"], default="sleep")

    def perform_migration(self, dry_run=False):
        self.get_model("testapp.Item").objects.using(self.using).update(amount=5)
        self.stdout.write("hanging")
        if self.options["how"] == "sleep":
            time.sleep(600)
        while self.options["how"] == "loop":
            pass
        while self.options["how"] == "stubborn":
            try:
                time.sleep(600)
            except BaseException:
                continue
        connection = connections[self.using]
        statement = {
            "postgresql": "SELECT pg_sleep(600)",
            "mysql": "SELECT SLEEP(600)",
            "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
        }[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(statement)
