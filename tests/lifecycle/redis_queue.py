"""Settings with django-q2's queue in Redis, and a short wait before the bell is rung again."""

from __future__ import annotations

import os

from tests.databases import scratch_directory
from tests.lifecycle.hasty import *  # noqa: F403
from tests.lifecycle.hasty import CONSOLE as _CONSOLE
from tests.settings import Q_CLUSTER as _Q_CLUSTER

CONSOLE = {**_CONSOLE, "RERING_SECONDS": 2}
Q_CLUSTER = {
    **{key: value for key, value in _Q_CLUSTER.items() if key != "orm"},
    # Sessions of tests share a server.
    "name": f"data-migrations-{scratch_directory().name}",
    "redis": {
        "host": os.environ.get("REDIS_HOST", "127.0.0.1"),
        "port": int(os.environ.get("REDIS_PORT", "6379")),
        "socket_connect_timeout": 2,
    },
}
