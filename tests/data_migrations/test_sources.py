"""Batches from CSV files: what is refused before anything runs, and where a run goes on."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.core.management import call_command

from data_migrations import checkpoints, executor, ledger, quarantine
from data_migrations.exceptions import (
    BatchFailed,
    InvalidArgument,
    Misconfigured,
    QuarantineNotEmpty,
    SourceRefused,
    StoppedEarly,
)
from data_migrations.sources import CsvSource
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NAME = "import_items_2026_02_20"
PAGE = 'name,amount\nplain,1\n"two\nlines",2\n\n"a ""quoted"" one, with comma",3\r\nümlaut 😀,4\n"last\r\n\r\n",5'
NAMES = ["plain", "two\nlines", 'a "quoted" one, with comma', "ümlaut 😀", "last\r\n\r\n"]


@pytest.fixture
def page(tmp_path):
    """Write a file; its path."""

    def write(text=PAGE, encoding="utf-8", name="items.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def many(count):
    return "name,amount\n" + "".join(f'"row\n{number}",{number}\n' for number in range(1, count + 1))


def read(source, size):
    """All rows, each batch by a source that has seen nothing but the cursor."""
    cursor, number, rows = None, 1, []
    source.begin(None)
    while found := source.next(cursor, number, size):
        batch, cursor = found
        cursor = json.loads(json.dumps(cursor))
        rows += list(batch)
        number += 1
        source.begin(cursor)
    return rows


def imported(path, **values):
    return executor.run_command("import_items", values={"csv": str(path), **values})


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_any_row_is_found_again_by_its_byte(page, size, mark):
    path = page(mark + PAGE)
    rows = read(CsvSource(path, ["name", "amount"]), size)
    assert rows == [{"name": name, "amount": str(number)} for number, name in enumerate(NAMES, start=1)]
    assert rows == list(csv.DictReader(io.StringIO(PAGE, newline="")))


def test_going_on_reads_nothing_of_what_is_done(page, monkeypatch):
    path = page(many(1000))
    source = CsvSource(path)
    source.begin(None)
    _, cursor = source.next(None, 1, 990)
    size = path.stat().st_size
    offsets = []
    original = CsvSource._records

    def records(self, file, offset, row, line):
        offsets.append(offset)
        return original(self, file, offset, row, line)

    monkeypatch.setattr(CsvSource, "_records", records)
    batch, after = source.next(cursor, 2, 990)
    assert offsets == [cursor["offset"]]
    assert size - cursor["offset"] < 150
    assert (batch.start, len(batch), after["offset"], after["row"]) == (991, 10, size, 1000)
    assert source.next(after, 3, 10) is None
    assert source.words(after) == "row 1000 of items.csv"


def test_every_row_is_inserted_once_across_stops_and_failures(page, amounts, listener):
    path = page(many(60))
    with pytest.raises(StoppedEarly):
        call_command("import_items", "--csv", str(path), "--limit-batches", "3", verbosity=0)
    Item.objects.create(name="row\n30", amount=-1)
    with pytest.raises(BatchFailed, match=r"batch 5 \(rows 29 to 35 of items.csv, from line 58 on\)"):
        imported(path)
    Item.objects.filter(amount=-1).delete()
    outcome = executor.run_command("import_items", values={"csv": str(path)}, reporters=[listener])
    assert outcome.result == "60"
    assert amounts() == list(range(1, 61))
    assert ("info", "Resuming after batch 4: 28 rows were done, the last of them row 28 of items.csv.") in listener.of(
        "message"
    )
    assert listener.of("progress")[-1] == (60, 60)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; its first line has to name the columns"),
        ("name\n", "has no column 'amount'; its header has 'name'. Nothing was run"),
        ("Name;Amount\nx;1\n", r"no column 'name' and no column 'amount'.*'Name;Amount'.*Is ',' its delimiter"),
        ("name,amount,name\n", "has the column 'name' more than once in its header"),
        ("name,amount\na,1\nb\n", r"Row 2 \(line 3\) of .*items.csv has 1 values, and the header 2 columns"),
        ("name,amount\na,1,2\n", "Row 1 .* has 3 values"),
        ('name,amount\na,1\n"b,2\nc,3\n', r"Row 2 \(line 3\) .* cannot be read as CSV in utf-8: unexpected end"),
        ("name,amount\na,1\n\u00e4,2\n".encode("latin-1"), r"Row 2 \(line 3\) .* in utf-8: 'utf-8' codec can't decode"),
        ("name,amount\na,1\n" + '"' + "x" * 200_000, "Row 2 .* longer than 131072 bytes; is a quotation mark not"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_runs(page, text, words):
    with pytest.raises(SourceRefused, match=words) as caught:
        imported(page(text))
    assert caught.value.returncode == 3
    assert not Item.objects.exists()
    assert not ledger.is_applied(NAME, "default")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceRefused, match=r"nowhere.csv cannot be read: No such file or directory. Nothing was run"):
        imported(tmp_path / "nowhere.csv")


def test_which_file_has_to_be_said():
    with pytest.raises(InvalidArgument, match="Argument 'csv': a value is needed"):
        executor.run_command("import_items", values={})


def test_other_encodings_and_delimiters(page):
    path = page("name;amount\nSöhne;7\n", "cp1252")
    imported(path, csv_encoding="cp1252", csv_delimiter=";")
    assert Item.objects.get(amount=7).name == "Söhne"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"csv_encoding": "utf-16"}, "cannot be read as 'utf-16'; save it as UTF-8"),
        ({"csv_encoding": "nothing"}, "There is no encoding 'nothing'"),
        ({"csv_delimiter": "ab"}, "A delimiter is one character, not 'ab'"),
    ],
)
def test_ways_to_read_that_do_not_work(page, values, words):
    with pytest.raises(Misconfigured, match=words):
        imported(page(), **values)


def test_a_larger_row_is_taken_where_the_limit_says_so(page):
    path = page("name\n" + "x" * 200_000 + "\n")
    before = csv.field_size_limit()
    try:
        (row,) = read(CsvSource(path, row_limit=300_000), 10)
    finally:
        csv.field_size_limit(before)
    assert len(row["name"]) == 200_000


def test_the_limit_is_for_each_row_and_not_for_all(page):
    assert len(read(CsvSource(page(many(1000)), row_limit=20), 100)) == 1000


@pytest.mark.parametrize("change", [lambda text: text.replace("59", "95"), lambda text: text + "more,1\n"])
def test_it_does_not_go_on_in_another_file(page, amounts, change):
    with pytest.raises(StoppedEarly):
        call_command("import_items", "--csv", str(page(many(60))), "--limit-batches", "3", verbosity=0)
    path = page(change(many(60)))
    with pytest.raises(SourceRefused, match=r"is not the file that this migration began with.*21 rows") as caught:
        imported(path)
    assert caught.value.returncode == 3
    assert amounts() == list(range(1, 22))
    imported(page(many(60), name="the same elsewhere.csv"))
    assert amounts() == list(range(1, 61))


def test_it_does_not_go_on_with_another_delimiter(page):
    path = page(many(60))
    with pytest.raises(StoppedEarly):
        call_command("import_items", "--csv", str(path), "--limit-batches", "3", verbosity=0)
    source = CsvSource(path, delimiter="\t")
    with pytest.raises(SourceRefused, match=r"began to read .* as 'utf-8 ,'"):
        source.begin(json.loads(checkpoints.find(NAME, "default").cursor))


def test_a_file_that_changes_under_the_run_ends_it(page, amounts, monkeypatch):
    from tests.testapp.management.commands.import_items import Command

    path = page(many(60))
    original = Command.perform_batch

    def perform(self, batch):
        original(self, batch)
        if batch.number == 2:
            page(many(61))

    monkeypatch.setattr(Command, "perform_batch", perform)
    with pytest.raises(SourceRefused, match="was changed while its rows were worked on. Those before this batch are"):
        imported(path)
    assert amounts() == list(range(1, 15))


def test_poison_rows_of_a_file_are_set_aside_and_tried_again(page, amounts):
    path = page(many(20).replace(",3\n", ",three\n").replace(",18\n", ",eighteen\n"))
    with pytest.raises(QuarantineNotEmpty, match=r"2 rows \(row 3 in line 6, row 18 in line 36\) were set aside"):
        imported(path, sift=True)
    assert amounts() == [number for number in range(1, 21) if number not in (3, 18)]
    assert [key["row"] for key in quarantine.keys(NAME, "default")] == [3, 18]
    with pytest.raises(QuarantineNotEmpty):
        imported(path, sift=True)
    assert quarantine.accept(NAME, "default", by="ana", reason="typing errors") == 2
    imported(path, sift=True)
    assert ledger.is_applied(NAME, "default")
    assert len(amounts()) == 18


def test_quarantined_rows_are_read_where_they_are(page, amounts, monkeypatch):
    import builtins

    from tests.testapp.management.commands import import_items

    path = page(many(20).replace(",18\n", ",eighteen\n"))
    with pytest.raises(QuarantineNotEmpty):
        imported(path, sift=True)
    monkeypatch.setattr(
        import_items, "int", lambda text: 18 if text == "eighteen" else builtins.int(text), raising=False
    )
    imported(path, sift=True)
    assert sorted(amounts()) == list(range(1, 21))


def test_a_dry_run_reads_the_file_and_keeps_nothing(page, run):
    output = run("import_items", "--dry-run", "--csv", str(page(many(60))))
    assert "testapp_item: 21 inserted" in output
    assert "All 60 rows would take about" in output
    assert not Item.objects.exists()
