"""What the runnable site does with the middleware before its views."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import AsyncClient
from django.utils.deprecation import MiddlewareMixin

from console.site.settings import MIDDLEWARE


class Probe(MiddlewareMixin):
    """One that can be called either way, as Django's own can, and says which it was."""

    def process_response(self, request: Any, response: HttpResponse) -> HttpResponse:
        """Say it."""
        response["X-Way"] = "asynchronous" if self.async_mode else "synchronous"
        return response


@pytest.mark.parametrize(("last", "way"), [(MIDDLEWARE[-1:], "synchronous"), ([], "asynchronous")])
def test_under_asgi_the_last_one_keeps_the_others_synchronous(settings: Any, last: list[str], way: str) -> None:
    settings.MIDDLEWARE = [f"{__name__}.Probe", *last]
    settings.ALLOWED_HOSTS = ["testserver"]
    with ThreadPoolExecutor(1) as elsewhere:
        # Where a browser test has run before, this thread has an event loop already.
        response = elsewhere.submit(asyncio.run, AsyncClient().get("/there-is-no-such-page/")).result()
    assert (response.status_code, response["X-Way"]) == (404, way)
