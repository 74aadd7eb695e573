"""Moments, as somebody types them at night."""

from datetime import UTC, datetime, timedelta

import pytest

from drkeeper import clock
from drkeeper.cli.options import parse_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T02:15Z", datetime(2026, 3, 1, 2, 15, tzinfo=UTC)),
        ("2026-03-01 02:15", datetime(2026, 3, 1, 2, 15, tzinfo=UTC)),
        ("2026-03-29T02:15+02:00", datetime(2026, 3, 29, 0, 15, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_utc_unless_it_says_otherwise(text, moment):
    assert parse_moment(text) == moment


def test_how_long_ago():
    assert abs(clock.now() - timedelta(minutes=90) - parse_moment("90m")) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "02:15", "90", "-5m", "9999999w", "2026-02-30"])
def test_what_is_no_moment_is_said_to_be_none(text):
    with pytest.raises(ValueError, match="expected a moment such as"):
        parse_moment(text)


def test_a_moment_that_is_yet_to_come_is_one_of_another_zone():
    with pytest.raises(ValueError, match="without a zone it is in UTC"):
        parse_moment(f"{clock.now() + timedelta(hours=1):%Y-%m-%d %H:%M}")
