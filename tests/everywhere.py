"""``make test``: every test, on every kind of database that this machine has.

``python -m tests.everywhere [PYTEST ARGUMENTS]``. SQLite and PostgreSQL always run (PostgreSQL is brought along);
MariaDB runs where one answers. With ``CI=true`` a database that is missing is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import databases

# Tests that do not depend on TEST_DB run once.
ONCE = "browser or site or once"
# Tests that start, kill and time processes do not share two cores with other tests.
ALONE = "lifecycle or browser or site"

NOTHING_COLLECTED = 5


def main(arguments: list[str]) -> int:
    """Run it all. Returns 0 when every test on every database passed."""
    closing: list[str] = []
    ran: list[str] = []
    failed = False
    for kind in databases.KINDS:
        try:
            where = databases.find(kind).where
        except databases.DatabaseMissing as error:
            closing.append(f"{kind}: left out. {error}")
            ran.append(f"NOT on {kind}")
            failed = failed or kind == "postgresql" or os.environ.get("CI") == "true"
            continue
        ran.append(where)
        left_out = "" if kind == "sqlite" else f" and not ({ONCE})"
        for options in (["-n", "2", "-m", f"not ({ALONE}){left_out}"], ["-m", f"({ALONE}){left_out}"]):
            status, last = run(kind, [*options, *arguments])
            failed = failed or status not in (0, NOTHING_COLLECTED)
            closing.append(f"{where}: {last.strip('= ')}")
    print("\nDatabases:\n  " + "\n  ".join([*closing, f"The tests ran on: {', '.join(ran)}."]), flush=True)
    return int(failed)


def run(kind: str, arguments: list[str]) -> tuple[int, str]:
    """Run pytest on one kind of database and show what it prints. Returns its exit status and closing line."""
    environment = {**os.environ, "TEST_DB": kind}
    environment.pop("TEST_SESSION", None)
    last = ""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return process.returncode, last


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
