"""Batched migrations: each row once, from wherever the run before came to."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connections, transaction

from data_migrations import checkpoints, executor, ledger, quarantine
from data_migrations.exceptions import BatchFailed, QuarantineNotEmpty, StoppedEarly
from data_migrations.models import Checkpoint, Lease
from data_migrations.status import State, statuses
from data_migrations.stopping import StopFlag
from tests.data_migrations.factories import ItemFactory
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

INCREMENT = "batch_increment_2026_02_01"
POISON = "batch_poison_2026_02_02"


@pytest.fixture
def many() -> None:
    """A hundred items with gaps between their keys."""
    ItemFactory.create_batch(120)
    Item.objects.filter(pk__in=list(Item.objects.values_list("pk", flat=True))[5:45:2]).delete()


def command(name="batch_increment", **options):
    return executor.run_command(name, **options)


def state(name=INCREMENT):
    return {status.name: status.state for status in statuses("default")}[name]


@pytest.mark.parametrize("loaded", [True, False])
def test_every_row_is_worked_on_once(many, amounts, loaded):
    outcome = command(values={"loaded": loaded})
    assert amounts() == [1] * 100
    assert outcome.result == "100"
    assert ledger.is_applied(INCREMENT, "default")
    assert not Checkpoint.objects.exists()


def test_a_failed_batch_keeps_those_before_it_and_the_next_run_goes_on_there(many, amounts, listener):
    with pytest.raises(BatchFailed, match=r"failed in batch 4 \(.* to .*\): ValueError: this batch is odd") as caught:
        command(values={"fail_at": 4})
    assert "The batches before it are kept" in str(caught.value)
    assert amounts() == [1] * 30 + [0] * 70
    assert state() == State.INTERRUPTED
    assert not ledger.is_applied(INCREMENT, "default")
    outcome = command(reporters=[listener])
    assert amounts() == [1] * 100
    assert outcome.result == "100"
    assert any(
        "Resuming after batch 3: 30 rows were done, the last of them key " in text for _, text in listener.of("message")
    )
    assert state() == State.APPLIED


def test_the_failure_shows_the_authors_own_traceback(many, listener):
    with pytest.raises(BatchFailed):
        command(values={"fail_at": 1}, reporters=[listener])
    assert "in perform_batch" in listener.of("failed")[0][1]


def test_a_stop_is_taken_at_the_batch_boundary(many, amounts):
    stop = StopFlag()

    class Stopper(executor.Reporter):
        def output(self, stream, text):
            if "batch 3" in text:
                stop.request("pause")

    with pytest.raises(StoppedEarly) as caught:
        command(stop=stop, reporters=[Stopper()])
    assert caught.value.reason == "pause"
    assert amounts() == [1] * 30 + [0] * 70
    command()
    assert amounts() == [1] * 100


def test_a_careful_start_does_so_many_batches(many, amounts, run):
    with pytest.raises(StoppedEarly, match="after 2 batches") as caught:
        run("batch_increment", "--limit-batches", "2")
    assert caught.value.returncode == 4
    assert amounts() == [1] * 20 + [0] * 80
    run("batch_increment", "--batch-size", "80")
    assert amounts() == [1] * 100


def test_restart_drops_the_checkpoint_and_asks_first(many, amounts, run, monkeypatch):
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "2")
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    with pytest.raises(Exception, match="Nothing was changed"):
        run("batch_increment", "--restart")
    run("batch_increment", "--restart", "--no-input")
    assert amounts() == [2] * 20 + [1] * 80


def test_the_end_of_one_leaves_the_checkpoints_of_the_others(many, run):
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    others = Checkpoint.objects.count()
    command()
    assert Checkpoint.objects.count() == others == 1


def test_a_forced_run_starts_at_the_beginning(many, amounts):
    command()
    command(force=True)
    assert amounts() == [2] * 100


def test_rows_that_come_and_go_while_it_runs(many, amounts, monkeypatch):
    from tests.testapp.management.commands.batch_increment import Command

    original = Command.perform_batch

    def perform(self, batch):
        original(self, batch)
        if batch.number == 2:
            Item.objects.filter(pk=Item.objects.order_by("-pk")[0].pk).delete()
            ItemFactory(name="late")

    monkeypatch.setattr(Command, "perform_batch", perform)
    command()
    assert amounts() == [1] * 100


def test_a_filter_that_the_update_makes_false(many, amounts, monkeypatch):
    from tests.testapp.management.commands.batch_increment import Command

    monkeypatch.setattr(Command, "get_queryset", lambda self: Item.objects.filter(amount=0))
    command()
    assert amounts() == [1] * 100


def test_a_lost_lease_undoes_the_batch_and_ends_the_run(many, amounts, monkeypatch):
    from data_migrations.exceptions import LeaseLost
    from tests.testapp.management.commands.batch_increment import Command

    original = Command.perform_batch

    def perform(self, batch):
        original(self, batch)
        if batch.number == 3:
            Lease.objects.filter(name=INCREMENT).update(token=77, owner="somebody else")

    monkeypatch.setattr(Command, "perform_batch", perform)
    with pytest.raises(LeaseLost):
        command()
    # The foreign taking was in the batch's own transaction, so it is undone as well.
    assert amounts() == [1] * 20 + [0] * 80


def test_poison_rows_are_set_aside_and_the_others_done(many, run):
    ItemFactory(name="poison 1")
    ItemFactory.create_batch(60)
    ItemFactory(name="poison 2")
    with pytest.raises(QuarantineNotEmpty, match="2 rows .* were set aside"):
        run("batch_poison")
    assert set(Item.objects.filter(name__startswith="poison").values_list("amount", flat=True)) == {0}
    assert set(Item.objects.exclude(name__startswith="poison").values_list("amount", flat=True)) == {1}
    rows = quarantine.rows(POISON, "default")
    assert [row.error for row in rows] == ["ValueError: poison 1 cannot be read", "ValueError: poison 2 cannot be read"]
    assert "in perform_batch" in rows[0].traceback
    assert not ledger.is_applied(POISON, "default")


@pytest.mark.slow
def test_three_poison_rows_in_a_hundred_thousand_are_exactly_those_set_aside(run):
    poison = {17_003, 50_000, 99_999}
    Item.objects.bulk_create(
        (Item(name=f"poison {number}" if number in poison else f"item {number}") for number in range(100_000)),
        batch_size=10_000,
    )
    with pytest.raises(QuarantineNotEmpty, match="3 rows .* were set aside"):
        run("batch_poison", "--batch-size", "5000")
    assert {row.error for row in quarantine.rows(POISON, "default")} == {
        f"ValueError: poison {number} cannot be read" for number in poison
    }
    assert Item.objects.filter(amount=1).count() == 99_997
    assert Item.objects.filter(amount=0, name__startswith="poison").count() == 3


def test_quarantined_rows_are_tried_again_and_only_they(many, run):
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    Item.objects.filter(name="poison 1").update(name="healed 1")
    run("batch_poison")
    assert set(Item.objects.values_list("amount", flat=True)) == {1}
    # All of them count.
    record = ledger.get(POISON, "default")
    assert (record.result, record.affected_rows) == ("101", 101)


def test_a_row_that_went_through_counts_also_where_another_did_not(many, run):
    ItemFactory(name="poison 1")
    ItemFactory(name="poison 2")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    Item.objects.filter(name="poison 1").update(name="healed 1")
    Item.objects.filter(name="poison 2").update(name="poison 3")
    with pytest.raises(QuarantineNotEmpty, match=r"through with 101 rows, but 1 row \(key \d+\) was set aside"):
        run("batch_poison")
    # What is known of the other one is what was wrong with it this time.
    assert [row.error for row in quarantine.rows(POISON, "default")] == ["ValueError: poison 3 cannot be read"]
    Item.objects.filter(name="poison 3").update(name="healed 2")
    run("batch_poison")
    assert ledger.get(POISON, "default").result == "102"


def test_what_went_through_on_another_try_is_undone_where_the_lease_was_taken(many, run, monkeypatch):
    from data_migrations.exceptions import LeaseLost

    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    Item.objects.filter(name="poison 1").update(name="healed 1")
    original = quarantine.release

    def steal(*args):
        Lease.objects.filter(name=POISON).update(token=77, owner="somebody else")
        original(*args)

    monkeypatch.setattr(quarantine, "release", steal)
    with pytest.raises(LeaseLost):
        run("batch_poison")
    assert Item.objects.get(name="healed 1").amount == 0
    assert len(quarantine.rows(POISON, "default")) == 1


def test_rows_set_aside_stay_so_for_a_command_that_sets_none_aside_any_more(many, run, monkeypatch):
    from tests.testapp.management.commands.batch_poison import Command

    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    monkeypatch.setattr(Command, "on_row_error", "fail")
    with pytest.raises(QuarantineNotEmpty, match=r"1 row \(key \d+\) was set aside"):
        run("batch_poison")
    assert not ledger.is_applied(POISON, "default")


def test_rows_set_aside_hold_up_a_django_migration_as_well(many, run, amounts):
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    with pytest.raises(QuarantineNotEmpty, match=r"1 row \(key \d+\) was set aside"), transaction.atomic():
        command("batch_poison")
    assert not ledger.is_applied(POISON, "default")
    # Once it is mended it is tried again there, too, and kept with the transaction.
    Item.objects.filter(name="poison 1").update(name="healed 1")
    with transaction.atomic():
        command("batch_poison")
    assert ledger.is_applied(POISON, "default")
    assert set(amounts()) == {1}
    assert quarantine.rows(POISON, "default") == []


def test_what_is_reversed_begins_anew(many, run, monkeypatch):
    from tests.testapp.management.commands.batch_poison import Command

    def reverse(self, dry_run=False):
        Item.objects.update(amount=0)

    monkeypatch.setattr(Command, "reverse_migration", reverse)
    run("batch_poison")
    row = Item.objects.order_by("pk")[50]
    Item.objects.filter(pk=row.pk).update(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison", "--force")
    run("batch_poison", "--reverse")
    Item.objects.filter(pk=row.pk).update(name="healed 1")
    run("batch_poison")
    assert set(Item.objects.values_list("amount", flat=True)) == {1}
    assert ledger.is_applied(POISON, "default")


def test_accepted_rows_do_not_stand_in_the_way(many, run):
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    assert quarantine.accept(POISON, "default", by="ana", reason="a test account") == 1
    run("batch_poison")
    assert ledger.is_applied(POISON, "default")


def test_another_source_than_a_table():
    with pytest.raises(StoppedEarly):
        executor.prepare  # noqa: B018
        from django.core.management import call_command

        call_command("batch_numbers", "--limit-batches", "2", verbosity=0)
    assert Item.objects.count() == 14
    outcome = command("batch_numbers")
    assert Item.objects.count() == 30
    assert outcome.result == "30"


def test_a_dry_run_does_the_first_batches_and_undoes_them(many, amounts, run):
    output = run("batch_increment", "--dry-run")
    assert "testapp_item: 0 inserted, 30 updated, 0 deleted" in output
    assert amounts() == [0] * 100
    assert not Checkpoint.objects.exists()
    assert "100 updated" in run("batch_increment", "--dry-run", "--dry-run-batches", "0")


def test_inside_a_transaction_it_is_all_or_nothing_and_says_so(many, amounts, listener):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        command(reporters=[listener])
        1 / 0  # noqa: B018
    assert amounts() == [0] * 100
    assert any("all or nothing" in text for _, text in listener.of("message"))
    assert not Checkpoint.objects.exists()


def test_batch_size_and_pause_can_be_changed_while_it_runs(many, amounts, listener, monkeypatch):
    from tests.testapp.management.commands.batch_increment import Command

    sizes = []
    original = Command.perform_batch

    def perform(self, batch):
        original(self, batch)
        sizes.append(len(batch))

    monkeypatch.setattr(Command, "perform_batch", perform)
    monkeypatch.setattr("data_migrations.batchrun.WISHES_SECONDS", 0)
    with pytest.raises(StoppedEarly):
        from django.core.management import call_command

        call_command("batch_increment", "--limit-batches", "1", verbosity=0)
    assert checkpoints.wish(INCREMENT, "default", batch_size=45, pause=0.001)
    command(reporters=[listener])
    # What was asked for in between holds from the first batch on.
    assert sizes == [10, 45, 45]
    told = [text for _, text in listener.of("message")]
    assert "Batch size set to 45 from outside." in told
    assert "Pause between batches set to 0.001 s from outside." in told
    # Once for each of the two: how long it still takes is told by the new pace alone.
    assert len(listener.of("pace_changed")) == 2


def test_a_run_says_after_how_many_rows_of_earlier_ones_it_begins_and_how_many_it_did_itself(many, run, listener):
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "3")
    outcome = command(reporters=[listener])
    assert listener.of("going_on") == [30]
    assert (outcome.affected_rows, outcome.rows_before) == (100, 30)
    outcome = command(reporters=[listener], force=True)
    assert listener.of("going_on") == [30, 0]
    assert (outcome.affected_rows, outcome.rows_before) == (100, 0)


def test_a_retry_of_quarantined_rows_tells_a_shell_its_own_rows(many, run):
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    Item.objects.filter(name="poison 1").update(name="healed 1")
    output = run("batch_poison")
    assert "Trying 1 row again that was set aside." in output
    assert "It went through (key " in output
    assert ", 1 row affected (101 with those of earlier runs)." in output


def test_a_connection_lost_while_it_looks_for_wishes_ends_nothing(many, amounts, listener, monkeypatch):
    looks = []

    def cut(name, using):
        looks.append(name)
        if len(looks) == 2:
            # As a server that restarts does it: the error comes from the connection, which is of no use any more.
            lose_connection(using)
            Item.objects.using(using).exists()
        return None, None

    monkeypatch.setattr("data_migrations.batchrun.WISHES_SECONDS", 0)
    monkeypatch.setattr(checkpoints, "wishes", cut)
    command(reporters=[listener])
    assert len(looks) > 2
    assert amounts() == [1] * 100
    assert ledger.is_applied(INCREMENT, "default")


def lose_connection(using):
    """Break this thread's connection under Django's feet."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        # There is no server to lose: what a lost connection raises has to do.
        raise OperationalError("disk I/O error")
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        connection.connection.close()
    else:
        connection.connection._force_close()


def test_it_waits_while_it_is_throttled_and_says_why(many, amounts, listener, monkeypatch, settings):
    from tests.testapp.management.commands.batch_increment import Command

    settings.DATA_MIGRATIONS = {"THROTTLE_SECONDS": 0.001}
    answers = iter(["too busy", "too busy", "still too busy"])
    monkeypatch.setattr(Command, "throttle", lambda self: next(answers, None))
    command(reporters=[listener])
    told = [text for _, text in listener.of("message")]
    assert told.count("Waiting: too busy") == 1
    assert told.count("Waiting: still too busy") == 1
    assert amounts() == [1] * 100


def test_a_transient_error_has_the_batch_tried_again(many, amounts, listener, monkeypatch):
    from django.db.utils import OperationalError

    from tests.testapp.management.commands.batch_increment import Command

    original = Command.perform_batch
    failures = iter([OperationalError(1213, "Deadlock found"), OperationalError("database is locked")])

    def perform(self, batch):
        original(self, batch)
        if batch.number == 4:
            error = next(failures, None)
            if error is not None:
                raise error

    monkeypatch.setattr(Command, "perform_batch", perform)
    command(reporters=[listener])
    assert amounts() == [1] * 100
    assert sum("Trying it again" in text for _, text in listener.of("message")) == 2


def test_marking_settles_an_interrupted_one(many, run):
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "2")
    assert state() == State.INTERRUPTED
    run("custom_migrations", "mark", INCREMENT)
    assert state() == State.APPLIED
    assert not Checkpoint.objects.exists()


def test_the_record_counts_the_rows_of_earlier_runs_too(many, run):
    with pytest.raises(StoppedEarly):
        run("batch_increment", "--limit-batches", "2")
    run("batch_increment")
    assert ledger.get(INCREMENT, "default").affected_rows == 100


def test_verify_sees_the_whole_and_not_the_first_batches(many, run, monkeypatch):
    from data_migrations.exceptions import VerificationFailed
    from tests.testapp.management.commands.batch_increment import Command

    def verify(self):
        if Item.objects.filter(amount=0).exists():
            raise ValueError("some are left")
        raise ValueError("none is left")

    monkeypatch.setattr(Command, "verify", verify)
    run("batch_increment", "--dry-run")
    with pytest.raises(VerificationFailed, match="none is left. Its committed batches are kept"):
        run("batch_increment")


@pytest.mark.parametrize("loaded", [True, False])
def test_a_checkpoint_that_cannot_be_written_undoes_its_batch(many, amounts, monkeypatch, loaded):
    from data_migrations.checkpoints import Position

    original = Position.store

    def store(self, lease):
        original(self, lease)
        if self.batches == 4:
            raise RuntimeError("killed here")

    monkeypatch.setattr(Position, "store", store)
    with pytest.raises(Exception, match="killed here"):
        command(values={"loaded": loaded})
    assert amounts() == [1] * 30 + [0] * 70
    assert checkpoints.find(INCREMENT, "default").rows == 30


def test_a_process_that_dies_before_it_wrote_the_checkpoint_leaves_no_batch_behind(many, amounts, monkeypatch):
    """The same as seen by another connection: until the checkpoint is there, the batch's changes are not."""
    import threading

    from django.db import connection

    from data_migrations.checkpoints import Position

    seen = []
    original = Position.store

    def look():
        try:
            seen.append(Item.objects.filter(amount=1).count())
        finally:
            connection.close()

    def store(self, lease):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        original(self, lease)

    monkeypatch.setattr(Position, "store", store)
    command()
    # The last one finds that there are no more batches.
    assert seen == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def test_marks_that_change_nothing_leave_an_interrupted_run_as_it_is(many, run, amounts):
    with pytest.raises(BatchFailed):
        command(values={"fail_at": 4})
    assert "Was not applied" in run("custom_migrations", "unmark", INCREMENT)
    assert checkpoints.find(INCREMENT, "default").rows == 30
    command()
    with pytest.raises(BatchFailed):
        command(values={"fail_at": 4}, force=True)
    assert "Already applied" in run("custom_migrations", "mark", INCREMENT)
    assert "run it again with --force" in run("custom_migrations", "list", "--name", INCREMENT)
    command(force=True)
    assert amounts() == [2] * 100


def test_a_mark_drops_what_was_set_aside(many, run, amounts):
    ItemFactory(name="poison 1")
    with pytest.raises(QuarantineNotEmpty):
        run("batch_poison")
    run("custom_migrations", "mark", POISON)
    Item.objects.filter(name="poison 1").update(name="healed 1")
    command("batch_poison", force=True)
    assert amounts() == [2] * 100 + [1]


def test_a_restart_whose_lease_was_taken_drops_nothing(many, monkeypatch):
    from data_migrations.exceptions import LeaseLost

    with pytest.raises(BatchFailed):
        command(values={"fail_at": 4})
    original = checkpoints.forget

    def steal(*args):
        Lease.objects.filter(name=INCREMENT).update(token=77, owner="somebody else")
        original(*args)

    monkeypatch.setattr(checkpoints, "forget", steal)
    from django.core.management import call_command

    with pytest.raises(LeaseLost):
        call_command("batch_increment", "--restart", "--no-input", verbosity=0)
    assert checkpoints.find(INCREMENT, "default").rows == 30
