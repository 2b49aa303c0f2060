"""The app's start-up: system checks, the recorder of all runs, presence in worker processes."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console."""

    name = "console"
    verbose_name = "Data migrations"
    default_auto_field = "django.db.models.BigAutoField"
