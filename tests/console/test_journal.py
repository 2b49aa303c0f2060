"""What was printed lies on disk the moment it is printed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console import journal, spool
from console.journal import Cursor, Journal, Line, Note

HEAD = {"key": "k", "attempt": {"number": 1}}


def read_all(path: Path, lines: int = 500, size: int = 65536) -> list[Any]:
    cursor = Cursor(path)
    records = []
    while batch := cursor.read(lines, size):
        records += batch
    return records


def test_what_is_written_is_read_back_in_its_order() -> None:
    written = Journal.create("a-1", HEAD)
    written.line("o", "one")
    written.add([("e", "two\t\u2028", False), ("r", "three", True)])
    written.note("end", status="failed")
    one, two, three, end = read_all(written.path)
    assert (one.index, one.level, one.text) == (0, "o", "one")
    assert (two.index, two.text) == (1, "two\t\u2028")
    assert three.is_error
    assert end == Note("end", {"status": "failed"})
    assert journal.head(written.path) == HEAD


def test_a_reader_keeps_up_with_a_writer_across_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 300)
    written = Journal.create("a-1", HEAD)
    cursor = Cursor(written.path)
    seen = []
    for number in range(200):
        written.line("o", f"line {number}")
        if number % 7 == 0:
            seen += cursor.read(500, 65536)
            for path in cursor.behind():
                path.unlink()
    seen += cursor.read(500, 65536)
    assert [line.text for line in seen] == [f"line {number}" for number in range(200)]
    assert len(journal.segments(written.path)) < 5


def test_lines_added_between_a_look_and_the_next_segment_are_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = Journal.create("a-1", HEAD)
    cursor = Cursor(written.path)
    written.line("o", "one")
    cursor.read(500, 65536)
    following = cursor._following

    def racing() -> Path | None:
        if written.lines == 1:
            written.line("o", "two")
            written._next_segment()
            written.line("o", "three")
        return following()

    monkeypatch.setattr(cursor, "_following", racing)
    assert [line.text for line in read_all_with(cursor)] == ["two", "three"]


def read_all_with(cursor: Cursor) -> list[Line]:
    records: list[Any] = []
    while batch := cursor.read(500, 65536):
        records += batch
    return records


def test_one_record_longer_than_what_is_asked_for_is_read_whole() -> None:
    written = Journal.create("a-1", HEAD)
    written.line("o", "x" * 5000)
    [line] = read_all(written.path, size=100)
    assert line.text == "x" * 5000


def test_a_record_that_is_not_complete_yet_waits() -> None:
    written = Journal.create("a-1", HEAD)
    written.line("o", "one")
    segment = journal.segments(written.path)[0]
    cursor = Cursor(written.path)
    with segment.open("ab") as file:
        file.write(b'[1,0,"o","tw')
        file.flush()
        assert [line.text for line in cursor.read(500, 65536)] == ["one"]
        file.write(b'o"]\n')
        file.flush()
        assert [line.text for line in cursor.read(500, 65536)] == ["two"]


def test_a_full_disk_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Journal.create("a-1", HEAD)
    written.line("o", "before")
    real = os.write
    state = {"full": True}

    def write(file: int, data: bytes) -> int:
        if state["full"]:
            real(file, data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        written.line("o", "lost")
        state["full"] = False
        written.line("o", "after")
    assert [(line.index, line.text) for line in read_all(written.path)] == [(0, "before"), (2, "after")]


def test_the_middle_is_let_go_when_too_much_waits(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1000)
    settings.CONSOLE = {**settings.CONSOLE, "SPOOL_CAP_BYTES": 5000}
    written = Journal.create("a-1", HEAD)
    for number in range(1000):
        written.line("o", f"line {number}")
    indexes = [line.index for line in read_all(written.path)]
    assert indexes[0] == 0
    assert indexes[-1] == 999
    assert len(indexes) < 300
    assert sum(path.stat().st_size for path in journal.segments(written.path)) <= 6000


def test_a_journal_with_a_writer_is_not_adopted_and_one_without_is() -> None:
    written = Journal.create("a-1", HEAD)
    assert journal.adopt(written.path) is None
    written.close()
    lock = journal.adopt(written.path)
    assert lock is not None
    assert journal.adopt(written.path) is None
    os.close(lock)


def test_a_journal_is_never_seen_half_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, *args: Any, **kwargs: Any) -> None:
        assert spool.journals() == []
        raise OSError("interrupted")

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(OSError, match="interrupted"):
        Journal.create("a-1", HEAD)
    assert spool.journals() == []


def test_a_child_of_a_fork_does_not_write_into_its_parents_journal() -> None:
    written = Journal.create("a-1", HEAD)
    monkey = written._pid
    written._pid = monkey + 1
    written.line("o", "of the child")
    written._pid = monkey
    written.line("o", "of the parent")
    assert [line.text for line in read_all(written.path)][-1] == "of the parent"
    assert len(read_all(written.path)) == 1


def test_a_closed_journal_writes_into_nobody_elses_file(tmp_path: Path) -> None:
    written = Journal.create("a-1", HEAD)
    written.close()
    with (tmp_path / "other").open("wb") as other:
        assert other.fileno() > 0
        written.line("o", "too late")
    assert (tmp_path / "other").read_bytes() == b""


KILLED = """
import sys, os, signal
from pathlib import Path
sys.path.insert(0, {root!r})
import django
from django.conf import settings
settings.configure(
    CONSOLE={{"SPOOL_DIR": {spool!r}}},
    SECRET_KEY="x",
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "console", "django_q", "data_migrations"],
    Q_CLUSTER={{"orm": "default", "timeout": 1, "retry": 2}},
)
django.setup()
from console.journal import Journal
journal = Journal.create("k-1", {{"key": "k", "attempt": {{"number": 1}}}})
print(journal.path, flush=True)
for number in range(1000):
    journal.line("o", f"line {{number}}")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_line_written_before_a_kill_is_there_and_the_journal_can_be_adopted(spool_dir: Path) -> None:
    code = KILLED.format(root=str(Path(__file__).parents[2]), spool=str(spool_dir))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr
    path = Path(done.stdout.strip())
    assert [line.text for line in read_all(path)] == [f"line {number}" for number in range(1000)]
    lock = journal.adopt(path)
    assert lock is not None
    os.close(lock)


def test_records_are_lines_of_json_that_any_tool_reads() -> None:
    written = Journal.create("a-1", HEAD)
    written.line("o", "naïve")
    raw = journal.segments(written.path)[0].read_text(encoding="utf-8")
    index, _, level, text = json.loads(raw)
    assert (index, level, text) == (0, "o", "naïve")


def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "SPOOL_DIR": None}
    monkeypatch.setattr("console.spool.tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / f"console-spool-{os.geteuid()}").symlink_to(tmp_path)
    with pytest.raises(spool.SpoolUnusable, match="belongs to another user"):
        spool.folder()


def test_the_spool_folder_is_private_and_differs_between_databases(settings: Any) -> None:
    folder = spool.folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    from django.db import connections

    name = connections[spool.alias()].settings_dict["NAME"]
    connections[spool.alias()].settings_dict["NAME"] = f"{name}-other"
    try:
        assert spool.folder() != folder
    finally:
        connections[spool.alias()].settings_dict["NAME"] = name
