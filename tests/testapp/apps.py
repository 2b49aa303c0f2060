"""The dummy app of the tests."""

from django.apps import AppConfig


class TestAppConfig(AppConfig):
    """Models to migrate, and one command per behaviour."""

    name = "tests.testapp"
    label = "testapp"
    default_auto_field = "django.db.models.BigAutoField"
