"""An app whose models are audited, each by another library."""

from django.apps import AppConfig


class AuditAppConfig(AppConfig):
    """Only in tests/settings_audit.py."""

    name = "tests.auditapp"
    label = "auditapp"
    default_auto_field = "django.db.models.BigAutoField"
