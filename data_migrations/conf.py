"""The settings of the core: one dict, ``DATA_MIGRATIONS``, read when asked, every key with a default."""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    # Seconds after which a lease that nobody renewed may be taken over.
    "LEASE_SECONDS": 60,
    # Seconds between two renewals; None means a third of LEASE_SECONDS.
    "HEARTBEAT_SECONDS": None,
    # Seconds a second starter waits for the first; None means as long as it takes.
    "LOCK_TIMEOUT": None,
    # Seconds between two looks at a lease that somebody else holds.
    "POLL_SECONDS": 0.5,
    # Seconds between two looks at whether a throttled batched migration may go on.
    "THROTTLE_SECONDS": 1.0,
    # Dotted paths of callables; each is called with using=ALIAS and returns a context manager
    # that is entered for runs with disable_audit = True.
    "AUDIT_CONTEXT_MANAGERS": [],
    # Regular expressions; what they match is masked in stored logs.
    "MASK": [],
}


def get(key: str) -> Any:
    """The value of one setting.

    Raises:
        KeyError: the key is not one of ``DEFAULTS``.
    """
    default = DEFAULTS[key]
    return getattr(settings, "DATA_MIGRATIONS", {}).get(key, default)


def lease_seconds() -> float:
    """How long a lease lasts without a renewal, in seconds."""
    return float(get("LEASE_SECONDS"))


def heartbeat_seconds() -> float:
    """How often the holder renews its lease, in seconds."""
    value = get("HEARTBEAT_SECONDS")
    return float(value) if value is not None else lease_seconds() / 3
