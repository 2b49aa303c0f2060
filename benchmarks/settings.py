"""The settings of the measurements: ``TEST_DB`` chooses the database, as for the tests."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES as _DATABASES

INSTALLED_APPS = ["data_migrations", "django.contrib.contenttypes"]
DATABASES = {"default": _DATABASES["default"]}
DATABASE_ROUTERS = []
