"""The app's name."""

from django.apps import AppConfig


class WatchedConfig(AppConfig):
    """Has commands only."""

    name = "tests.browser.app"
    label = "watched"
