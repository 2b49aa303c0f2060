"""Fill the demo shop and make its three users."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import QuerySet
from tqdm import tqdm

from ...generator import generate
from ...models import Customer, Order

PASSWORD = "demo"


class Command(BaseCommand):
    help = "Fill the demo shop with customers and orders, and make the users ana, ben and viewer. Keeps what is there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--customers", type=int, default=50_000)
        parser.add_argument("--orders", type=int, default=200_000)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["customers"] < 1 or options["orders"] < 0:
            raise CommandError("A shop needs at least one customer, and cannot have less than no orders.")
        self._users()
        using = options["database"]
        if Customer.objects.using(using).exists():
            self._say(f"The shop has data already; it is kept ({Customer.objects.using(using).count():,} customers).")
            return
        with tqdm(
            total=options["customers"] + options["orders"],
            desc="Demo data",
            unit=" rows",
            disable=options["verbosity"] < 1 or None,
        ) as bar:
            generate(
                using=using,
                customers=options["customers"],
                orders=options["orders"],
                seed=options["seed"],
                progress=bar.update,
            )
        self._say(
            f"Loaded {Customer.objects.using(using).count():,} customers "
            f"and {Order.objects.using(using).count():,} orders."
        )

    def _say(self, text: str) -> None:
        self.stdout.write(text)

    def _users(self) -> None:
        """Make the administrator, one to approve and one who may only look; nobody's password is changed."""
        with transaction.atomic(using=User.objects.db):
            if not User.objects.filter(username="ana").exists():
                User.objects.create_superuser("ana", "ana@example.com", PASSWORD, first_name="Ana")
            looking = Permission.objects.filter(
                codename__startswith="view_", content_type__app_label__in=("console", "data_migrations", "shop")
            )
            approving = Permission.objects.filter(
                codename__in=("approve_run", "dry_run_migration"), content_type__app_label="console"
            )
            self._staff("ben", looking | approving)
            self._staff("viewer", looking)

    def _staff(self, username: str, permissions: QuerySet[Permission]) -> None:
        user, created = User.objects.get_or_create(
            username=username, defaults={"is_staff": True, "email": f"{username}@example.com"}
        )
        if created:
            user.set_password(PASSWORD)
            user.save()
            user.user_permissions.set(permissions)
