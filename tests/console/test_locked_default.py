"""Asking something of a run while the data's SQLite file, with the admin's history in it, is held by its migration."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test import Client

from console.models import Run
from tests.console.pages import EVERYTHING, a_run, person, run_address

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.skipif("connections['default'].vendor != 'sqlite'", reason="only SQLite locks a whole file"),
]


@contextmanager
def held(alias: str = "default") -> Iterator[None]:
    """Another connection has the file's write lock, as a running atomic migration has it."""
    name = connections[alias].settings_dict["NAME"]
    with closing(sqlite3.connect(name, isolation_level=None, uri=str(name).startswith("file:"))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("verb", ["pause", "cancel", "force"])
def test_what_is_asked_is_stored_at_once(verb: str) -> None:
    client = Client()
    client.force_login(person("bea", *EVERYTHING, "force_stop_run"))
    ContentType.objects.get_for_model(Run)
    run = a_run(status="running", finished_at=None, migration="batch_increment_2026_02_01", in_batches=True)
    with held():
        since = time.monotonic()
        assert client.post(run_address(run, verb)).status_code == 302
        assert time.monotonic() - since < 2
    run.refresh_from_db()
    assert (run.control, run.control_by) == (verb, "bea")
    assert not LogEntry.objects.exists()
