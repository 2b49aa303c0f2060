"""Moments as the project keeps them: aware with ``USE_TZ``, else naive in the project's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone


def stored(moment: datetime) -> datetime:
    """An aware moment as a field of a model takes and gives it."""
    return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())


def aware(moment: datetime) -> datetime:
    """A moment from a field of a model with its time zone, to be shown or sent."""
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment, timezone.get_default_timezone())


def from_timestamp(seconds: float) -> datetime:
    """Seconds since 1970 as a field of a model takes it."""
    return stored(datetime.fromtimestamp(seconds, UTC))
