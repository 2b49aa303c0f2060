"""The ASGI application with short intervals, so that tests need not wait a minute.

From the environment: ``STREAM_CHECK_SECONDS``, ``STREAM_BEAT_SECONDS``, ``STREAM_KEPT_BYTES``.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

application = get_asgi_application()

from console import following, tail  # noqa: E402
from console.views import stream  # noqa: E402

stream.CHECK_SECONDS = float(os.environ.get("STREAM_CHECK_SECONDS", stream.CHECK_SECONDS))
following.BEAT_SECONDS = float(os.environ.get("STREAM_BEAT_SECONDS", following.BEAT_SECONDS))
tail.KEPT_BYTES = int(os.environ.get("STREAM_KEPT_BYTES", tail.KEPT_BYTES))
