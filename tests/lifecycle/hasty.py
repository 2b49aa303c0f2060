"""Settings with which a silent worker is given up within seconds."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import CONSOLE as _CONSOLE
from tests.settings import DATA_MIGRATIONS as _DATA_MIGRATIONS

CONSOLE = {**_CONSOLE, "HEARTBEAT_SECONDS": 0.5, "STUCK_SECONDS": 1.5}
DATA_MIGRATIONS = {**_DATA_MIGRATIONS, "LEASE_SECONDS": 4}
