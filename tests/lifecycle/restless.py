"""Settings with which canaries come every second, and one that is late is noticed within seconds."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import CONSOLE as _CONSOLE

CONSOLE = {
    **_CONSOLE,
    "HEARTBEAT_SECONDS": 0.5,
    "CANARY_SECONDS": 1,
    "CANARY_LATE_SECONDS": 3,
    "RERING_SECONDS": 2,
}
