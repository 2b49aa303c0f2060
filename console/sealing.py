"""Sensitive arguments on their way from the form to the worker: sealed with the site's secret key."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder

from data_migrations.exceptions import InvalidArgument


class Unsealable(InvalidArgument):
    """The stored arguments can no longer be opened: SECRET_KEY was changed since. Nothing was run.

    Ask for the run again, or keep the former key in SECRET_KEY_FALLBACKS.
    """


def _box() -> MultiFernet:
    keys = [settings.SECRET_KEY, *getattr(settings, "SECRET_KEY_FALLBACKS", ())]
    return MultiFernet(
        [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"console.sealing:" + str(key).encode()).digest()))
            for key in keys
        ]
    )


def seal(values: dict[str, Any]) -> str:
    """Arguments as a text that only this site can open."""
    return _box().encrypt(json.dumps(values, cls=DjangoJSONEncoder).encode()).decode()


def unseal(text: str) -> dict[str, Any]:
    """What was sealed.

    Raises:
        Unsealable: the key has changed, or the text was tampered with.
    """
    try:
        return dict(json.loads(_box().decrypt(text.encode())))
    except (InvalidToken, ValueError) as error:
        raise Unsealable(" ".join((Unsealable.__doc__ or "").split())) from error
