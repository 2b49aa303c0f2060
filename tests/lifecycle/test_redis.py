"""The queue in Redis: a message that is taken is gone, whatever becomes of who took it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from console.models import Run
from console.states import Status
from tests import processes
from tests.lifecycle.test_cluster import Cluster, amounts, begun, clusters, ended, items, until  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]

REDIS = {"DJANGO_SETTINGS_MODULE": "tests.lifecycle.redis_queue"}
ASK = """
from console import dispatch
dispatch.request_run("increment_items_2026_01_01", user="ana", values={values!r}, reason="test")
"""


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


needs_redis = pytest.mark.skipif(
    not answers(os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379"))),
    reason="no Redis answers; set REDIS_HOST and REDIS_PORT",
)


def ask(env: dict[str, str], **values: Any) -> Run:
    """Ask for a run in a process whose queue is in Redis, as a web server of such a site does."""
    asked = processes.run_manage("shell", "-c", ASK.format(values=values), env=env)
    assert asked.returncode == 0, asked.stderr
    return Run.objects.get()


@needs_redis
def test_a_run_whose_message_was_lost_with_its_worker_is_rung_for_again(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    clusters(**REDIS)
    run = ask(REDIS, lines=5, before=3.0)
    until(lambda: begun(run))
    run.refresh_from_db()
    assert run.pid
    os.kill(run.pid, signal.SIGKILL)
    until(lambda: ended(run))
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2)
    assert amounts() == {1}


@needs_redis
def test_a_run_that_was_asked_for_before_there_was_a_worker_is_done_once(
    clusters: Callable[..., Cluster],  # noqa: F811
) -> None:
    run = ask(REDIS)
    clusters(**REDIS)
    clusters(**REDIS)
    until(lambda: ended(run))
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 1)
    assert amounts() == {1}


def test_a_redis_that_is_away_fails_the_run_with_words_and_runs_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # Bound, and nobody listens.
        run = ask({**REDIS, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)})
    assert (run.status, run.error_class) == (Status.FAILED, "QueueUnreachable")
    assert "no worker knows of this run" in run.error_message
    assert amounts() == {0}
