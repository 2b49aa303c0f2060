"""The app of the tests of bulk writes."""

from django.apps import AppConfig


class BulkAppConfig(AppConfig):
    """Models only."""

    name = "tests.bulkapp"
    label = "bulkapp"
    default_auto_field = "django.db.models.BigAutoField"
