"""A file from the browser, through form and confirm page, to the worker, and away again."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client
from django.utils import timezone

from console import dispatch, uploads, worker
from console.models import Run, Upload, UploadPart
from tests.console.pages import address, run_address
from tests.testapp.management.commands.import_items import Command
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

IMPORT = "import_items_2026_02_20"
ROWS = "name,amount\n" + "".join(f"item {number},{number}\n" for number in range(20))


def fill_in(client: Client, content: str | bytes = ROWS, name: str = "items.csv", **values: Any) -> str:
    """What comes after the form."""
    data = {"kind": "run", "database": "default", "reason": "because", "arg-each": "0", **values}
    data |= {"arg-csv_encoding": "utf-8-sig", "arg-csv_delimiter": ","}
    raw = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile(name, raw, "text/csv")
    return client.post(address("run", IMPORT), {**data, "arg-csv": file}).content.decode()


def start(client: Client, page: str) -> Run:
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found, page
    client.post(address("start", IMPORT), {"ticket": found[1]})
    return Run.objects.latest()


def test_a_file_is_uploaded_checked_confirmed_worked_on_and_taken_away(client_of_ana: Client) -> None:
    form = client_of_ana.get(address("run", IMPORT)).content.decode()
    assert 'enctype="multipart/form-data"' in form
    assert 'type="file"' in form
    page = fill_in(client_of_ana, name="../../etc/my items.csv")
    assert "my_items.csv (uploaded)" in page
    assert Item.objects.count() == 0
    run = start(client_of_ana, page)
    assert Upload.objects.get().run == run
    assert uploads.forget() == 0
    worker.perform(run.pk)
    run.refresh_from_db()
    assert (run.status, run.result) == ("succeeded", "20")
    assert Item.objects.filter(name="item 19", amount=19).exists()
    assert "my_items.csv (uploaded)" in client_of_ana.get(run_address(run)).content.decode()
    assert uploads.forget() == 1
    assert not Upload.objects.exists()
    assert not UploadPart.objects.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("title,amount\na,1\n", "has no column &#x27;name&#x27;"),
        ("", "empty"),
        ("name,amount\na,1\nb\n", "Row 2 (line 3) of items.csv has 1 values"),
        (b"name,amount\n\xff\xfe,1\n", "cannot be read as CSV in utf-8"),
        ("name,amount\n" + "x" * 3000 + ",1\n", "at most 2,000 can be uploaded here"),
    ],
)
def test_a_file_that_will_not_do_is_turned_away_before_anything_is_kept(
    client_of_ana: Client, settings: Any, content: str | bytes, why: str
) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "UPLOAD_BYTES": 2000}
    page = fill_in(client_of_ana, content)
    assert why in page
    assert "console-upload" not in page
    assert "/tmp" not in page
    assert not Upload.objects.exists()
    assert not Run.objects.exists()


def test_a_path_on_the_server_is_not_taken(client_of_ana: Client) -> None:
    values = {"kind": "run", "database": "default", "reason": "x", "arg-each": "0", "arg-csv": "/etc/passwd"}
    page = client_of_ana.post(address("run", IMPORT), values).content.decode()
    assert "This field is required" in page


def test_a_large_file_comes_back_byte_for_byte(client_of_ana: Client) -> None:
    raw = bytes(range(256)) * 6000
    value = uploads.store(SimpleUploadedFile("raw.bin", raw), "ana")
    assert UploadPart.objects.count() == 3
    with uploads.local({"csv": value, "each": 1}) as values:
        assert values["each"] == 1
        with open(values["csv"], "rb") as file:
            assert file.read() == raw
        path = values["csv"]
    with pytest.raises(FileNotFoundError):
        open(path, "rb").close()


def test_a_paused_import_goes_on_in_the_same_file(client_of_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(client_of_ana, fill_in(client_of_ana))
    perform = Command.perform_batch

    def ask() -> None:
        dispatch.request_pause(run.pk, "bea")
        connections.close_all()

    def pausing(self: Any, batch: Any) -> None:
        perform(self, batch)
        # Not within the batch's own transaction.
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join()
        time.sleep(0.5)

    with monkeypatch.context() as patch:
        patch.setattr(Command, "perform_batch", pausing)
        worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == "paused"
    assert 0 < Item.objects.count() < 20
    assert uploads.forget() == 0
    assert dispatch.request_resume(run.pk, "bea")
    worker.perform(run.pk)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("succeeded", 2)
    assert sorted(Item.objects.values_list("amount", flat=True)) == list(range(20))


def test_copies_of_killed_processes_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as ended:
        pass
    dead, alive, other = (
        tmp_path / name for name in (f"console-upload-{ended.pid}-a", f"console-upload-{os.getpid()}-b", "console-x-1")
    )
    for folder in (dead, alive, other):
        folder.mkdir()
    uploads.forget()
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])


def test_a_file_that_was_never_used_goes_after_a_while(client_of_ana: Client) -> None:
    fill_in(client_of_ana)
    assert uploads.forget() == 0
    Upload.objects.update(uploaded_at=timezone.now() - timedelta(hours=3))
    assert uploads.forget() == 1


def test_a_run_whose_file_is_gone_says_so(client_of_ana: Client) -> None:
    run = start(client_of_ana, fill_in(client_of_ana))
    Upload.objects.all().delete()
    worker.perform(run.pk)
    run.refresh_from_db()
    assert run.status == "failed"
    assert "upload it again" in run.error_message
