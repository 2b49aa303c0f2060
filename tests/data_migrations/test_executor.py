"""What a run of one data migration does, through the command line's own options."""

from __future__ import annotations

import warnings

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection, transaction

from data_migrations import executor, ledger
from data_migrations.exceptions import (
    DatabaseUnavailable,
    DependencyNotApplied,
    InvalidArgument,
    LeaseLost,
    LedgerMissing,
    MigrationFailed,
    Misconfigured,
    NotReversible,
    StoppedEarly,
    UnknownMigration,
    VerificationFailed,
)
from data_migrations.leases import Lease
from data_migrations.models import AppliedMigration, Event
from data_migrations.reporting import Door, OutcomeKind
from data_migrations.stopping import StopFlag
from tests.data_migrations.factories import UserFactory
from tests.testapp.models import Item, User

pytestmark = pytest.mark.django_db(databases="__all__")

INCREMENT = "increment_items_2026_01_01"


def test_the_example_works_as_written(run):
    UserFactory.create_batch(2)
    UserFactory(needs_migration=False)

    dry = run("migrate_users", "--dry-run")
    assert "Would update 2 users" in dry
    assert not User.objects.filter(migrated=True).exists()

    output = run("migrate_users")
    assert User.objects.filter(migrated=True).count() == 2
    assert "Result: 2" in output
    assert "migrate_user_data_v1_2024_11_21 is applied" in output

    again = run("migrate_users")
    assert "already applied" in again


def test_a_second_run_changes_nothing_and_says_so(items, amounts, run):
    run("increment")
    assert "already applied" in run("increment")
    assert amounts() == [1, 1, 1]


def test_force_runs_again_and_counts(items, amounts, run):
    run("increment")
    run("increment", "--force")
    assert amounts() == [2, 2, 2]
    assert ledger.get(INCREMENT, "default").times_applied == 2
    assert [event.event for event in ledger.events(INCREMENT, "default")] == [Event.APPLIED, Event.REAPPLIED]


def test_a_forced_run_that_is_delivered_twice_is_done_once(items, amounts):
    executor.run_command("increment")
    for _ in range(2):
        executor.run_command("increment", force=True, key="a" * 32)
    assert amounts() == [2, 2, 2]
    executor.run_command("increment", force=True, key="b" * 32)
    assert amounts() == [3, 3, 3]


def test_the_record_tells_who_when_how_and_how_many(items, run, monkeypatch):
    monkeypatch.setenv("DATA_MIGRATIONS_ACTOR", "ana")
    run("increment")
    record = ledger.get(INCREMENT, "default")
    assert (record.by, record.door, record.result, record.affected_rows) == ("ana", Door.CODE, "3", 3)
    assert record.duration is not None
    assert len(record.checksum) == 64


def test_a_failure_leaves_neither_change_nor_record(items, amounts, run):
    with pytest.raises(MigrationFailed) as caught:
        run("failing")
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied("failing_2026_01_03", "default")
    assert isinstance(caught.value.__cause__, ValueError)
    message = str(caught.value)
    assert "ValueError: the data is not as expected." in message
    assert "Nothing was kept" in message
    assert "run it again" in message
    assert caught.value.returncode == 1


def test_a_reversal_that_fails_leaves_the_record_and_says_so(items, run, monkeypatch):
    from tests.testapp.management.commands.reversible import Command

    def fail(self, dry_run=False):
        raise ValueError("it cannot be taken away")

    run("reversible")
    monkeypatch.setattr(Command, "reverse_migration", fail)
    with pytest.raises(MigrationFailed) as caught:
        run("reversible", "--reverse")
    assert str(caught.value).endswith("Its record stays as it was. Mend the cause and reverse it again.")
    assert ledger.is_applied("reversible_v2_2026_01_06", "default")


def test_a_dry_run_that_fails_says_nothing_of_a_record(items, run):
    with pytest.raises(MigrationFailed, match="rolled back. Mend the cause and run it again") as caught:
        run("failing", "--dry-run")
    assert "record" not in str(caught.value)


def test_a_failure_keeps_its_error_for_the_reporter(items, listener):
    with pytest.raises(MigrationFailed):
        executor.run_command("failing", reporters=[listener])
    error, text = listener.of("failed")[0]
    assert "the data is not as expected" in str(error)
    assert "in perform_migration" in text
    assert listener.text("stdout") == "about to fail\n"


def test_what_comes_first_has_to_be_applied(items, run):
    with pytest.raises(DependencyNotApplied, match=INCREMENT) as caught:
        run("dependent")
    assert caught.value.returncode == 3
    run("increment")
    assert "came after" in run("dependent")


def test_a_schema_that_is_not_there_refuses(run):
    with pytest.raises(DependencyNotApplied, match="testapp.9999_future"):
        run("needs_schema")


def test_verify_undoes_an_atomic_run(items, amounts, run):
    with pytest.raises(VerificationFailed, match="3 items are not seven"):
        run("verified", "--amount", "8")
    assert amounts() == [0, 0, 0]
    run("verified")
    assert amounts() == [7, 7, 7]


def test_reverse_undoes_and_takes_the_record_out(items, amounts, run):
    run("reversible")
    assert "reversed" in run("reversible", "--reverse")
    assert amounts() == [0, 0, 0]
    assert not ledger.is_applied("reversible_v2_2026_01_06", "default")
    assert "nothing to reverse" in run("reversible", "--reverse")
    assert [e.event for e in ledger.events("reversible_v2_2026_01_06", "default")] == [Event.APPLIED, Event.REVERSED]


def test_what_has_no_reverse_is_refused(run):
    with pytest.raises(NotReversible):
        run("increment", "--reverse")


@pytest.mark.parametrize("command", ["careless", "careless_loose"])
def test_a_dry_run_changes_nothing_whatever_the_author_does(command, items, amounts, run):
    output = run(command, "--dry-run")
    assert amounts() == [0, 0, 0]
    assert not AppliedMigration.objects.exists()
    assert mail.outbox == []
    assert "testapp_item: 1 inserted, 3 updated, 1 deleted" in output
    assert "E-mails held back: 1." in output
    assert "Nothing was kept." in output


def test_a_dry_run_is_allowed_on_what_is_applied(items, amounts, run):
    run("increment")
    assert "Dry run" in run("increment", "--dry-run")
    assert amounts() == [1, 1, 1]


def test_after_a_dry_run_the_real_one_still_works(items, amounts, run):
    run("careless", "--dry-run")
    run("careless")
    assert len(mail.outbox) == 1
    assert sorted(amounts()) == [0, 5, 5]


def test_an_unknown_database_is_named(run):
    with pytest.raises(InvalidArgument, match="no database alias 'nowhere'"):
        run("increment", "--database", "nowhere")


def test_another_database_has_its_own_ledger(run):
    Item.objects.using("other").create(name="there")
    run("increment", "--database", "other")
    assert ledger.is_applied(INCREMENT, "other")
    assert not ledger.is_applied(INCREMENT, "default")
    assert Item.objects.using("other").get().amount == 1


def test_an_unknown_command_has_near_matches():
    with pytest.raises(UnknownMigration, match="Did you mean increment"):
        executor.run_command("incremen")


def test_a_value_is_converted_and_never_read_as_an_option(listener):
    outcome = executor.run_command(
        "with_arguments", values={"country": "--force", "count": "7", "tag": ["-x"]}, reporters=[listener]
    )
    assert '"country": "--force"' in outcome.result
    assert '"count": 7' in outcome.result
    assert listener.of("started")[0].force is False


def test_sensitive_arguments_reach_the_reporter_masked(listener):
    executor.run_command("with_arguments", values={"country": "de", "password": "hunter2"}, reporters=[listener])
    assert listener.of("started")[0].arguments["password"] == "********"
    assert listener.of("started")[0].secrets == ("hunter2",)
    assert "hunter2" not in repr(listener.of("started")[0])


def test_a_stop_is_taken_at_the_next_progress(items, amounts, listener):
    stop = StopFlag()
    stop.request("cancel")
    with pytest.raises(StoppedEarly) as caught:
        executor.run_command("tracked", stop=stop, reporters=[listener])
    assert caught.value.returncode == 4
    assert caught.value.reason == "cancel"
    assert amounts() == [0, 0, 0]


def test_progress_is_told_and_its_last_value_always(items, listener):
    executor.run_command("tracked", reporters=[listener])
    told = listener.of("progress")
    assert told[0] == (0, 100)
    assert told[-1] == (100, 100)


def test_everything_printed_is_reported(listener):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        executor.run_command("noisy", reporters=[listener])
    assert "through self.stdout" in listener.text("stdout")
    assert "through print" in listener.text("stdout")
    assert "through self.stderr" in listener.text("stderr")
    assert "through print to stderr" in listener.text("stderr")
    assert "through logging" in listener.text("logging:WARNING")
    assert "through django's own logger" in listener.text("logging:ERROR")
    assert "UserWarning: through warnings" in listener.text("warnings")


def test_info_is_heard_where_nobody_set_logging_up(listener, monkeypatch):
    import logging

    from tests.testapp.management.commands.noisy import Command, logger

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    monkeypatch.setattr(Command, "perform_migration", lambda self, dry_run=False: logger.info("half done"))
    executor.run_command("noisy", reporters=[listener])
    assert "half done" in listener.text("logging:INFO")
    assert root.level == logging.WARNING


def test_a_reporter_that_fails_does_not_fail_the_run(items, amounts):
    class Broken(executor.Reporter):
        def output(self, stream, text):
            raise OSError("no space left")

    executor.run_command("increment", reporters=[Broken()])
    assert amounts() == [1, 1, 1]


def test_exiting_from_the_work_is_a_failure(items, monkeypatch):
    from tests.testapp.management.commands.increment import Command

    monkeypatch.setattr(Command, "perform_migration", lambda self, dry_run=False: exit(0))
    with pytest.raises(MigrationFailed, match="SystemExit"):
        executor.run_command("increment")
    assert not ledger.is_applied(INCREMENT, "default")


def test_a_durable_block_inside_is_explained(monkeypatch):
    from tests.testapp.management.commands.increment import Command

    def work(self, dry_run=False):
        with transaction.atomic(durable=True):
            pass

    monkeypatch.setattr(Command, "perform_migration", work)
    # TestCase's own transactions are forgiven by Django; ours has to look like a real one.
    with transaction.atomic(), pytest.raises(MigrationFailed, match="set atomic = False on the command"):
        executor.run_command("increment")


def test_missing_tables_are_named_with_the_command_that_makes_them(monkeypatch):
    monkeypatch.setattr(connection.introspection, "table_names", lambda *args, **kwargs: ["auth_user"])
    with pytest.raises(LedgerMissing, match="manage.py migrate data_migrations"):
        executor.run_command("increment")


def test_a_dead_database_is_said(monkeypatch):
    from django.db.utils import OperationalError

    def refuse():
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    with pytest.raises(DatabaseUnavailable, match="connection refused"):
        executor.run_command("increment")


def test_without_autocommit_it_refuses(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    with pytest.raises(Misconfigured, match="AUTOCOMMIT"):
        executor.run_command("increment")


def test_a_command_without_a_name_is_refused(monkeypatch):
    from tests.testapp.management.commands.increment import Command

    monkeypatch.setattr(Command, "migration_name", "")
    with pytest.raises(Misconfigured, match="migration_name"):
        executor.run_command("increment")


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestOutsideTransactions:
    """What needs real commits."""

    def test_a_lease_lost_before_the_commit_undoes_everything(self, items, amounts, monkeypatch):
        from tests.testapp.management.commands.increment import Command

        original = Command.perform_migration

        def lose(self, dry_run=False):
            result = original(self, dry_run)
            Lease.objects.filter(name=INCREMENT).update(token=77, owner="somebody else")
            return result

        monkeypatch.setattr(Command, "perform_migration", lose)
        with pytest.raises(LeaseLost):
            executor.run_command("increment")
        assert amounts() == [0, 0, 0]
        assert not ledger.is_applied(INCREMENT, "default")

    def test_a_record_that_cannot_be_written_undoes_the_work(self, items, amounts, monkeypatch):
        def refuse(*args, **kwargs):
            raise RuntimeError("killed here")

        monkeypatch.setattr(ledger, "record", refuse)
        with pytest.raises(MigrationFailed, match="killed here"):
            executor.run_command("increment")
        assert amounts() == [0, 0, 0]
        assert not ledger.is_applied(INCREMENT, "default")

    def test_what_fails_after_the_commit_does_not_undo_it_and_is_said(self, items, amounts, listener, monkeypatch):
        from django.db.utils import OperationalError

        from tests.testapp.management.commands.increment import Command

        def perform(self, dry_run=False):
            def afterwards():
                # Somebody who waited has taken the lease by then.
                Lease.objects.filter(name=INCREMENT).update(token=77)
                raise OperationalError("the cache does not answer")

            transaction.on_commit(afterwards)
            return Item.objects.update(amount=1)

        monkeypatch.setattr(Command, "perform_migration", perform)
        outcome = executor.run_command("increment", reporters=[listener])
        assert outcome.kind == OutcomeKind.APPLIED
        assert amounts() == [1, 1, 1]
        assert any("something failed after that: OperationalError" in text for _, text in listener.of("message"))

    @pytest.mark.parametrize("command", ["increment", "increment_loose"])
    def test_one_that_calls_itself_is_refused_and_does_not_wait_for_ever(self, items, monkeypatch, command):
        import importlib

        module = importlib.import_module(f"tests.testapp.management.commands.{command}")
        monkeypatch.setattr(module.Command, "perform_migration", lambda self, dry_run=False: call_command(command))
        with pytest.raises(Misconfigured, match="calls itself"):
            executor.run_command(command)

    def test_a_reverse_that_is_delivered_twice_is_done_once(self, items, amounts):
        executor.run_command("reversible")
        executor.run_command("reversible", reverse=True, key="a" * 32)
        executor.run_command("reversible")
        outcome = executor.run_command("reversible", reverse=True, key="a" * 32)
        assert outcome.kind == OutcomeKind.NOT_APPLIED
        assert amounts() == [10, 10, 10]

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL tells who blocks whom")
    def test_a_transaction_does_not_wait_for_one_that_waits_for_it(self, items, amounts):
        import threading
        import time

        from data_migrations.exceptions import AlreadyRunning

        def other():
            try:
                executor.run_command("increment")
            finally:
                connection.close()

        thread = threading.Thread(target=other)
        with transaction.atomic():
            Item.objects.update(amount=5)
            thread.start()
            for _ in range(500):
                if Lease.objects.exclude(owner="").exists():
                    break
                time.sleep(0.01)
            with pytest.raises(AlreadyRunning, match="cannot wait"):
                executor.run_command("increment")
        thread.join(30)
        assert amounts() == [6, 6, 6]

    @pytest.mark.skipif("connection.vendor != 'mysql'", reason="its snapshots are read by plain SELECTs only")
    def test_an_old_snapshot_does_not_hide_what_is_applied_by_now(self, items, amounts):
        import threading

        def other():
            try:
                executor.run_command("increment")
            finally:
                connection.close()

        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            with transaction.atomic():
                assert amounts() == [0, 0, 0]
                thread = threading.Thread(target=other)
                thread.start()
                thread.join(30)
                outcome = executor.run_command("increment")
        finally:
            connection.close()
        assert outcome.kind == OutcomeKind.ALREADY_APPLIED
        assert amounts() == [1, 1, 1]

    def test_the_lease_is_free_after_success_and_after_failure(self, items):
        executor.run_command("increment")
        with pytest.raises(MigrationFailed):
            executor.run_command("failing")
        assert not Lease.objects.exclude(owner="").exists()

    def test_a_half_done_loose_run_is_interrupted_and_the_next_one_says_so(self, items, amounts, run):
        from data_migrations.status import State, statuses

        with pytest.raises(MigrationFailed, match="what it did until then is kept"):
            run("increment_loose", "--fail-at", "2")
        name = "increment_items_loose_2026_01_02"
        assert amounts() == [1, 1, 0]
        states = {status.name: status.state for status in statuses("default")}
        assert states[name] == State.INTERRUPTED
        assert "did not come to its end" in run("increment_loose")
        assert {s.name: s.state for s in statuses("default")}[name] == State.APPLIED

    def test_an_outer_transaction_makes_the_outcome_provisional(self, items, listener):
        with transaction.atomic():
            executor.run_command("increment", reporters=[listener])
            assert listener.of("finished")[0].provisional
            assert not listener.of("committed")
        assert listener.of("committed")

    def test_an_outer_rollback_takes_the_record_with_it(self, items, amounts, listener):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            executor.run_command("increment", reporters=[listener])
            1 / 0  # noqa: B018
        assert not listener.of("committed")
        assert not ledger.is_applied(INCREMENT, "default")
        assert amounts() == [0, 0, 0]


def test_help_does_not_list_the_base_package():
    from django.core.management import get_commands

    assert "base" not in get_commands()
    assert "custom_migrations" in get_commands()


def test_the_outcome_says_what_happened(items):
    assert executor.run_command("increment").kind == OutcomeKind.APPLIED
    assert executor.run_command("increment").kind == OutcomeKind.ALREADY_APPLIED
    call_command("increment", "--force", verbosity=0)
