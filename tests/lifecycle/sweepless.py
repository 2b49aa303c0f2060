"""Settings with which a worker looks for runs whose time has come at its start only: then the schedule is left."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import CONSOLE as _CONSOLE

CONSOLE = {**_CONSOLE, "HEARTBEAT_SECONDS": 600, "STUCK_SECONDS": 1800}
