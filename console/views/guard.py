"""Whoever was let in a moment ago is let in again, without asking the database anew who it is and what he may do."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache

View = Callable[..., HttpResponseBase]

# So long at most, in seconds. Whoever reads a stream is looked at once a minute.
MOMENT = 10.0

_LET_IN = "console_let_in"
# Until when each session is let in at an address, on the monotonic clock.
_until: dict[str, float] = {}


def let_in(request: HttpRequest) -> None:
    """The guarded view says so once it has made sure that this person may go on. An answer alone says nothing."""
    setattr(request, _LET_IN, True)


def remembering(guarded: View, view: View) -> View:
    """The guarded view; within a ``MOMENT`` after it has let a session in at an address, the view without its guard.

    For what is asked several times a second, and shows the same person nothing else than a moment ago but news.
    """
    unguarded = never_cache(view)

    @wraps(guarded)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        who = _who(request)
        if request.method == "GET" and time.monotonic() < _until.get(who, float("-inf")):
            return unguarded(request, *args, **kwargs)
        response = guarded(request, *args, **kwargs)
        if hasattr(request, _LET_IN) and _is_known_by_session(request):
            _remember(who)
        return response

    return wrapped


def forget() -> None:
    """Let nobody in unasked."""
    _until.clear()


def _who(request: HttpRequest) -> str:
    """Session and address. Not the key of the session itself, which an error report could show."""
    return hashlib.sha256(f"{_cookie(request)}\0{request.path}".encode()).hexdigest()


def _cookie(request: HttpRequest) -> str:
    return request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


def _is_known_by_session(request: HttpRequest) -> bool:
    """Whether it is the session that tells who asks, and not a token, of which the next request may have none."""
    session: Any = getattr(request, "session", {})
    user: Any = request.user
    if SESSION_KEY not in session or session.session_key != _cookie(request):
        return False
    return bool(session[SESSION_KEY] == user._meta.pk.value_to_string(user))


def _remember(who: str) -> None:
    now = time.monotonic()
    for other, until in list(_until.items()):
        if until <= now:
            _until.pop(other, None)
    # Those who came all at once, after a restart, are not looked up all at once for ever after.
    _until[who] = now + MOMENT * random.uniform(0.5, 1)
