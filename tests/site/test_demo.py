"""The demo shop: its data, its users, and each of its data migrations once through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


class Shop:
    """The site's own manage.py on data of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DATABASE_URL"))},
            "DATA_DIR": str(self.data),
        }
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def ask(self, question: str) -> str:
        """What a line of Python with the shop's models prints."""
        done = self.manage("shell", "-v0", "-c", f"from console.demo.models import *\n{question}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *arguments: str) -> str:
        done = self.manage(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.run("migrate", "--database", "console", "-v0")
    shop.run("migrate", "-v0")
    shop.run("load_demo", "--customers", "200", "--orders", "1000")
    return shop


def test_every_data_migration_of_the_demo_works_once(shop: Shop) -> None:
    # The one inside a Django migration has run with it.
    assert shop.ask("print(Country.objects.count())") == "10"
    told = shop.run("normalize_customer_emails", "--dry-run")
    assert "nothing was kept" in told.lower()
    examples = re.findall("for example: (.+) → (.+)", told)
    assert len(examples) == 5
    assert all(old != new for old, new in examples)
    assert shop.ask("print(Customer.objects.filter(email__startswith=' ').exists())") == "True"
    shop.run("normalize_customer_emails")
    assert shop.ask("print(all(c.email == c.email.strip().lower() for c in Customer.objects.all()))") == "True"

    refused = shop.manage("segment_customers")
    assert refused.returncode == 3
    assert "backfill_order_totals_v1_2026_11_05" in refused.stderr
    shop.run("backfill_order_totals", "--pause", "0", "--chunk", "300")
    assert shop.ask("print(all(o.total * 100 == o.total_cents for o in Order.objects.all()))") == "True"
    shop.run("segment_customers")
    assert shop.ask("print(Customer.objects.filter(segment='').count())") == "0"

    shop.run("close_stale_orders", "--before", "2023-01-01", "--to", "shipped", "--include-paid")
    assert shop.ask("print(Order.objects.filter(status='open', placed_on__lt='2023-01-01').count())") == "0"
    shop.run("archive_old_orders", "--chunk", "100")
    assert shop.ask("print(Order.objects.filter(archived=False, placed_on__year__lt=2026).count())") == "0"

    aside = shop.manage("migrate_customers", "--pause", "0", "--batch-size", "30")
    assert aside.returncode == 1
    assert "was set aside" in aside.stderr
    assert re.fullmatch(r"(\d+ customers moved\n|1 customer moved\n)+", aside.stdout)
    told = shop.run("custom_migrations", "quarantine", "migrate_customers")
    [key] = shop.ask("print(*Customer.objects.exclude(email__contains='@').values_list('pk', flat=True))").split()
    assert f"{key} " in told
    assert "is no e-mail address" in told
    shop.ask("Customer.objects.exclude(email__contains='@').update(email='somewhere@example.com')")
    assert "1 customer moved" in shop.run("migrate_customers", "--pause", "0").splitlines()
    assert shop.ask("print(Customer.objects.filter(needs_migration=True).count())") == "0"

    failed = shop.manage("fill_unique_skus")
    assert failed.returncode == 1
    assert "S-100, S-103" in failed.stderr
    shop.ask("[Product.objects.filter(pk=p.pk).update(sku=f'N-{p.pk}') for p in Product.objects.all()]")
    shop.run("fill_unique_skus")

    # A shell is not asked; the console's worker would wait for a second person.
    assert shop.ask("print(all(p.price_cents % 10 == 0 for p in Product.objects.all()))") == "False"
    shop.run("round_prices")
    assert shop.ask("print(all(p.price_cents % 10 == 0 for p in Product.objects.all()))") == "True"

    assert "already applied" in shop.run("fill_unique_skus")
    assert shop.manage("custom_migrations", "list", "--check").returncode == 0


def test_the_viewer_may_only_look(shop: Shop) -> None:
    permissions = shop.ask(
        "from django.contrib.auth.models import User\n"
        "print(*sorted(p.rsplit('.')[1] for p in User.objects.get(username='viewer').get_all_permissions()))"
    ).split()
    assert permissions
    assert all(permission.startswith("view_") for permission in permissions)
    assert (
        shop.ask("from django.contrib.auth.models import User\nprint(User.objects.get(username='ana').is_superuser)")
        == "True"
    )


def test_a_second_person_is_there_for_what_needs_one(shop: Shop) -> None:
    allowed = shop.ask(
        "from django.contrib.auth.models import User\n"
        "ben = User.objects.get(username='ben')\n"
        "print(ben.has_perm('console.approve_run'), ben.has_perm('console.run_migration'))"
    )
    assert allowed == "True False"
    needed = shop.ask(
        "from console import approval, permissions\n"
        "from console.models import Kind\n"
        "for name in ('round_prices_v1_2026_11_20', 'fill_unique_skus_v1_2026_11_12'):\n"
        "    print(approval.is_needed(permissions.find(name), Kind.RUN))"
    )
    assert needed.split() == ["True", "False"]


def test_loading_again_keeps_what_is_there(shop: Shop) -> None:
    shop.ask("Customer.objects.filter(pk=1).update(email='kept@example.com')")
    assert "it is kept" in shop.run("load_demo", "--customers", "500")
    assert shop.ask("print(Customer.objects.count(), Customer.objects.get(pk=1).email)") == "200 kept@example.com"
