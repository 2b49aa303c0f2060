"""The settings that mypy reads to know every model: the tests' and the demo's."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "console.demo"]
