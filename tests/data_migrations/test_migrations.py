"""A data migration as an operation of a Django migration."""

from __future__ import annotations

import io
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.utils import OperationalError, ProgrammingError

from data_migrations import checkpoints, databases, ledger
from data_migrations.exceptions import (
    AlreadyRunning,
    InvalidArgument,
    LedgerMissing,
    Misconfigured,
    StoppedEarly,
    UnknownMigration,
)
from data_migrations.models import Checkpoint, Event, Lease
from data_migrations.reporting import Door
from data_migrations.utils.migrations import RunDataMigration
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

INCREMENT = "increment_items_2026_01_01"
REVERSIBLE = "reversible_v2_2026_01_06"
BATCHED = "batch_increment_2026_02_01"


@pytest.fixture(autouse=True)
def run_migrations(settings: Any) -> Any:
    """The testapp with migrations that run data migrations; the first of them is applied."""
    settings.MIGRATION_MODULES = {"testapp": "tests.data_migrations.run_migrations"}
    yield
    for alias in ("default", "other"):
        MigrationRecorder.Migration.objects.using(alias).filter(app="testapp").exclude(name="0001_initial").delete()


def migrate(*args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("migrate", "testapp", *args, stdout=out, verbosity=1, no_color=True, **options)
    return out.getvalue()


def historical_state() -> ProjectState:
    """A past in which an item had fewer fields than today."""
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("amount", models.IntegerField()),
    ]
    state = ProjectState()
    state.add_model(ModelState("testapp", "Item", fields))
    return state


def apply(operation: RunDataMigration, *, atomic: bool = True, collect_sql: bool = False) -> list[str]:
    """Apply one operation as a Django migration of the testapp would."""
    migration = migrations.Migration("0002_one", "testapp")
    migration.operations = [operation]
    state = historical_state()
    with connection.schema_editor(atomic=atomic, collect_sql=collect_sql) as editor:
        migration.apply(state, editor, collect_sql=collect_sql)
    return editor.collected_sql if collect_sql else []


def backwards(operation: RunDataMigration, *, atomic: bool = True) -> None:
    """Undo one operation as a Django migration of the testapp would."""
    state = historical_state()
    with connection.schema_editor(atomic=atomic) as editor:
        operation.database_backwards("testapp", editor, state, state)


def test_forwards_runs_it_once_with_its_record(items, amounts, capsys):
    migrate("0002")
    assert amounts() == [1, 1, 1]
    record = ledger.get(INCREMENT, "default")
    assert record.door == Door.MIGRATE
    assert "line 1" in capsys.readouterr().out


def test_what_is_applied_passes_and_says_so(items, amounts, run, capsys):
    run("increment")
    migrate("0002")
    assert amounts() == [1, 1, 1]
    assert "already applied" in capsys.readouterr().out


def test_backwards_takes_the_record_out_so_that_forwards_runs_again(items, amounts):
    migrate("0002")
    migrate("0001")
    assert not ledger.is_applied(INCREMENT, "default")
    assert [event.event for event in ledger.events(INCREMENT, "default")] == [Event.APPLIED, Event.UNMARKED]
    migrate("0002")
    assert amounts() == [2, 2, 2]


def test_backwards_reverses_where_it_can(items, amounts):
    migrate("0003")
    assert amounts() == [11, 11, 11]
    migrate("0002")
    assert amounts() == [1, 1, 1]
    assert not ledger.is_applied(REVERSIBLE, "default")


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("reversible", [True, False])
def test_backwards_drops_what_an_unfinished_run_would_go_on_from(items, amounts, monkeypatch, applied, reversible):
    from tests.testapp.management.commands.batch_increment import Command

    if reversible:
        monkeypatch.setattr(Command, "reverse_migration", lambda self, dry_run=False: None)
    operation = RunDataMigration("batch_increment")
    if applied:
        apply(operation)
    with pytest.raises(StoppedEarly):
        call_command("batch_increment", "--force", "--batch-size=1", "--limit-batches=2", verbosity=0)
    assert checkpoints.find(BATCHED, "default").rows == 2
    backwards(operation)
    # What the Django migrations before it do backwards may take away what was done so far.
    Item.objects.update(amount=0)
    apply(operation)
    assert amounts() == [1, 1, 1]
    assert ledger.is_applied(BATCHED, "default")


@pytest.mark.parametrize("reversible", [True, False])
def test_backwards_waits_for_nobody_and_drops_nothing_under_a_run(items, monkeypatch, reversible):
    from tests.testapp.management.commands.batch_increment import Command

    if reversible:
        monkeypatch.setattr(Command, "reverse_migration", lambda self, dry_run=False: None)
    now = databases.now("default")
    Lease.objects.create(
        name=BATCHED, owner="f" * 32, token=7, host="elsewhere", machine="m", pid=1, pid_started="1",
        acquired_at=now, expires_at=now + timedelta(seconds=60),
    )  # fmt: skip
    Checkpoint.objects.create(name=BATCHED, batches=1, rows=10, started_at=now, updated_at=now)
    with pytest.raises(AlreadyRunning, match=r"elsewhere \(pid 1"):
        backwards(RunDataMigration("batch_increment"))
    assert checkpoints.find(BATCHED, "default").rows == 10


def test_the_work_sees_historical_models(items, amounts, monkeypatch):
    from tests.testapp.management.commands.increment import Command

    seen = []
    monkeypatch.setattr(
        Command, "perform_migration", lambda self, dry_run=False: seen.append(self.get_model("testapp.Item"))
    )
    apply(RunDataMigration("increment"))
    assert seen[0] is not Item
    assert {field.name for field in seen[0]._meta.get_fields()} == {"id", "amount"}


def test_sqlmigrate_never_executes_it(items, amounts):
    sql = "\n".join(apply(RunDataMigration("increment"), collect_sql=True))
    assert "CANNOT BE WRITTEN AS SQL" in sql
    assert amounts() == [0, 0, 0]
    out = io.StringIO()
    call_command("sqlmigrate", "testapp", "0002", stdout=out)
    call_command("sqlmigrate", "testapp", "0002", backwards=True, stdout=out)
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied(INCREMENT, "default")


def test_plan_names_it():
    plan = migrate(plan=True)
    assert "Run data migration increment" in plan


def test_plan_backwards_does_not_call_it_irreversible(items):
    migrate("0003")
    plan = migrate("0001", plan=True)
    assert "Undo Run data migration increment" in plan
    assert "IRREVERSIBLE" not in plan


def test_fake_does_not_run_it_and_the_list_says_so(items, amounts, run):
    migrate("0002", fake=True)
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied(INCREMENT, "default")
    assert "was it faked?" in run("custom_migrations", "list", "--name", "increment_items_2026_01_01")


def test_another_database_is_migrated_alone(items, amounts):
    Item.objects.using("other").create(name="there")
    migrate("0002", database="other")
    assert amounts() == [0, 0, 0]
    assert Item.objects.using("other").get().amount == 1
    assert ledger.is_applied(INCREMENT, "other")
    assert not ledger.is_applied(INCREMENT, "default")


def test_the_router_keeps_it_out(items, amounts, settings):
    class Nowhere:
        def allow_migrate(self, db, app_label, **hints):
            return False

    settings.DATABASE_ROUTERS = [Nowhere()]
    apply(RunDataMigration("increment"))
    assert amounts() == [0, 0, 0]


def test_a_failing_migration_leaves_nothing(items, amounts):
    with pytest.raises(Exception, match="the data is not as expected"):
        apply(RunDataMigration("failing"))
    assert amounts() == [0, 0, 0]


@pytest.mark.skipif("connection.vendor == 'mysql'", reason="MariaDB has no transaction around a Django migration")
def test_a_later_operation_that_fails_takes_the_record_with_it(items, amounts):
    migration = migrations.Migration("0002_two", "testapp")
    migration.operations = [RunDataMigration("increment"), migrations.RunSQL("SELECT * FROM nowhere")]
    state = historical_state()
    with pytest.raises((ProgrammingError, OperationalError)), connection.schema_editor(atomic=True) as editor:
        migration.apply(state, editor)
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied(INCREMENT, "default")


@pytest.mark.skipif("connection.vendor == 'mysql'", reason="MariaDB has no transaction around a Django migration")
def test_a_loose_one_in_an_atomic_migration_is_refused_with_the_remedy(items):
    with pytest.raises(Misconfigured, match="Set atomic = False on the Migration class"):
        apply(RunDataMigration("increment_loose"))


def test_a_loose_one_in_a_loose_migration_runs(items, amounts):
    apply(RunDataMigration("increment_loose"), atomic=False)
    assert amounts() == [1, 1, 1]


def test_a_missing_command_is_named_with_near_matches():
    with pytest.raises(UnknownMigration, match=r"testapp runs the data migration 'incremen'.*Did you mean increment"):
        apply(RunDataMigration("incremen"))


def test_a_command_that_is_no_data_migration_is_refused():
    with pytest.raises(UnknownMigration):
        apply(RunDataMigration("check"))


def test_missing_ledger_tables_name_the_dependency(monkeypatch):
    monkeypatch.setattr(connection.introspection, "table_names", lambda *args, **kwargs: ["testapp_item"])
    with pytest.raises(LedgerMissing, match=r'\("data_migrations", "0001_initial"\) among its dependencies'):
        apply(RunDataMigration("increment"))


def test_a_wrong_option_is_refused():
    with pytest.raises(InvalidArgument, match="'speed' is not an argument"):
        apply(RunDataMigration("increment", {"speed": 3}))


def test_the_writer_writes_it_and_reads_it_back():
    migration = migrations.Migration("0002_one", "testapp")
    migration.operations = [
        RunDataMigration("increment", {"lines": 2}, elidable=True),
        RunDataMigration("migrate_users"),
    ]
    source = MigrationWriter(migration).as_string()
    namespace: dict[str, Any] = {}
    exec(compile(source, "0002_one.py", "exec"), namespace)
    first, second = namespace["Migration"].operations
    assert (first.command_name, first.command_options, first.elidable) == ("increment", {"lines": 2}, True)
    assert (second.command_name, second.command_options, second.elidable) == ("migrate_users", None, False)


def test_squashing_keeps_it_unless_elidable():
    kept = RunDataMigration("increment")
    elided = RunDataMigration("reversible", elidable=True)
    assert MigrationOptimizer().optimize([kept, elided], "testapp") == [kept]


def test_makemigrations_sees_no_change(settings):
    settings.MIGRATION_MODULES = {}
    call_command("makemigrations", "data_migrations", "testapp", check=True, dry_run=True, verbosity=0)


def test_its_name_makes_a_file_name():
    assert RunDataMigration("increment").migration_name_fragment == "run_increment"
    assert SimpleNamespace(x=RunDataMigration("increment").describe()).x == "Run data migration increment"
