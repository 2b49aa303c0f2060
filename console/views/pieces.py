"""Long answers, sent piece by piece by either kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

AT_ONCE = 16


def streamed(request: HttpRequest, pieces: Iterator[str]) -> Any:
    """The pieces as the server of this request can send them while they are made.

    An asynchronous server would read a plain iterator to its end before the first byte leaves.
    """
    return _without_blocking(pieces) if isinstance(request, ASGIRequest) else pieces


async def _without_blocking(pieces: Iterator[str]) -> AsyncIterator[str]:
    take = sync_to_async(lambda: "".join(islice(pieces, AT_ONCE)))
    while some := await take():
        yield some
