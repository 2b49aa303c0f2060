"""Where journals lie, and where they go: a folder of this user for each database with the console's tables."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from django.db import connections, router

from . import conf
from .models import Run


class SpoolUnusable(OSError):
    """The folder for log lines that are not stored yet cannot be used. Set CONSOLE["SPOOL_DIR"] to one that can."""


def alias() -> str:
    """The alias of the database that holds the console's tables."""
    return router.db_for_write(Run)


def folder() -> Path:
    """The spool folder, made when missing.

    Raises:
        SpoolUnusable: it cannot be made, or belongs to somebody else.
    """
    chosen = conf.get("SPOOL_DIR")
    base = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"console-spool-{os.geteuid()}"
    path = base / _fingerprint()
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a folder that everybody may write to, somebody else may have been there first.
        if not chosen and (base.is_symlink() or base.stat().st_uid != os.geteuid()):
            raise SpoolUnusable(
                f"The folder {base} belongs to another user. Set CONSOLE['SPOOL_DIR'] to one of your own."
            )
        path.mkdir(mode=0o700, exist_ok=True)
    except SpoolUnusable:
        raise
    except OSError as error:
        raise SpoolUnusable(
            f"The folder {path} for log lines that are not stored yet cannot be made: {error}. "
            "Set CONSOLE['SPOOL_DIR'] to a folder that this user may write to."
        ) from error
    return path


def _fingerprint() -> str:
    settings = connections[alias()].settings_dict
    names = [str(settings.get(key) or "") for key in ("ENGINE", "HOST", "PORT", "NAME")]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def journals() -> list[Path]:
    """The journals that are there now, oldest first; none when the folder cannot be used."""
    try:
        found = [path for path in folder().iterdir() if not path.name.startswith(".") and path.is_dir()]
        return sorted(found, key=lambda path: path.stat().st_mtime)
    except OSError:
        return []


def prepare_connection() -> None:
    """Set up the connection of one of our threads, when it is about to be opened.

    It neither waits long for a lock, so that one row that somebody holds does not stop all chores, nor
    keeps a lock for long: of a process that is frozen in the middle of a transaction the database lets go.
    """
    connection = connections[alias()]
    if connection.connection is not None:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA busy_timeout = 1000")
        elif connection.vendor == "postgresql":
            cursor.execute("SET lock_timeout = '3s'")
            cursor.execute("SET idle_in_transaction_session_timeout = '5s'")
        elif connection.vendor == "mysql":
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 3")
            if getattr(connection, "mysql_is_mariadb", False):
                cursor.execute("SET SESSION idle_transaction_timeout = 5")
