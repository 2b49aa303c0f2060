"""The runnable site with a data migration that prints, for the measurements of the console."""

import os

from console.site.settings import *  # noqa: F403
from console.site.settings import CONSOLE, DATA_DIR, INSTALLED_APPS

INSTALLED_APPS += ["benchmarks.printing"]
CONSOLE["SPOOL_DIR"] = str(DATA_DIR / "spool")
CONSOLE["RECORD"] = os.environ.get("BENCHMARK_RECORD") != "0"
