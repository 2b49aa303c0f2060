"""Settings of the tests against the real audit libraries, which data_migrations/test_audit.py starts.

Each of these libraries listens to every model, or changes what ``migrate`` does, so the other tests go without them.
"""

from __future__ import annotations

import importlib.util

from tests.settings import *  # noqa: F403
from tests.settings import TEST_DB

DATABASE_ROUTERS = []
CONSOLE = {}
ROOT_URLCONF = "tests.auditapp.urls"

LIBRARIES = ["auditlog", "field_audit", "simple_history", "easyaudit", "pgtrigger", "pghistory"]
INSTALLED_APPS = [
    "data_migrations",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    *(library for library in LIBRARIES if importlib.util.find_spec(library)),
    "tests.auditapp",
]

# Else easy-audit watches every model, those of the other libraries too.
DJANGO_EASY_AUDIT_REGISTERED_CLASSES = ["auditapp.Watched", "auditapp.Tag"]
# The tests make their tables without migrations.
PGTRIGGER_INSTALL_ON_MIGRATE = TEST_DB == "postgresql"
PGHISTORY_INSTALL_CONTEXT_FUNC_ON_MIGRATE = TEST_DB == "postgresql"
