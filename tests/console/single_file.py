"""Settings with everything in one SQLite file, which is named in the environment."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403
from tests.settings import CONSOLE as _CONSOLE
from tests.settings import Q_CLUSTER as _Q_CLUSTER

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SINGLE_FILE"],
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;"},
    }
}
DATABASE_ROUTERS = []
CONSOLE = {**_CONSOLE, "DATABASE": None, "SPOOL_DIR": os.environ["SINGLE_FILE"] + ".spool"}
Q_CLUSTER = {**_Q_CLUSTER, "orm": "default"}
MIGRATION_MODULES = {"testapp": os.environ.get("SINGLE_FILE_MIGRATIONS", "tests.testapp.migrations")}
SILENCED_SYSTEM_CHECKS = ["console.W003"]
