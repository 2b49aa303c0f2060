"""What a test that committed leaves behind is gone before the next one."""

from __future__ import annotations

import threading
import time

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from tests import emptying
from tests.data_migrations.factories import ItemFactory
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def permissions() -> list[tuple[int, str]]:
    return list(Permission.objects.order_by("pk").values_list("pk", "codename"))


def test_rows_are_gone_and_permissions_are_as_they_were() -> None:
    before = permissions()
    assert before
    ItemFactory.create_batch(3)
    user = User.objects.create(username="ana")
    user.groups.add(Group.objects.create(name="people"))
    user.user_permissions.add(*Permission.objects.all()[:3])
    emptying.empty("default")
    assert not Item.objects.exists()
    assert not User.objects.exists()
    assert not Group.objects.exists()
    assert permissions() == before


def test_what_a_test_did_to_permissions_is_undone() -> None:
    before, types = permissions(), ContentType.objects.count()
    other = ContentType.objects.create(app_label="gone", model="gone")
    Permission.objects.filter(pk=before[0][0]).delete()
    Permission.objects.create(content_type=other, codename="more", name="more")
    emptying.empty("default")
    assert permissions() == before
    assert ContentType.objects.count() == types
    assert ContentType.objects.get_for_model(Item).pk


def test_a_large_table_is_emptied_and_takes_new_rows() -> None:
    Item.objects.bulk_create([Item(name=f"{number} " + 90 * "x") for number in range(20_000)], batch_size=5000)
    emptying.empty("default")
    assert not Item.objects.exists()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_relation_size('testapp_item')")
            assert cursor.fetchone() == (0,), "no dead rows are left that the next test would have to pass by"
    ItemFactory()
    assert Item.objects.count() == 1


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="says something about postgresql")
def test_a_session_that_goes_is_waited_for_and_one_that_stays_only_for_a_time() -> None:
    other = connection.copy()
    other.ensure_connection()
    began = time.monotonic()
    emptying.wait_until_alone(0.3)
    assert time.monotonic() - began >= 0.3
    other.inc_thread_sharing()
    closing = threading.Timer(0.2, other.close)
    closing.start()
    began = time.monotonic()
    emptying.wait_until_alone(30)
    assert time.monotonic() - began < 25, "it did not wait on once the session was gone"
    closing.join()
