"""The settings of the console's measurements: those of the tests, with an app of generated data migrations beside."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

if "BENCHMARK_APP" in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, os.environ["BENCHMARK_APP"]]
