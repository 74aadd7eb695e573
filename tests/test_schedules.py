"""A cron line is due exactly when the daemon's scheduler would run it."""

from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from drkeeper._policy.quantities import check_cron
from drkeeper.schedules import Cron

NOON = datetime(2026, 2, 27, 12, 0, tzinfo=UTC)


def by_the_scheduler(line, since, until):
    trigger = CronTrigger.from_crontab(line, timezone="UTC")
    found, moment = [], trigger.get_next_fire_time(None, since)
    while moment is not None and moment < until:
        found.append(moment.astimezone(UTC))
        moment = trigger.get_next_fire_time(moment, moment + timedelta(seconds=1))
    return found


LINES = [
    "0 2 * * *", "*/15 * * * *", "7,37 1-5/2 * * *", "0 5 1 */3 *", "30 4 * * sun", "0 3 13 * fri", "5/20 * * feb *",
    "0 0 29 2 *", "59 23 31 12 *", "0 6 * * 1-5", "0 6 * jan-mar 0,7",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_times_are_those_of_the_scheduler(line):
    checked = check_cron(line)
    for since in (NOON, NOON.replace(hour=2, minute=0), NOON + timedelta(days=40, seconds=17)):
        until = since + timedelta(days=45)
        times = list(Cron.parse(checked).times(since, until))
        assert times == by_the_scheduler(checked, since, until)
        assert Cron.parse(checked).count(since, until) == len(times)


@pytest.mark.parametrize("line", LINES)
def test_the_next_time_is_that_of_the_scheduler(line):
    checked = check_cron(line)
    expected = CronTrigger.from_crontab(checked, timezone="UTC").get_next_fire_time(None, NOON + timedelta(seconds=1))
    assert Cron.parse(checked).next(NOON) == expected


def test_what_is_never_due_has_no_next_time():
    assert Cron.parse("0 0 30 2 *").next(NOON) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(0, 10**5))
def test_what_is_due_in_two_spans_is_due_in_both_together(start, first, second):
    cron = Cron.parse("*/7 3-9 * * mon,thu")
    at, middle = NOON + timedelta(seconds=start), NOON + timedelta(seconds=start + first)
    end = middle + timedelta(seconds=second)
    assert cron.count(at, middle) + cron.count(middle, end) == cron.count(at, end)
