"""The runnable site, with a few more data migrations to watch."""

import os

from console.site.settings import *  # noqa: F403
from console.site.settings import CONSOLE, DATA_DIR, INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS += ["tests.browser.app"]
CONSOLE["SPOOL_DIR"] = str(DATA_DIR / "spool")
CONSOLE["ENVIRONMENT"] = os.environ.get("ENVIRONMENT", "Browser tests")
Q_CLUSTER["poll"] = 0.2
