"""Start other processes that look into the very same test databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.db import connections

ROOT = Path(__file__).resolve().parent.parent


def environment(**extra: str) -> dict[str, str]:
    """The environment variables with which a process uses this session's test databases."""
    from tests import databases

    names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "tests.settings"),
        "TEST_DB": databases.chosen(),
        "TEST_DB_NAMES": json.dumps(names),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        **extra,
    }


def python(*arguments: str, env: dict[str, str] | None = None, **popen: Any) -> subprocess.Popen[str]:
    """Start ``python ARGUMENTS`` on the test databases: text pipes, unbuffered; stdin is empty."""
    popen.setdefault("stdin", subprocess.DEVNULL)
    popen.setdefault("stdout", subprocess.PIPE)
    popen.setdefault("stderr", subprocess.PIPE)
    popen.setdefault("cwd", ROOT)
    return subprocess.Popen([sys.executable, *arguments], text=True, bufsize=1, env=environment(**(env or {})), **popen)


def manage(*arguments: str, env: dict[str, str] | None = None, **popen: Any) -> subprocess.Popen[str]:
    """Start ``manage.py ARGUMENTS`` on the test databases."""
    return python(str(ROOT / "manage.py"), *arguments, env=env, **popen)


def run_manage(
    *arguments: str, timeout: float = 120, env: dict[str, str] | None = None, **popen: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py ARGUMENTS`` to its end; after ``timeout`` seconds it is killed and TimeoutExpired raised."""
    process = manage(*arguments, env=env, **popen)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
