"""Settings of the runnable site.

Everything that differs from one machine to the next comes from the environment:
``DATA_DIR``, ``DATABASE_URL``, ``SECRET_KEY``, ``ALLOWED_HOSTS``, ``DEBUG``, ``ENVIRONMENT``.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DATA_DIR = Path(os.environ.get("DATA_DIR") or BASE_DIR / "var")
DATA_DIR.mkdir(parents=True, exist_ok=True)


def _secret_key() -> str:
    """A key of this checkout's own, made at the first start: web server and worker have to agree on it."""
    path = DATA_DIR / "secret_key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


def _sqlite(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / name,
        "OPTIONS": {
            "timeout": 60,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


SECRET_KEY = os.environ.get("SECRET_KEY") or _secret_key()
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")

CONSOLE: dict[str, Any] = {"ENVIRONMENT": os.environ.get("ENVIRONMENT", "demo")}
DATA_MIGRATIONS: dict[str, Any] = {}

if os.environ.get("DATABASE_URL"):
    if os.environ["DATABASE_URL"].startswith(("mysql:", "mariadb:")):
        import pymysql

        pymysql.install_as_MySQLdb()
    DATABASES: dict[str, Any] = {
        "default": dj_database_url.parse(os.environ["DATABASE_URL"].replace("mariadb:", "mysql:", 1))
    }
    CONSOLE_ALIAS = "default"
else:
    # Two files, because SQLite has one writer per file: while a data migration holds the shop's file, people
    # can log in, look and queue runs. What the admin writes lives with the console for that reason.
    DATABASES = {"default": _sqlite("shop.sqlite3"), "console": _sqlite("console.sqlite3")}
    CONSOLE_ALIAS = "console"
    CONSOLE["DATABASE"] = CONSOLE_ALIAS
    CONSOLE["DATABASE_APPS"] = ("console", "django_q", "admin", "auth", "contenttypes", "sessions")
DATABASE_ROUTERS = ["console.routers.ConsoleRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "console",
    "console.demo",
    "data_migrations",
    "django_q",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.site.middleware.one_thread",
]

ROOT_URLCONF = "console.site.urls"
ASGI_APPLICATION = "console.site.asgi.application"
WSGI_APPLICATION = "console.site.wsgi.application"

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

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
# Straight from the apps, so that a start needs no collectstatic.
SERVESTATIC_USE_FINDERS = True

SESSION_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

Q_CLUSTER = {
    "name": "data-migrations",
    "orm": CONSOLE_ALIAS,
    "workers": 2,
    # A data migration may take days. A message is handed out again after `retry`, so that has to be longer.
    "timeout": 7 * 24 * 3600,
    "retry": 8 * 24 * 3600,
    "poll": 0.5,
    "bulk": 1,
    "max_attempts": 1,
    "catch_up": False,
    "log_level": "WARNING",
}
