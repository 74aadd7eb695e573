"""Which points stay, and why."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.retention import Rules, judge

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)


def point(created_at, *, point_id=None, partial=False, purpose="backup"):
    return RecoveryPoint(
        point_id=point_id or f"{int(created_at.timestamp()):012x}",
        policy="test",
        purpose=purpose,
        created_at=created_at,
        elapsed_seconds=1,
        systems=(SystemRecord(name="db", kind="postgres", status="failed" if partial else "complete"),),
        freeze_order=("db",),
        skew_seconds=0,
        fencing_token=1,
        drkeeper_version="0",
    )


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def kept(points, rules, *, now=NOW, pinned=()):
    return [v.created_at.strftime("%m-%dT%H") for v in judge(points, rules, now=now, pinned=pinned) if v.keep]


NIGHTS = [
    point(at(f"2026-{month:02d}-{day:02d}T02:00"))
    for month, days in ((4, 30), (5, 31), (6, 30))
    for day in range(1, days + 1)
]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(keep_last=2), ["06-29T02", "06-30T02"]),
        (Rules(keep_daily=3), ["06-28T02", "06-29T02", "06-30T02"]),
        # 2026-06-30 is a Tuesday; ISO weeks end on Sunday.
        (Rules(keep_weekly=3), ["06-21T02", "06-28T02", "06-30T02"]),
        (Rules(keep_monthly=3), ["04-30T02", "05-31T02", "06-30T02"]),
        (Rules(keep_monthly=99), ["04-30T02", "05-31T02", "06-30T02"]),
        (Rules(keep_yearly=1), ["06-30T02"]),
        (Rules(keep_last=1, keep_weekly=2, keep_monthly=2), ["05-31T02", "06-28T02", "06-30T02"]),
    ],
)
def test_each_rule_keeps_the_newest_of_each_of_its_spans(rules, expected):
    assert kept(NIGHTS, rules) == expected


def test_several_points_of_a_day_leave_its_newest():
    day = [point(at(f"2026-06-{day}T{hour:02d}:00")) for day in (29, 30) for hour in (2, 8, 20)]
    assert kept(day, Rules(keep_daily=2)) == ["06-29T20", "06-30T20"]


def test_days_are_utc_days_whatever_zone_a_point_was_made_in():
    from zoneinfo import ZoneInfo

    late = datetime(2026, 6, 29, 23, 0, tzinfo=ZoneInfo("America/New_York"))  # 03:00 on the 30th in UTC
    early = at("2026-06-30T02:00")
    verdicts = judge([point(late), point(early)], Rules(keep_daily=2), now=NOW)
    assert [verdict.keep for verdict in verdicts] == [False, True]


def test_without_rules_everything_stays():
    assert len(kept(NIGHTS, Rules())) == len(NIGHTS)


def test_reasons_name_every_rule_that_keeps_a_point():
    verdicts = judge(NIGHTS, Rules(keep_last=1, keep_daily=2), now=NOW)
    assert verdicts[-1].reasons == ("last 1 of 1", "daily 1 of 2")
    assert verdicts[-2].reasons == ("daily 2 of 2",)
    assert verdicts[0].reasons == ("no rule keeps it",)


def test_a_pin_keeps_what_no_rule_does():
    verdicts = judge(NIGHTS, Rules(keep_last=1), now=NOW, pinned={NIGHTS[5].point_id})
    assert [v.point_id for v in verdicts if v.keep] == [NIGHTS[5].point_id, NIGHTS[-1].point_id]
    assert verdicts[5].reasons == ("pinned",)


def test_partial_points_do_not_crowd_out_complete_ones():
    points = [point(at("2026-06-10T02:00")), *(point(at(f"2026-06-{day}T02:00"), partial=True) for day in (11, 12, 13))]
    assert kept(points, Rules(keep_last=1)) == ["06-10T02", "06-11T02", "06-12T02", "06-13T02"]
    later = [*points, point(at("2026-06-14T02:00"))]
    assert kept(later, Rules(keep_last=1)) == ["06-14T02"]


def test_undo_points_go_by_their_age_alone():
    points = [
        point(at("2026-06-01T02:00")),
        point(at("2026-06-20T02:00"), purpose="undo"),
        point(at("2026-06-29T02:00"), purpose="undo"),
    ]
    assert kept(points, Rules(keep_last=1)) == ["06-01T02", "06-29T02"]


moments = st.datetimes(datetime(2024, 1, 1), datetime(2026, 6, 30), timezones=st.just(UTC))  # noqa: DTZ001
some_points = st.lists(
    st.builds(
        lambda when, partial, undo: point(when, partial=partial, purpose="undo" if undo else "backup"),
        moments,
        st.booleans(),
        st.integers(0, 4).map(lambda n: n == 0),
    ),
    max_size=40,
    unique_by=lambda one: one.point_id,
)
counts = st.integers(0, 5)
some_rules = st.builds(Rules, counts, counts, counts, counts, counts)


def stay(points, rules):
    return {v.point_id for v in judge(points, rules, now=NOW) if v.keep}


@given(some_points, some_rules)
def test_judging_what_was_kept_keeps_it_all(points, rules):
    once = stay(points, rules)
    assert stay([one for one in points if one.point_id in once], rules) == once


@given(
    some_points, some_rules, st.sampled_from(["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"])
)
def test_a_more_generous_rule_never_loses_a_point(points, rules, name):
    if rules.keeps_all:
        return
    more = Rules(**{**vars(rules), name: getattr(rules, name) + 1})
    assert stay(points, rules) <= stay(points, more)


@given(some_points, some_rules)
def test_the_newest_complete_point_always_stays(points, rules):
    complete = [one for one in points if one.purpose == "backup" and not one.partial]
    if complete:
        assert max(complete, key=lambda one: (one.created_at, one.point_id)).point_id in stay(points, rules)


@given(some_points, some_rules)
def test_every_point_gets_one_verdict_with_a_reason(points, rules):
    verdicts = judge(points, rules, now=NOW + timedelta(days=1))
    assert sorted(v.point_id for v in verdicts) == sorted(one.point_id for one in points)
    assert all(v.reasons for v in verdicts)
