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
    # Limits above which a batched migration waits before its next batch, by indicator; see THROTTLE_DEFAULTS.
    "THROTTLE": {},
    # When batched migrations may work, each day by the clock of TIME_ZONE: ("22:00", "06:00"). None means always.
    "WINDOW": None,
    # Dotted paths of callables; each is called with using=ALIAS and returns a context manager
    # that is entered for runs with disable_audit = True.
    "AUDIT_CONTEXT_MANAGERS": [],
    # Regular expressions; what they match is masked in stored logs.
    "MASK": [],
}

# What each key of THROTTLE is where it is not given; None is off. On is what a database that is well never
# shows, so that a small site does not meet it: a standby that far behind, sessions piling up behind locks. Off is what
# is normal on many: the transaction of a nightly dump, a vacuum of a large table.
THROTTLE_DEFAULTS: dict[str, Any] = {
    # Seconds that a replica may be behind.
    "replication_lag": 10,
    # PostgreSQL: sessions that may wait for a lock.
    "blocked_sessions": 10,
    # PostgreSQL: seconds that the oldest transaction may be open.
    "oldest_transaction": None,
    # PostgreSQL: True waits while the command's table is being vacuumed.
    "vacuum": None,
    # MariaDB, MySQL: threads that may run at one moment; the default of pt-online-schema-change.
    "threads_running": 25,
    # Aliases of DATABASES that are replicas, to be asked for their lag themselves.
    "replicas": (),
    # What an indicator that cannot be read means: "go" on without it, or "stop" until it can be.
    "unreadable": "go",
}


def get(key: str) -> Any:
    """The value of one setting.

    Raises:
        KeyError: the key is not one of ``DEFAULTS``.
    """
    default = DEFAULTS[key]
    return getattr(settings, "DATA_MIGRATIONS", {}).get(key, default)


def throttle(key: str) -> Any:
    """The value of one key of ``THROTTLE``.

    Raises:
        KeyError: the key is not one of ``THROTTLE_DEFAULTS``.
    """
    return get("THROTTLE").get(key, THROTTLE_DEFAULTS[key])


def lease_seconds() -> float:
    """How long a lease lasts without a renewal, in seconds."""
    return float(get("LEASE_SECONDS"))


def heartbeat_seconds() -> float:
    """How often the holder renews its lease, in seconds."""
    value = get("HEARTBEAT_SECONDS")
    return float(value) if value is not None else lease_seconds() / 3
