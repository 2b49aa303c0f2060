"""Django settings of the tests.

``TEST_DB`` chooses the database (see databases.py). ``TEST_CONSOLE=0`` leaves the console and its queue out, as in a
project that uses the core alone. ``TEST_USE_TZ=0`` keeps naive moments, as older projects do.
"""

from __future__ import annotations

import json
import os
from typing import Any

from tests import databases

TEST_DB = databases.chosen()
TEST_CONSOLE = os.environ.get("TEST_CONSOLE") != "0"

if TEST_DB == "mariadb":
    import pymysql

    pymysql.install_as_MySQLdb()

# A process that a test starts is told where the databases are, and need not look again.
if "TEST_DB_NAMES" not in os.environ:
    databases.find(TEST_DB)

SECRET_KEY = "only-for-the-tests-" + "0" * 40
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
USE_TZ = os.environ.get("TEST_USE_TZ") != "0"
# Without time zones the hour of the place is what is stored; one that is not UTC shows a mix-up.
TIME_ZONE = "UTC" if USE_TZ else "America/New_York"
LANGUAGE_CODE = "en-us"
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"

DATABASES = databases.configuration(TEST_DB)
CONSOLE_ALIAS = "console" if TEST_DB == "sqlite" else "default"
DATABASE_ROUTERS: list[str] = ["console.routers.ConsoleRouter"] if TEST_CONSOLE else []

INSTALLED_APPS = [
    *(["console", "django_q"] if TEST_CONSOLE else []),
    "data_migrations",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tests.testapp",
    "tests.bulkapp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Slow by intention in production, and of no use to a test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

CONSOLE: dict[str, Any] = {
    "SPOOL_DIR": os.environ.get("TEST_SPOOL_DIR") or str(databases.scratch_directory() / "spool"),
    "DATABASE": "console" if TEST_DB == "sqlite" else None,
    "DATABASE_APPS": ("console", "django_q", "sessions"),
}

# A process that a test starts may be given other ones.
DATA_MIGRATIONS: dict[str, object] = json.loads(os.environ.get("TEST_DATA_MIGRATIONS", "{}"))

Q_CLUSTER = {
    "name": "data-migrations-tests",
    "orm": CONSOLE_ALIAS,
    "workers": 1,
    "timeout": 7 * 24 * 3600,
    "retry": 8 * 24 * 3600,
    "poll": 0.2,
    "bulk": 1,
    "max_attempts": 1,
    "catch_up": False,
}
