"""The demo shop as a Django app."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Customers, products and orders, as untidy as real ones."""

    name = "console.demo"
    label = "shop"
    verbose_name = "Demo shop"
    default_auto_field = "django.db.models.BigAutoField"
