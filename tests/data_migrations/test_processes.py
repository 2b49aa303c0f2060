"""Which process this is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

FORKS = """
import os
from data_migrations import processes

first = os.fork()
if not first:
    os._exit(0)
os.waitpid(first, 0)
# It knows of the next numbers that they are nobody's, as it would of those of children that are gone.
for number in range(first, first + 300):
    processes._started_here(number)
second = os.fork()
if not second:
    started = processes.Process.current().started
    os._exit(0 if started and started == processes.started(os.getpid()) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]))
"""


def test_a_fork_is_a_process_of_its_own_also_under_a_number_that_was_used_before() -> None:
    assert subprocess.run([sys.executable, "-c", FORKS], cwd=ROOT, check=False, timeout=60).returncode == 0
