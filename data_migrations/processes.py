"""Which process this is, and whether another one is provably gone."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """The identity of what a pid is unique within: this boot of the kernel and this pid namespace.

    Two containers may share a host name; their pids must not be compared. Empty where the
    kernel does not tell (not Linux): then no process is ever provably gone.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process of this machine started, in clock ticks since boot; empty when there is none such."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The command name, in parentheses, may hold anything, spaces included.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


# By its number, and a fork forgets those of its forebears: the number of one that is gone may be its own.
_started_here = cache(started)
os.register_at_fork(after_in_child=_started_here.cache_clear)


@dataclass(frozen=True)
class Process:
    """A process, named so that its number being used again is noticed."""

    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> Process:
        """The process that asks."""
        return cls(socket.gethostname(), machine(), os.getpid(), _started_here(os.getpid()))

    @property
    def is_gone(self) -> bool:
        """True only when it is certain that the process no longer runs."""
        if not self.machine or not self.started or self.machine != machine():
            return False
        return started(self.pid) != self.started
