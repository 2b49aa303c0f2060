"""Batches from a CSV file: each row once, however often the run is killed."""

from __future__ import annotations

import codecs
import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandParser

from .batches import Batch, ItemsBatch
from .exceptions import Misconfigured, SourceRefused
from .management.commands.base.batched import BatchedCommand

ROW_LIMIT = 131_072
"""Bytes of a row, as many as Python's csv module takes in one field by itself."""

Row = dict[str, str]


class CsvBatch(ItemsBatch):
    """Rows of a CSV file, each a dict by column name.

    Attributes:
        start: the number of the first row in the file, the one below the header being 1.
    """

    def __init__(self, number: int, places: Sequence[Place], name: str) -> None:
        super().__init__(number, [place.values for place in places], places[-1].row if places else None)
        self.places = places
        self.start = places[0].row if places else 0
        self.name = name

    def where(self) -> str:
        first, last = self.places[0], self.places[-1]
        return f"batch {self.number} (rows {first.row} to {last.row} of {self.name}, from line {first.line} on)"

    def keys(self) -> list[Any]:
        return [place.key() for place in self.places]

    def narrowed(self, keys: Sequence[Any]) -> CsvBatch:
        rows = {key["row"] for key in keys}
        return CsvBatch(self.number, [place for place in self.places if place.row in rows], self.name)


class Place:
    """One row, and where in the file it is: its number, the line that it begins in, and the byte."""

    def __init__(self, row: int, line: int, offset: int, values: Row) -> None:
        self.row = row
        self.line = line
        self.offset = offset
        self.values = values

    def key(self) -> dict[str, int]:
        """What finds the row again."""
        return {"row": self.row, "line": self.line, "offset": self.offset}


class _Lines:
    """The decoded lines of a file from an offset on, and how many bytes have been read."""

    def __init__(self, file: BinaryIO, offset: int, encoding: str, limit: int) -> None:
        self.file = file
        self.offset = offset
        self.row_began = offset
        self.encoding = encoding
        self.limit = limit
        file.seek(offset)

    def __iter__(self) -> Iterator[str]:
        # Not by iteration over the file: a line without end would be read into memory whole.
        while line := self.file.readline(self.limit + 1):
            self.offset += len(line)
            if self.offset - self.row_began > self.limit:
                raise csv.Error(f"longer than {self.limit} bytes; is a quotation mark not closed?")
            yield line.decode(self.encoding)


class CsvSource:
    """The rows of a CSV file.

    A cursor holds the byte at which the next row begins, so that going on does not read the file from its start, and
    the file's size and SHA-256, so that it goes on in no other file.

    Args:
        columns: names that the header must have; others may be there as well.
        encoding: one in which a line ends with the byte 0x0A, so not UTF-16.
        row_limit: bytes; a longer row is an error.
    """

    table = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str] = (),
        *,
        encoding: str = "utf-8-sig",
        delimiter: str = ",",
        row_limit: int = ROW_LIMIT,
    ) -> None:
        self.path = Path(path)
        self.columns = columns
        self.delimiter = delimiter
        self.row_limit = row_limit
        try:
            self.encoding = codecs.lookup(encoding).name
        except LookupError as error:
            raise Misconfigured(f"There is no encoding {encoding!r}. Nothing was run.") from error
        self.skips_mark = self.encoding == "utf-8-sig"
        if self.skips_mark:
            self.encoding = "utf-8"
        if "\n".encode(self.encoding) != b"\n":
            raise Misconfigured(f"A CSV file cannot be read as {encoding!r}; save it as UTF-8. Nothing was run.")
        if len(delimiter) != 1:
            raise Misconfigured(f"A delimiter is one character, not {delimiter!r}. Nothing was run.")
        self.header: list[str] = []
        self._data_offset = 0
        self._data_line = 1
        self._state: tuple[int, ...] = ()
        self._identity: dict[str, Any] = {}

    # What a run asks for.

    def begin(self, cursor: Any) -> None:
        """Look at the file before anything is done with its rows.

        Raises:
            SourceRefused: it cannot be read, its header is wrong, or it is not the file that the cursor is of.
        """
        try:
            with self.path.open("rb") as file:
                self._read_header(file)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                self._state = _state(file)
        except OSError as error:
            raise SourceRefused(f"{self.path} cannot be read: {error.strerror}. Nothing was run.") from error
        self._identity = {"size": self._state[0], "sha256": digest, "read_as": f"{self.encoding} {self.delimiter}"}
        if cursor is None:
            return
        if any(cursor[key] != self._identity[key] for key in ("size", "sha256")):
            raise SourceRefused(
                f"{self.path} is not the file that this migration began with: it had {cursor['size']:,} bytes and the "
                f"SHA-256 {cursor['sha256'][:12]}…, this one has {self._state[0]:,} and {digest[:12]}…. Nothing was "
                f"run; {cursor['row']} rows of the other are done. Go on with that file, or begin anew with --restart, "
                "which does all rows of this one."
            )
        if cursor["read_as"] != self._identity["read_as"]:
            raise SourceRefused(
                f"This migration began to read {self.path} as {cursor['read_as']!r} (encoding and delimiter), not as "
                f"{self._identity['read_as']!r}. Nothing was run; go on with those."
            )

    def next(self, cursor: Any, number: int, size: int) -> tuple[Batch, Any] | None:
        """The next rows, and the cursor after them."""
        cursor = cursor or {"offset": self._data_offset, "row": 0, "line": self._data_line}
        with self._open() as file:
            found = list(islice(self._rows(file, cursor["offset"], cursor["row"], cursor["line"]), size))
        if not found:
            return None
        _, after = found[-1]
        return CsvBatch(number, [place for place, _ in found], self.path.name), {**after, **self._identity}

    def count(self) -> int:
        """How many rows there are; reads them all, so that what is wrong with one is found before any is worked on."""
        with self._open() as file:
            return sum(1 for _ in self._rows(file, self._data_offset, 0, self._data_line))

    def count_behind(self, cursor: Any) -> int | None:
        """Nothing: ``count`` always says."""
        return None

    def words(self, cursor: Any) -> str:
        """Where the cursor is, for a person."""
        return f"row {cursor['row']} of {self.path.name}"

    def at(self, keys: Sequence[Any]) -> CsvBatch:
        """The rows of these keys as a batch."""
        places = []
        with self.path.open("rb") as file:
            if not self.header:
                self._read_header(file)
            for key in keys:
                place, _ = next(self._rows(file, key["offset"], key["row"] - 1, key["line"]))
                places.append(place)
        return CsvBatch(0, places, self.path.name)

    # The file.

    def _open(self) -> BinaryIO:
        """Open the file anew, which costs next to nothing and leaves nothing to be closed when a run is undone."""
        file = self.path.open("rb")
        if _state(file) != self._state:
            file.close()
            raise SourceRefused(
                f"{self.path} was changed while its rows were worked on. Those before this batch are kept; put the "
                "file back as it was and run it again."
            )
        return file

    def _read_header(self, file: BinaryIO) -> None:
        """Learn the columns and where the rows begin."""
        mark = len(codecs.BOM_UTF8) if self.skips_mark and file.read(3) == codecs.BOM_UTF8 else 0
        found = next(self._records(file, mark, 0, 1), None)
        if found is None:
            raise SourceRefused(f"{self.path} is empty; its first line has to name the columns. Nothing was run.")
        self.header, _, after = found
        self._data_offset, self._data_line = after["offset"], after["line"]
        twice = sorted({name for name in self.header if self.header.count(name) > 1})
        if twice:
            raise SourceRefused(
                f"{self.path} has the column {twice[0]!r} more than once in its header. Nothing was run."
            )
        missing = [name for name in self.columns if name not in self.header]
        if missing:
            raise SourceRefused(
                f"{self.path} has no column {' and no column '.join(map(repr, missing))}; its header has "
                f"{', '.join(map(repr, self.header))}. Nothing was run. "
                f"Is {self.delimiter!r} its delimiter and {self.encoding} its encoding?"
            )

    def _rows(self, file: BinaryIO, offset: int, row: int, line: int) -> Iterator[tuple[Place, dict[str, int]]]:
        """The rows from an offset on, each with the cursor after it. ``row`` is the number of the one before."""
        for fields, began, after in self._records(file, offset, row, line):
            if len(fields) != len(self.header):
                raise SourceRefused(
                    f"Row {after['row']} (line {began['line']}) of {self.path} has {len(fields)} values, and the "
                    f"header {len(self.header)} columns. Nothing was done with it; mend the file."
                )
            yield (
                Place(after["row"], began["line"], began["offset"], dict(zip(self.header, fields, strict=True))),
                after,
            )

    def _records(
        self, file: BinaryIO, offset: int, row: int, line: int
    ) -> Iterator[tuple[list[str], dict[str, int], dict[str, int]]]:
        """The fields of each record that is not a blank line, and the places before and after it."""
        if self.row_limit > csv.field_size_limit():
            csv.field_size_limit(self.row_limit)
        lines = _Lines(file, offset, self.encoding, self.row_limit)
        # The reader takes only the lines that a record needs, so what has been read is where the next one begins.
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            began = {"offset": lines.offset, "line": line + reader.line_num}
            lines.row_began = lines.offset
            try:
                fields = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                raise SourceRefused(
                    f"Row {row + 1} (line {began['line']}) of {self.path} cannot be read as CSV in {self.encoding}: "
                    f"{error}. Nothing was done with it; mend the file, or say another encoding or delimiter."
                ) from error
            if fields is None:
                return
            if fields:
                row += 1
                yield fields, began, {"offset": lines.offset, "row": row, "line": line + reader.line_num}


def _state(file: BinaryIO) -> tuple[int, ...]:
    """What changes when a file is written to or replaced."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ino


class CsvBatchedCommand(BatchedCommand):
    """A batched data migration whose items are the rows of a CSV file, named with ``--csv``.

    Write ``perform_batch``; iterating over the batch gives dicts by column name.
    """

    csv_columns: Sequence[str] = ()
    """Columns that the file has to have."""
    csv_path: str = ""
    """The file where ``--csv`` is left out; without it ``--csv`` is required."""
    csv_encoding: str = "utf-8-sig"
    csv_delimiter: str = ","
    csv_row_limit: int = ROW_LIMIT
    """Bytes of a row; a longer one is refused, as a quotation mark that is not closed makes one."""

    def add_arguments(self, parser: CommandParser) -> None:
        """The options that say which file, and how to read it."""
        super().add_arguments(parser)
        parser.add_argument(
            "--csv", metavar="PATH", required=not self.csv_path, default=self.csv_path, help="The CSV file."
        )
        parser.add_argument("--csv-encoding", default=self.csv_encoding, metavar="NAME", help="Its encoding.")
        parser.add_argument("--csv-delimiter", default=self.csv_delimiter, metavar="CHARACTER", help="Its delimiter.")

    def make_source(self) -> CsvSource:
        """The file as the options say."""
        return CsvSource(
            self.options["csv"],
            self.csv_columns,
            encoding=self.options["csv_encoding"],
            delimiter=self.options["csv_delimiter"],
            row_limit=self.csv_row_limit,
        )

    def batch_of_keys(self, keys: Sequence[Any]) -> Batch:
        """The rows that were set aside, read where they are in the file."""
        return self.make_source().at(keys)
