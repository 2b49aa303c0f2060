"""How fast and how long, in numbers and in words."""

from __future__ import annotations

import pytest

from data_migrations.rate import Rate, about, duration, number, seconds_left


def test_a_rate_is_known_from_the_second_value_on():
    rate = Rate()
    rate.update(400, now=100.0)
    assert rate.per_second is None
    assert rate.seconds_left(1000) is None
    assert rate.words(1000) == "40 % · 400 of 1,000 rows"
    rate.update(500, now=102.0)
    # What an earlier run did is no speed of this one.
    assert rate.per_second == 50
    assert rate.seconds_left(1000) == 10


def test_it_follows_a_change_within_its_window():
    rate = Rate(window=30)
    done = 0
    for second in range(100):
        rate.update(done, now=float(second))
        done += 1000
    for second in range(100, 140):
        rate.update(done, now=float(second))
        done += 10
    assert rate.per_second == pytest.approx(10)


def test_many_values_a_second_are_not_all_remembered():
    rate = Rate(window=30)
    for tick in range(100_000):
        rate.update(tick, now=tick / 1000)
    assert len(rate._seen) < 80
    assert rate.per_second == pytest.approx(1000, rel=0.01)
    assert rate.done == 99_999


def test_where_a_run_is_in_words():
    rate = Rate()
    rate.update(0, now=0.0)
    rate.update(430_000, now=84.0)
    assert rate.words(1_000_000) == "43 % · 430,000 of 1,000,000 rows · 5,119 rows/s · about 1 m 51 s left"
    assert rate.words(None) == "430,000 rows · 5,119 rows/s"
    assert rate.words(430_000) == "100 % · 430,000 of 430,000 rows · 5,119 rows/s"
    # Rows that came while it ran: no more than all of them.
    assert rate.words(400_000).startswith("100 %")


def test_a_run_that_stands_still_has_no_end_in_sight():
    rate = Rate()
    rate.update(5, now=0.0)
    rate.update(5, now=10.0)
    assert rate.per_second == 0
    assert rate.words(100) == "5 % · 5 of 100 rows · 0.0 rows/s"


def test_at_the_end_nothing_is_left_and_shortly_before_it_no_number_is_given():
    assert seconds_left(1200, 1200, 5.0) is None
    assert seconds_left(1201, 1200, 5.0) is None
    assert seconds_left(1199, 1200, 5.0) == 0.2
    assert seconds_left(1, None, 5.0) is None
    assert (about(0.2), about(1), about(111)) == ("less than a second", "about 1.0 s", "about 1 m 51 s")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (4.24, "4.2 s"),
        (9.97, "10 s"),
        (51.4, "51 s"),
        (59.7, "1 m 00 s"),
        (111, "1 m 51 s"),
        (7500, "2 h 05 m"),
        (273_600, "3 d 04 h"),
    ],
)
def test_seconds_in_words(seconds, words):
    assert duration(seconds) == words


def test_rates_in_words():
    assert (number(7.26), number(12.4), number(5120.3)) == ("7.3", "12", "5,120")
