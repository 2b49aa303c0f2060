"""The source is kept with the record, in its transaction, and only if it is the one that ran."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from data_migrations import ledger, registry
from data_migrations.models import AppliedSource
from data_migrations.reporting import Door
from tests.testapp.management.commands import increment

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

INCREMENT = "increment_items_2026_01_01"


@pytest.fixture(autouse=True)
def fresh() -> Any:
    registry.reset()
    yield
    registry.reset()


def kept() -> dict[str, str]:
    return dict(AppliedSource.objects.values_list("checksum", "text"))


def source() -> str:
    return registry._source(increment.__name__)


def test_a_run_keeps_the_source_that_it_recorded() -> None:
    call_command("increment", verbosity=0)
    checksum = ledger.applied("default")[INCREMENT].checksum
    assert kept() == {checksum: source()}
    assert hashlib.sha256(source().encode()).hexdigest() == checksum
    assert ledger.source_as_applied(checksum, "default") == source()


def test_a_second_run_keeps_it_once() -> None:
    call_command("increment", verbosity=0)
    call_command("increment", force=True, verbosity=0)
    assert len(kept()) == 1


def test_a_mark_keeps_it_as_well() -> None:
    call_command("custom_migrations", "mark", INCREMENT, verbosity=0)
    assert list(kept().values()) == [source()]


def test_a_batched_run_keeps_it() -> None:
    call_command("batch_increment", verbosity=0)
    assert "BatchedCommand" in next(iter(kept().values()))


def test_a_file_that_was_changed_under_the_process_is_not_kept_for_the_one_that_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.get(INCREMENT)
    monkeypatch.setattr(registry, "_source", lambda module: "print('another')")
    call_command("increment", verbosity=0)
    assert ledger.is_applied(INCREMENT, "default")
    assert kept() == {}


def test_what_is_undone_is_not_kept() -> None:
    checksum = registry.get(INCREMENT).checksum
    with pytest.raises(RuntimeError), transaction.atomic():
        ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL, checksum=checksum)
        assert len(kept()) == 1
        raise RuntimeError("undo")
    assert kept() == {}
    assert not ledger.is_applied(INCREMENT, "default")


def test_a_dry_run_keeps_nothing() -> None:
    call_command("increment", dry_run=True, verbosity=0)
    assert kept() == {}


def test_without_the_table_a_run_is_recorded_all_the_same() -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(AppliedSource)
    try:
        call_command("increment", verbosity=0)
        assert ledger.is_applied(INCREMENT, "default")
        assert ledger.source_as_applied(ledger.applied("default")[INCREMENT].checksum, "default") == ""
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(AppliedSource)


@pytest.mark.slow
def test_only_the_ledger_writes_it() -> None:
    from tests.test_imports import ROOT, imported

    writers = {
        str(path.relative_to(ROOT))
        for folder in ("data_migrations", "console")
        for path in (ROOT / folder).rglob("*.py")
        if any(name.endswith(".AppliedSource") for _, name in imported(path))
    }
    assert writers == {"data_migrations/ledger.py"}
