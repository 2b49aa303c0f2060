"""Middleware of the runnable site."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_only_middleware


@sync_only_middleware
def one_thread(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Does nothing, as the last one: what comes before it then runs in the one thread that the view runs in.

    Under ASGI Django calls middleware that can do both asynchronously, and what is synchronous in it, each time, in a
    thread: twice for each middleware there is, which takes longer than most of our pages do. Django looks for the way
    from the last one outwards, and goes on synchronously from one that can do nothing else.
    """
    return get_response
