"""The hand of a test in the data of a site: ``python -m tests.browser.hand`` does what it reads, a JSON list a line.

Made for tests that need runs whose lines come exactly when they say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser.site import ROOT, Site


class Hand:
    """Does things in the site's data, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self._ready = process.stdout.readline()

    def do(self, what: str, *arguments: Any) -> Any:
        """One of the functions of this module, and what it gives."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def at(site: Site) -> Iterator[Hand]:
    """A hand in that site's data."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.browser.hand"], cwd=ROOT, env=site.environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield Hand(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


def a_run(status: str = "running") -> int:
    """A run without lines; its number."""
    from django.utils import timezone

    from console.models import Run

    now = timezone.now()
    run = Run.objects.create(
        migration="watch_me_v1_2026_11_20", command_name="watch_me", kind="dry_run", status=status, door="run",
        requested_by="the test", reason="for the test", started_at=now, heartbeat_at=now,
    )  # fmt: skip
    return int(run.pk)


def say(pk: int, *texts: str) -> int:
    """Lines at the end of a run's log; the number of the last one."""
    from console import store
    from console.journal import Line

    first = store.append(pk, [Line(index, time.time(), "o", text) for index, text in enumerate(texts)])
    return first + len(texts) - 1


def go_on(pk: int) -> None:
    """A run that waited begins."""
    from console.models import Run

    Run.objects.filter(pk=pk).update(status="running")


def end(pk: int, status: str = "succeeded") -> None:
    """The end of a run."""
    from django.utils import timezone

    from console.models import Run

    Run.objects.filter(pk=pk).update(status=status, finished_at=timezone.now())


def a_reader(name: str) -> None:
    """Somebody who may read logs; the password is demo."""
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user(name, password="demo", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_run", "view_log")))


def take_away(name: str, codename: str) -> None:
    """A permission of somebody's."""
    from django.contrib.auth.models import User

    user = User.objects.get(username=name)
    user.user_permissions.remove(user.user_permissions.get(codename=codename))


def main() -> None:
    """Do what is read, until the end of the input."""
    import django

    django.setup()
    print("ready", flush=True)
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        print(json.dumps(globals()[what](*arguments)), flush=True)


if __name__ == "__main__":
    main()
