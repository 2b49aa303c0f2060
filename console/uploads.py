"""Files that a person uploads for a run: kept in the console's database, where web server and worker reach them.

Not in Django's default storage: what lies there is often served to everybody.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import get_valid_filename

from data_migrations.exceptions import DataMigrationError, InvalidArgument
from data_migrations.registry import RegisteredMigration
from data_migrations.sources import CsvBatchedCommand

from . import conf, spool
from .models import Run, Upload, UploadPart
from .states import FINISHED

PREFIX = "upload:"
COPIES = "console-upload-"
PART_BYTES = 512 * 1024
# Longer than a confirm page is good for.
FORGET_AFTER = timedelta(hours=2)


def destinations(migration: RegisteredMigration) -> tuple[str, ...]:
    """The arguments of a data migration that take a file's path, and so an uploaded file in the console."""
    command_class = migration.command_class
    return ("csv",) if command_class is not None and issubclass(command_class, CsvBatchedCommand) else ()


def check(command: CsvBatchedCommand, file: UploadedFile, options: Mapping[str, Any]) -> int:
    """Read the file as the migration will; gives how many rows it has.

    Args:
        options: the command's other arguments, converted.

    Raises:
        InvalidArgument: it is too large, or not what the migration takes; in words for a person.
    """
    most = conf.get("UPLOAD_BYTES")
    if (file.size or 0) > most:
        raise InvalidArgument(
            f"It has {file.size:,} bytes, and at most {most:,} can be uploaded here (CONSOLE['UPLOAD_BYTES']). Put a "
            "larger one on the worker's host, and run the migration there from a shell."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name_of(file)
        with path.open("wb") as copy:
            for chunk in file.chunks():
                copy.write(chunk)
        command.options = {**options, "csv": str(path)}
        source = command.make_source()
        try:
            source.begin(None)
            return source.count()
        except DataMigrationError as error:
            raise InvalidArgument(str(error).replace(f"{folder}/", "")) from error


def name_of(file: UploadedFile) -> str:
    """The file's own name, without what a path could be made of."""
    return str(get_valid_filename(Path(file.name or "file").name.lstrip(".") or "file"))[-100:]


def store(file: UploadedFile, user: Any) -> str:
    """Keep the file; gives the value that stands for it among a run's arguments."""
    with transaction.atomic(using=spool.alias()):
        upload = Upload.objects.create(name=name_of(file), bytes=file.size or 0, uploaded_by=str(user)[:150])
        file.seek(0)
        # Not chunks(): a small file's gives all of it at once.
        for number, chunk in enumerate(iter(lambda: file.read(PART_BYTES), b"")):
            UploadPart.objects.create(upload=upload, number=number, data=chunk)
    return f"{PREFIX}{upload.key}:{upload.name}"


def words(value: Any) -> Any:
    """An argument for a person: an uploaded file by its name."""
    key = _key(value)
    return f"{str(value).rpartition(':')[2]} (uploaded)" if key else value


def digests(values: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the uploaded files among a run's arguments, hexadecimal."""
    found = {}
    for dest, value in values.items():
        if key := _key(value):
            digest = hashlib.sha256()
            parts = UploadPart.objects.filter(upload__key=key).order_by("number").values_list("data", flat=True)
            for data in parts.iterator(chunk_size=8):
                digest.update(bytes(data))
            found[dest] = digest.hexdigest()
    return found


def attach(run: Run, values: Mapping[str, Any]) -> None:
    """The files among a run's arguments are that run's from here on."""
    keys = [key for key in map(_key, values.values()) if key]
    if keys:
        Upload.objects.filter(key__in=keys).update(run=run)


@contextmanager
def local(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments with the paths of local copies in the place of uploaded files; they go when the block ends.

    Raises:
        InvalidArgument: a file is not there any more.
    """
    if not any(map(_key, values.values())):
        yield dict(values)
        return
    with tempfile.TemporaryDirectory(prefix=f"{COPIES}{os.getpid()}-") as folder:
        found = {}
        for dest, value in values.items():
            key = _key(value)
            found[dest] = str(_copy(key, Path(folder))) if key else value
        yield found


def _copy(key: str, folder: Path) -> Path:
    upload = Upload.objects.filter(key=key).first()
    if upload is None:
        raise InvalidArgument(
            "The uploaded file is not kept any more: that is done only until its run has come to an end. "
            "Nothing was run; upload it again."
        )
    path = folder / upload.name
    with path.open("wb") as file:
        _write(upload, file)
    return path


def _write(upload: Upload, file: IO[bytes]) -> None:
    for data in upload.parts.order_by("number").values_list("data", flat=True).iterator(chunk_size=8):
        file.write(bytes(data))


def forget() -> int:
    """Take away files whose run came to its end, or that were uploaded and never used; gives how many."""
    unused = Q(run=None, uploaded_at__lt=timezone.now() - FORGET_AFTER)
    _forget_copies()
    gone = list(Upload.objects.filter(unused | Q(run__status__in=FINISHED)).values_list("pk", flat=True))
    if gone:
        with transaction.atomic(using=spool.alias()):
            UploadPart.objects.filter(upload__in=gone).delete()
            Upload.objects.filter(pk__in=gone).delete()
    return len(gone)


def _forget_copies() -> None:
    """Take away what processes that were killed have left on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{COPIES}*-*"):
        pid = folder.name.removeprefix(COPIES).partition("-")[0]
        try:
            if folder.stat().st_uid == os.geteuid() and pid.isdecimal():
                os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # Another user's process, or somebody else was faster.
            continue


def _key(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return ""
    return value.removeprefix(PREFIX).partition(":")[0]
