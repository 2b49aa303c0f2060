"""Moments with and without time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from data_migrations import clock, databases

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_with_time_zones_moments_stay_as_they_are(settings):
    settings.USE_TZ = True
    assert clock.stored(NEW_YEAR) is NEW_YEAR
    assert clock.aware(NEW_YEAR) is NEW_YEAR
    assert clock.from_timestamp(NEW_YEAR.timestamp()) == NEW_YEAR


def test_without_them_the_hour_of_the_place_is_kept_and_comes_back(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    assert clock.stored(NEW_YEAR) == datetime(2025, 12, 31, 19)
    assert clock.from_timestamp(NEW_YEAR.timestamp()) == datetime(2025, 12, 31, 19)
    assert clock.aware(datetime(2025, 12, 31, 19)) == NEW_YEAR


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("alias", ["default", "other"])
def test_the_clock_of_the_database_tells_what_djangos_tells(alias):
    assert abs(databases.now(alias) - timezone.now()) < timedelta(minutes=5)
