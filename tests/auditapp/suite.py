"""The audit adapters against the real libraries. Run by data_migrations/test_audit.py, with its own settings."""

# ruff: noqa: S608
# These models are not among those that mypy's plugin is told of.
# mypy: disable-error-code="attr-defined, misc"

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, connections, models, transaction
from easyaudit.models import CRUDEvent
from field_audit.models import AuditAction, AuditEvent

from data_migrations import audit
from data_migrations.changes import ChangeCounter
from data_migrations.dryrun import undone
from tests import databases
from tests.auditapp.models import FieldAudited, Logged, Remembered, Tag, Tracked, Watched

# easy-audit writes its events on commit, so there must be one.
pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

IS_POSTGRESQL = databases.chosen() == "postgresql"
only_on_postgresql = pytest.mark.skipif(not IS_POSTGRESQL, reason="says something about PostgreSQL")


@dataclass(frozen=True)
class Case:
    """One library: a model that it audits, and how many entries it has written."""

    library: str
    model: Any
    entries: Callable[[], int]


CASES = [
    Case("django-auditlog", Logged, lambda: LogEntry.objects.count()),
    Case("django-field-audit", FieldAudited, lambda: AuditEvent.objects.count()),
    Case("django-simple-history", Remembered, lambda: Remembered.history.count()),
    Case("django-easy-audit", Watched, lambda: CRUDEvent.objects.count()),
]
if IS_POSTGRESQL:
    CASES.append(Case("django-pghistory", Tracked, lambda: Tracked.pgh_event_model.objects.count()))
LIBRARIES = [case.library for case in CASES]


@pytest.fixture(params=CASES, ids=LIBRARIES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=["in a transaction", "in none"])
def surroundings(request: pytest.FixtureRequest) -> AbstractContextManager[Any]:
    return transaction.atomic() if request.param == "in a transaction" else nullcontext()


def work(model: type[models.Model]) -> None:
    """Make a row, change it, change what it is related to, and delete it."""
    row = model._default_manager.create(name="new")
    row.name = "changed"
    row.save()
    if hasattr(row, "tags"):
        tag = Tag.objects.create(name="tag")
        row.tags.add(tag)
        row.tags.clear()
        tag.delete()
    row.delete()


def entries_of(case: Case, function: Callable[[], Any]) -> int:
    before = case.entries()
    function()
    return case.entries() - before


def in_thread(function: Callable[[], Any]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert errors == []


def test_without_us_the_library_records(case: Case) -> None:
    assert entries_of(case, lambda: work(case.model)) >= 3


def test_nothing_is_recorded_while_it_is_off(case: Case, surroundings: AbstractContextManager[Any]) -> None:
    def run() -> None:
        with surroundings, audit.disabled("default") as states:
            work(case.model)
            assert case.library in [state.library for state in states if state.off]

    assert entries_of(case, run) == 0


def test_what_comes_after_is_recorded_again(case: Case, surroundings: AbstractContextManager[Any]) -> None:
    with surroundings, audit.disabled("default"):
        work(case.model)
    assert entries_of(case, lambda: work(case.model)) >= 3


def test_what_comes_after_in_the_same_transaction_is_recorded(case: Case) -> None:
    def run() -> None:
        with transaction.atomic():
            with audit.disabled("default"):
                work(case.model)
            case.model.objects.create(name="recorded")

    assert entries_of(case, run) == 1


def test_after_an_error_it_is_recorded_again(case: Case) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(), audit.disabled("default"):
        work(case.model)
        raise ZeroDivisionError
    assert entries_of(case, lambda: work(case.model)) >= 3


def test_an_error_of_the_database_is_not_hidden(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """Some switches ask the database when they let go, and a failed transaction answers nothing."""
    with pytest.raises(IntegrityError), transaction.atomic(), audit.disabled("default"):
        row = case.model(pk=1, name="x")
        row.save(force_insert=True)
        case.model(pk=1, name="x").save(force_insert=True)
    assert "could not be switched on again" not in caplog.text
    assert entries_of(case, lambda: work(case.model)) >= 3


def test_off_within_off_stays_off(case: Case) -> None:
    def run() -> None:
        with audit.disabled("default"):
            with audit.disabled("default"):
                work(case.model)
            work(case.model)

    assert entries_of(case, run) == 0
    assert entries_of(case, lambda: work(case.model)) >= 3


def test_another_thread_is_recorded_meanwhile(case: Case) -> None:
    def run() -> None:
        with audit.disabled("default"):
            in_thread(lambda: work(case.model))

    assert entries_of(case, run) >= 3


def test_two_runs_that_overlap_do_not_switch_each_other_on(case: Case) -> None:
    """The first to begin ends first, while the second goes on."""
    begun, ended = threading.Event(), threading.Event()

    def first() -> None:
        with audit.disabled("default"):
            begun.set()
            assert ended.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(30)

    def second() -> None:
        with audit.disabled("default"):
            ended.set()
            thread.join(30)
            work(case.model)

    assert entries_of(case, second) == 0
    assert entries_of(case, lambda: work(case.model)) >= 3


def test_it_is_off_in_a_dry_run_too(case: Case) -> None:
    with undone("default") as run, audit.disabled("default"):
        work(case.model)
    assert {change.table for change in run.changes} <= {
        case.model._meta.db_table,
        Tag._meta.db_table,
        f"{case.model._meta.db_table}_tags",
    }


def test_the_scope_is_a_sentence() -> None:
    with audit.disabled("default") as states:
        pass
    assert [state.library for state in states if state.off] == LIBRARIES
    for state in states:
        assert state.scope[0].isupper()
        assert state.scope.endswith(".")
        assert state.level == ("info" if state.off else "warning")


def test_the_adapters_are_those_of_the_installed_apps() -> None:
    found = [adapter.library for adapter in audit.active_adapters()]
    assert found[:4] == LIBRARIES[:4]
    assert "django-pghistory" in found


def test_a_library_that_fails_is_said_and_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a library does not go with this Django."""

    def broken() -> None:
        raise TypeError("unexpected keyword argument 'check'")

    monkeypatch.setattr("field_audit.disable_audit", broken)
    with audit.disabled("default") as states:
        state = next(state for state in states if state.library == "django-field-audit")
        assert not state.off
        assert state.level == "warning"
        assert "unexpected keyword argument 'check'" in state.scope
        assert "still on" in str(state)
        Logged.objects.create(name="the others are off all the same")
    assert LogEntry.objects.count() == 0


def test_a_library_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "auditlog.context", None)
    with audit.disabled("default") as states:
        state = next(state for state in states if state.library == "django-auditlog")
    assert not state.off
    assert "ModuleNotFoundError" in state.scope


# django-simple-history


def test_the_history_setting_is_put_back() -> None:
    before = settings.SIMPLE_HISTORY_ENABLED if hasattr(settings, "SIMPLE_HISTORY_ENABLED") else None
    assert before is None
    with audit.disabled("default"), audit.disabled("default"):
        assert not settings.SIMPLE_HISTORY_ENABLED
    assert not hasattr(settings, "SIMPLE_HISTORY_ENABLED")


@pytest.mark.parametrize("value", [True, False])
def test_a_history_setting_of_the_project_is_put_back(value: bool) -> None:
    settings.SIMPLE_HISTORY_ENABLED = value
    try:
        with audit.disabled("default"):
            assert not settings.SIMPLE_HISTORY_ENABLED
            seen: list[bool] = []
            in_thread(lambda: seen.append(bool(settings.SIMPLE_HISTORY_ENABLED)))
            assert seen == [value]
        assert settings.SIMPLE_HISTORY_ENABLED is value
    finally:
        del settings.SIMPLE_HISTORY_ENABLED


def test_a_history_setting_that_is_changed_meanwhile_is_left_alone() -> None:
    with audit.disabled("default"):
        settings.SIMPLE_HISTORY_ENABLED = True
    try:
        assert settings.SIMPLE_HISTORY_ENABLED is True
    finally:
        del settings.SIMPLE_HISTORY_ENABLED


def test_bulk_helpers_write_no_history() -> None:
    from simple_history.utils import bulk_create_with_history

    with audit.disabled("default"):
        bulk_create_with_history([Remembered(name="a"), Remembered(name="b")], Remembered)
    assert (Remembered.objects.count(), Remembered.history.count()) == (2, 0)


# django-field-audit


def test_bulk_methods_record_no_audit_event_but_still_want_an_action() -> None:
    from field_audit.models import UnsetAuditActionError

    with audit.disabled("default"):
        FieldAudited.objects.bulk_create([FieldAudited(name="a")], audit_action=AuditAction.AUDIT)
        FieldAudited.objects.update(name="b", audit_action=AuditAction.AUDIT)
        with pytest.raises(UnsetAuditActionError):
            FieldAudited.objects.update(name="c")
    assert FieldAudited.objects.get().name == "b"
    assert AuditEvent.objects.count() == 0


# django-pghistory and django-pgtrigger


@pytest.mark.skipif(IS_POSTGRESQL, reason="says something about the other databases")
def test_triggers_are_said_to_stay_on_where_there_are_none() -> None:
    with audit.disabled("default") as states:
        state = states[-1]
    assert (state.library, state.off) == ("django-pghistory", False)
    assert "PostgreSQL" in state.scope


@pytest.fixture
def tracked() -> list[Tracked]:
    with audit.disabled("default"):
        rows = Tracked.objects.bulk_create([Tracked(name=f"{n}") for n in range(5)])
    assert Tracked.pgh_event_model.objects.count() == 0
    return rows


@only_on_postgresql
def test_bulk_changes_and_raw_sql_fire_no_history_trigger(
    tracked: list[Tracked], surroundings: AbstractContextManager[Any]
) -> None:
    with surroundings, audit.disabled("default"):
        Tracked.objects.update(name="x")
        for row in tracked:
            row.name = "y"
        Tracked.objects.bulk_update(tracked, ["name"])
        for row in Tracked.objects.iterator(chunk_size=2):
            row.save()
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {Tracked._meta.db_table} SET name = name || '%%' WHERE id > %s", [0])
            cursor.execute(f"UPDATE {Tracked._meta.db_table} SET name = name || '!'")
        Tracked.objects.all().delete()
    assert Tracked.pgh_event_model.objects.count() == 0


@only_on_postgresql
def test_executemany_fires_no_history_trigger(
    tracked: list[Tracked], surroundings: AbstractContextManager[Any]
) -> None:
    with surroundings, audit.disabled("default"), connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {Tracked._meta.db_table} SET name = %s WHERE id = %s", [["z", row.pk] for row in tracked]
        )
        assert cursor.rowcount == 5
    assert set(Tracked.objects.values_list("name", flat=True)) == {"z"}
    assert Tracked.pgh_event_model.objects.count() == 0
    Tracked.objects.update(name="recorded")
    assert Tracked.pgh_event_model.objects.count() == 5


@only_on_postgresql
def test_triggers_that_protect_still_do(tracked: list[Tracked]) -> None:
    with pytest.raises(DatabaseError, match="Cannot update"), transaction.atomic(), audit.disabled("default"):
        Tracked.objects.update(name="forbidden")


@only_on_postgresql
@pytest.mark.parametrize("counter_first", [True, False])
def test_rows_are_counted_right_while_triggers_are_ignored(tracked: list[Tracked], counter_first: bool) -> None:
    counter = ChangeCounter("default")
    managers: list[Any] = [counter, audit.disabled("default")]
    first, second = managers if counter_first else reversed(managers)
    with transaction.atomic(), first, second:
        Tracked.objects.update(name="x")
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {Tracked._meta.db_table} SET name = %s WHERE id = %s", [["z", row.pk] for row in tracked]
            )
    assert [(change.table, change.updated) for change in counter.changes()] == [(Tracked._meta.db_table, 10)]


@only_on_postgresql
def test_server_side_binding_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"server_side_binding": True})
    with audit.disabled("default") as states:
        assert (states[-1].off, "server_side_binding" in states[-1].scope) == (False, True)


@only_on_postgresql
def test_only_the_database_of_the_run_is_switched() -> None:
    with audit.disabled("other"):
        Tracked.objects.create(name="x")
    assert Tracked.pgh_event_model.objects.count() == 1
