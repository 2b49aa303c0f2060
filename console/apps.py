"""The app's start-up: system checks, the recorder of all runs, presence in worker processes."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


class ConsoleConfig(AppConfig):
    """The console."""

    name = "console"
    verbose_name = "Data migrations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if not apps.is_installed("django_q"):
            raise ImproperlyConfigured(
                'The console needs django-q2: pip install "django-data-migrations-console[console]" and add "django_q" '
                "to INSTALLED_APPS. The core, data_migrations, works without either."
            )
        from data_migrations import reporting

        from . import checks, doors, notices, presence, queue  # noqa: F401  (importing checks registers them)

        reporting.register(doors.for_run)
        notices.start()
        queue.on_worker(presence.start, presence.leave)
