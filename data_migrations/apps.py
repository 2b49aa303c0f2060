from django.apps import AppConfig


class DataMigrationsConfig(AppConfig):
    name = "data_migrations"
    verbose_name = "Data migrations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (importing registers the system checks)
