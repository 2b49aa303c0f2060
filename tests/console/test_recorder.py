"""The one recorder for all doors: what is printed is kept, whatever happens to the run."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import OperationalError, connections, transaction

from console import doors, drain, logs, presence, rescue, spool, store, watch
from console.endings import Ending
from console.models import Attempt, Run
from console.recorder import Recorder
from console.states import Status
from data_migrations.exceptions import MigrationFailed, StoppedEarly
from data_migrations.reporting import Door, Holder, Outcome, OutcomeKind, RunInfo
from data_migrations.samples import plain
from data_migrations.utils.migrations import run_once
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def recording(settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "RECORD": True}


def info(**changes: Any) -> RunInfo:
    values: dict[str, Any] = {
        "key": os.urandom(16).hex(),
        "name": "some_migration_2026_01_01",
        "command_name": "some",
        "using": "default",
        "door": Door.SHELL,
        "by": "ana",
        "reason": "because",
        "dry_run": False,
        "force": False,
        "reverse": False,
        "arguments": {"count": 3},
        "atomic": True,
        "checksum": "abc",
        "started_at": datetime.now(UTC),
    }
    return RunInfo(**{**values, **changes})


def begin(run: RunInfo, **options: Any) -> Recorder:
    recorder = Recorder(doors.head_of(run), **options)
    recorder.started(run)
    return recorder


def texts(run: Run) -> list[str]:
    return [line.text for line in logs.read(run, limit=5000).lines]


def until(condition: Callable[[], Any]) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not come true")


def test_a_run_from_the_shell_is_in_the_history() -> None:
    Item.objects.create(name="one")
    call_command("increment", lines=2, stdout=io.StringIO(), stderr=io.StringIO())
    run = Run.objects.get()
    assert (run.migration, run.command_name, run.kind) == ("increment_items_2026_01_01", "increment", "run")
    assert (run.status, run.attempt, run.affected_rows, run.result) == (Status.SUCCEEDED, 1, 1, "1")
    assert run.door in ("shell", "code")
    assert run.arguments["lines"] == 2
    assert run.requested_by
    assert run.host
    assert run.pid == os.getpid()
    assert texts(run) == ["line 0", "line 1", "begun", "changed"]
    assert run.attempts.get().ended_at
    assert spool.journals() == []


def test_a_failed_run_from_the_shell_is_in_the_history_with_all_it_printed() -> None:
    with pytest.raises(MigrationFailed):
        call_command("failing", stdout=io.StringIO(), stderr=io.StringIO())
    run = Run.objects.get()
    assert (run.status, run.error_class) == (Status.FAILED, "ValueError")
    assert texts(run)[:2] == ["about to fail", "Traceback (most recent call last):"]


def test_run_once_is_in_the_history() -> None:
    with run_once("by_code_2026_01_01"):
        print("printed within")
    run = Run.objects.get()
    assert (run.door, run.status) == ("code", Status.SUCCEEDED)
    assert texts(run) == ["printed within"]


@pytest.mark.filterwarnings("default:through warnings")
def test_every_way_of_printing_is_kept_with_its_level() -> None:
    call_command("noisy", stdout=io.StringIO(), stderr=io.StringIO())
    found = {line.text: line.level for line in logs.read(Run.objects.get()).lines}
    assert found["through self.stdout"] == "o"
    assert found["through self.stderr"] == "e"
    assert found["through print"] == "o"
    assert found["through print to stderr"] == "e"
    assert found["tests.noisy: through logging"] == "w"
    assert found["django.request: through django's own logger"] == "r"
    assert [level for text, level in found.items() if "through warnings" in text] == ["w"]


@pytest.mark.filterwarnings("default:through warnings")
def test_progress_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("noisy", stdout=io.StringIO(), stderr=io.StringIO())
    run = Run.objects.get()
    assert (run.progress_done, run.progress_total) == (2, 2)
    # Where it is told with the end only, it was so far then.
    monkeypatch.setattr("console.watch.Watch._beat", lambda self: None)
    call_command("noisy", force=True, stdout=io.StringIO(), stderr=io.StringIO())
    run = Run.objects.latest()
    assert (run.progress_done, run.progress_at) == (2, run.finished_at)


def test_nothing_is_recorded_where_that_is_switched_off_or_a_test_runs(settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "RECORD": False}
    assert doors.for_run(info()) is None
    settings.CONSOLE = {**settings.CONSOLE, "RECORD": "auto"}
    assert hasattr(mail, "outbox")
    assert doors.for_run(info()) is None


def test_outside_a_test_runs_are_recorded_by_default(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "RECORD": "auto"}
    monkeypatch.delattr(mail, "outbox")
    assert doors.is_recording()


def test_a_workers_run_is_not_recorded_a_second_time() -> None:
    assert doors.for_run(info(door=Door.WORKER)) is None


def test_lines_can_be_read_while_the_run_goes_on() -> None:
    recorder = begin(info())
    recorder.output("stdout", "first\nsecond\nhal")
    until(lambda: Run.objects.filter(log_next=3))
    run = Run.objects.get()
    assert run.status == Status.RUNNING
    assert texts(run) == ["first", "second"]
    recorder.output("stdout", "f\n")
    until(lambda: Run.objects.filter(log_next=4))
    assert texts(run) == ["first", "second", "half"]
    recorder.finished(Outcome(OutcomeKind.APPLIED))


def test_lines_can_be_read_while_the_runs_transaction_is_open_and_survive_its_rollback() -> None:
    if connections["default"].vendor == "sqlite" and spool.alias() == "default":
        pytest.skip("one file")
    recorder = begin(info())
    seen: list[str] = []

    def look() -> None:
        until(lambda: Run.objects.filter(log_next=2))
        seen.extend(texts(Run.objects.get()))
        connections.close_all()

    def roll_back() -> None:
        with transaction.atomic(using="default"):
            Item.objects.create(name="undone")
            recorder.output("stdout", "in the transaction\n")
            reader = threading.Thread(target=look)
            reader.start()
            reader.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        roll_back()
    recorder.failed(ZeroDivisionError("x"), "")
    assert seen == ["in the transaction"]
    assert texts(Run.objects.get())[0] == "in the transaction"
    assert not Item.objects.exists()


def test_a_line_without_its_end_is_kept_at_the_end() -> None:
    recorder = begin(info())
    recorder.output("stdout", "no newline here")
    recorder.output("stderr", "nor here")
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert texts(Run.objects.get()) == ["no newline here", "nor here"]


def test_the_end_is_written_after_the_last_line(settings: Any) -> None:
    # A busy machine may take longer to store them than a run would wait.
    settings.CONSOLE = {**settings.CONSOLE, "END_WAIT_SECONDS": 120}
    recorder = begin(info())
    recorder.output("stdout", "".join(f"{number}\n" for number in range(20_000)))
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    run = Run.objects.get()
    assert run.status == Status.SUCCEEDED
    assert run.log_next == 20_001
    assert logs.read(run, tail=1).lines[0].text == "19999"


@pytest.mark.slow
def test_a_burst_of_fifty_thousand_lines_from_several_threads_is_kept_whole(settings: Any) -> None:
    # A busy machine may take longer to store them than a run would wait.
    settings.CONSOLE = {**settings.CONSOLE, "END_WAIT_SECONDS": 120}
    recorder = begin(info())

    def talk(name: str) -> None:
        for number in range(12_500):
            recorder.output("stdout", f"{name} {number}\n")

    # One stream each would be the rule; here all share one, line by line.
    threads = [threading.Thread(target=talk, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    run = Run.objects.get()
    kept = "".join(logs.download(run)).splitlines()
    assert len(kept) == 50_000
    for name in "abcd":
        assert [line for line in kept if line[0] == name] == [f"{name} {number}" for number in range(12_500)]


def test_secrets_are_in_neither_log_nor_journal_nor_result_nor_error() -> None:
    journalled: list[bytes] = []
    real = os.write

    def spy(file: int, data: bytes) -> int:
        journalled.append(data)
        return real(file, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", spy)
        recorder = begin(info(), secrets=["hunter2"])
        recorder.output("stdout", "pass hun")
        recorder.output("stdout", "ter2\n")
        recorder.message("info", "with hunter2")
        recorder.failed(ValueError("hunter2 is wrong"), "Traceback\n  hunter2\nValueError: hunter2 is wrong\n")
    run = Run.objects.get()
    everything = "".join(logs.download(run)) + run.error_message + run.traceback
    assert everything.count("********") == 7
    assert "hunter2" not in everything
    assert journalled
    assert not any(b"hunter2" in data for data in journalled)


def test_secrets_are_not_in_the_sample_rows_of_a_dry_run_not_even_where_a_text_was_cut() -> None:
    secret = "a-secret-of-some-length"
    text = f"{'x' * 190} {secret}"
    row = {"key": 1, "before": {"notes": plain(secret)}, "after": {"notes": plain(text), "amount": 7}}
    recorder = begin(info(dry_run=True), secrets=[secret])
    recorder.finished(Outcome(OutcomeKind.DRY_RUN, samples=[row]))
    kept = str(Run.objects.get().samples)
    assert "a-secr" not in kept
    assert "x" * 190 in kept
    assert "7" in kept


def test_what_our_own_threads_log_is_not_the_runs() -> None:
    recorder = begin(info())
    from console.threads import ConsoleThread

    class Noise(ConsoleThread):
        def run(self) -> None:
            recorder.output("logging:WARNING", "the presence of this worker has a cough\n")

    thread = Noise("noise")
    thread.start()
    thread.join()
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert texts(Run.objects.get()) == []


def test_a_signal_handler_that_prints_in_the_middle_of_a_line_does_no_harm() -> None:
    recorder = begin(info())
    with recorder._lock:
        recorder.message("warning", "SIGTERM received")
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert texts(Run.objects.get()) == ["SIGTERM received"]


def test_waiting_is_said() -> None:
    recorder = begin(info())
    recorder.waiting(Holder("host-b", 42))
    recorder.finished(Outcome(OutcomeKind.ALREADY_APPLIED))
    run = Run.objects.get()
    assert "host-b (pid 42" in texts(run)[0]
    assert "Already applied" in run.note


def test_a_run_stopped_at_the_shell_is_cancelled_and_says_how_to_go_on() -> None:
    recorder = begin(info())
    recorder.failed(StoppedEarly("stopped (SIGINT). Run it again.", reason="SIGINT"), "")
    run = Run.objects.get()
    assert run.status == Status.CANCELLED
    assert "Run it again" in run.note


# When the database does not take it.


class Blocked:
    """Has every store attempt fail until it is let go."""

    def __init__(self) -> None:
        self.tries = 0
        self.is_open = False


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Blocked:
    state = Blocked()
    step = drain.Drain.step

    def refuse(self: drain.Drain) -> bool:
        if not state.is_open:
            state.tries += 1
            raise OperationalError("database is locked")
        return step(self)

    monkeypatch.setattr(drain.Drain, "step", refuse)
    return state


def test_a_database_that_does_not_answer_neither_fails_nor_loses_anything(blocked: Blocked) -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\ntwo\n")
    until(lambda: blocked.tries >= 2)
    assert recorder.watch.is_delayed
    blocked.is_open = True
    recorder.output("stdout", "three\n")
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    run = Run.objects.get()
    assert texts(run) == ["one", "two", "three"]
    assert run.status == Status.SUCCEEDED


def test_what_could_not_be_stored_by_the_end_is_stored_by_whoever_comes(
    blocked: Blocked, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "END_WAIT_SECONDS": 0.2}
    monkeypatch.setattr(watch, "LINGER_SECONDS", 0)
    recorder = begin(info())
    recorder.output("stdout", "one\ntwo\n")
    recorder.finished(Outcome(OutcomeKind.APPLIED, result="2"))
    recorder.watch.join(timeout=20)
    assert not Run.objects.exists()
    assert len(spool.journals()) == 1
    assert drain.drain_orphans() == 0
    blocked.is_open = True
    assert drain.drain_orphans() == 1
    run = Run.objects.get()
    assert texts(run) == ["one", "two"]
    assert (run.status, run.result) == (Status.SUCCEEDED, "2")
    assert spool.journals() == []


def test_a_run_is_not_held_up_by_its_own_open_transaction(blocked: Blocked) -> None:
    """On SQLite in one file the log can be stored only after the commit: nobody waits for it before."""
    waited: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        recorder = begin(info())
        finish = recorder.watch.finish

        def spy(seconds: float) -> bool:
            waited.append(seconds)
            return finish(seconds)

        patch.setattr(recorder.watch, "finish", spy)
        with transaction.atomic(using="default"):
            recorder.finished(Outcome(OutcomeKind.ALREADY_APPLIED))
    assert waited == [0]
    blocked.is_open = True
    until(lambda: Run.objects.filter(status=Status.SUCCEEDED))


def test_an_answer_lost_after_a_commit_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection broke when the commit was already done: the same lines are offered again."""
    real = store.append_once
    state = {"broken": False}

    def breaks_once(run_id: int, attempt: Attempt, lines: Any, *, fence: Any) -> None:
        before = attempt.stored
        real(run_id, attempt, lines, fence=fence)
        if not state["broken"]:
            state["broken"] = True
            attempt.stored = before
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(store, "append_once", breaks_once)
    recorder = begin(info())
    recorder.output("stdout", "one\ntwo\n")
    until(lambda: state["broken"])
    recorder.output("stdout", "three\n")
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert texts(Run.objects.get()) == ["one", "two", "three"]


def test_a_message_of_the_database_while_storing_does_not_come_back_as_a_line(blocked: Blocked) -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\n")
    until(lambda: blocked.tries >= 1)
    blocked.is_open = True
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert texts(Run.objects.get()) == ["one"]


# Inside somebody else's transaction.


def test_a_provisional_run_succeeds_with_the_commit_around_it() -> None:
    recorder = begin(info())
    with transaction.atomic(using="default"):
        recorder.finished(Outcome(OutcomeKind.APPLIED, result="7", provisional=True))
        transaction.on_commit(recorder.committed, using="default", robust=True)
    run = Run.objects.get()
    assert (run.status, run.result) == (Status.SUCCEEDED, "7")


def test_a_provisional_run_fails_with_the_rollback_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder._notice_rollback, "__defaults__", (0.1,))
    recorder = begin(info())
    with transaction.atomic(using="default"):
        recorder.finished(Outcome(OutcomeKind.APPLIED, provisional=True))
        transaction.set_rollback(True, using="default")
    until(lambda: Run.objects.filter(status=Status.FAILED))
    assert "rolled back" in Run.objects.get().error_message


# What a killed process leaves.


def abandon(recorder: Recorder, *last_words: str) -> None:
    """Leave everything as a SIGKILL would: the thread stops in its tracks, the lock falls."""
    recorder.watch._deadline = 0
    recorder.watch.wake()
    recorder.watch.join(timeout=20)
    for word in last_words:
        recorder._journal.line("o", word)
    recorder._journal.close()
    recorder.is_ended = True


def test_the_rest_of_a_killed_run_is_stored_and_the_run_shown_as_interrupted(blocked: Blocked) -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\ntwo\n")
    abandon(recorder)
    blocked.is_open = True
    assert drain.drain_orphans() == 1
    run = Run.objects.get()
    assert texts(run) == ["one", "two"]
    assert run.status == Status.RUNNING
    Attempt.objects.update(pid_started="1")
    rescue.sweep()
    run.refresh_from_db()
    assert run.status == Status.INTERRUPTED
    assert "Run it again the way it was started" in run.note
    assert texts(run)[:2] == ["one", "two"]


def test_lines_that_were_stored_before_a_kill_are_not_stored_again_after_it() -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\ntwo\n")
    until(lambda: Run.objects.filter(log_next=3))
    abandon(recorder, "three")
    assert drain.drain_orphans() == 1
    assert texts(Run.objects.get()) == ["one", "two", "three"]


def test_the_beginning_of_a_line_that_a_kill_cut_off_is_kept() -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\nabout to do something dangerous… ")
    segment = recorder._journal.path / "00000000"
    until(lambda: '"kind": "partial"' in segment.read_text())
    abandon(recorder)
    assert drain.drain_orphans() == 1
    assert texts(Run.objects.get()) == ["one", "about to do something dangerous… "]


def test_the_end_of_a_run_whose_process_died_before_it_was_stored_counts(blocked: Blocked, settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "END_WAIT_SECONDS": 0}
    recorder = begin(info())
    recorder.finished(Outcome(OutcomeKind.APPLIED, result="done"))
    abandon(recorder)
    blocked.is_open = True
    drain.drain_orphans()
    assert Run.objects.get().status == Status.SUCCEEDED


def test_a_journal_found_after_its_run_was_taken_over_is_appended_and_marked() -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\n")
    until(lambda: Run.objects.filter(log_next=2))
    abandon(recorder, "two")
    run = Run.objects.get()
    Run.objects.update(attempt=2)
    second = Attempt.objects.create(run=run, number=2)
    assert drain.drain_orphans() == 1
    found = texts(run)
    assert found[0] == "one"
    assert found[1].startswith("Lines of attempt 1, found later on")
    assert found[2:] == ["two"]
    assert second.stored == 0
    run.refresh_from_db()
    assert run.status == Status.RUNNING


def test_a_journal_that_cannot_be_read_is_left_and_does_not_keep_the_others(spool_dir: Any) -> None:
    bad = spool.folder() / "bad-1"
    bad.mkdir()
    (bad / "run.json").write_text("{")
    recorder = begin(info())
    recorder.output("stdout", "one\n")
    abandon(recorder)
    assert drain.drain_orphans() == 1
    assert bad.exists()


def test_a_writer_that_is_turned_away_has_its_run_told(settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "CONTROL_SECONDS": 3600}
    heard: list[str] = []
    recorder = begin(info(), on_control=heard.append)
    until(lambda: Run.objects.exists())
    Run.objects.update(attempt=2)
    recorder.output("stdout", "late\n")
    until(lambda: heard)
    recorder.output("stdout", "later\n")
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert heard == ["superseded"]
    run = Run.objects.get()
    assert (run.status, texts(run)) == (Status.RUNNING, [])
    assert spool.journals() == []


def test_a_journal_whose_run_goes_on_is_left_to_it() -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\n")
    assert drain.drain_orphans() == 0
    recorder.output("stdout", "two\n")
    until(lambda: Run.objects.filter(log_next=3))
    assert drain.drain_orphans() == 0
    recorder.output("stdout", "three\n")
    recorder.finished(Outcome(OutcomeKind.APPLIED))
    assert texts(Run.objects.get()) == ["one", "two", "three"]


def test_two_that_drain_at_once_store_everything_once() -> None:
    recorder = begin(info())
    recorder.output("stdout", "".join(f"{number}\n" for number in range(3000)))
    abandon(recorder)

    def work() -> None:
        try:
            drain.drain_orphans()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "".join(logs.download(Run.objects.get())).splitlines() == [str(number) for number in range(3000)]


def test_a_workers_tick_stores_what_others_left() -> None:
    recorder = begin(info())
    recorder.output("stdout", "one\n")
    abandon(recorder)
    from data_migrations.processes import Process

    presence.Presence(Process.current()).tick()
    assert texts(Run.objects.get()) == ["one"]


def test_groups_are_lines_of_the_log_that_a_reader_of_plain_text_can_live_with() -> None:
    call_command("grouped", stdout=io.StringIO(), stderr=io.StringIO())
    lines = logs.read(Run.objects.get()).lines
    assert [line.level for line in lines] == list("ogogohho")
    assert [line.text.partition(": ")[0] for line in lines] == [
        "before", "Loading", "loading", "Users of the shop", "half a line", "Users of the shop", "Loading", "after",
    ]  # fmt: skip
    with pytest.raises(MigrationFailed):
        call_command("grouped", "--force", "--broken", stdout=io.StringIO(), stderr=io.StringIO())
    lines = logs.read(Run.objects.latest()).lines
    assert "".join(line.level for line in lines).startswith("ogogoxxr")
    assert lines[6].text.startswith("Loading: failed after ")


def test_a_heading_is_masked_and_cut_like_any_line(settings: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "LINE_BYTES": 40}
    run = info(secrets=("hunter22",))
    recorder = begin(run, secrets=run.secrets)
    recorder.group_began("Loading with hunter22 " + "x" * 100)
    recorder.end(Ending(Status.SUCCEEDED, "done"))
    (line,) = texts(Run.objects.get())
    assert line.startswith("Loading with ****")
    assert "[cut:" in line
