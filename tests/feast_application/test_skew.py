"""What is served against what is in the offline store, without either."""

from datetime import UTC, datetime, timedelta

import pytest

from drkeeper.applications._feast.definitions import View
from drkeeper.applications._feast.skew import differences, questions, same, skew_check

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def view(ttl: timedelta = timedelta()) -> View:
    return View("feature_views", "totals", "totals", ("customer",), ("spent",), None, None, (), ttl, online=True)


def served(value, at: datetime | None = NOON):
    return {"values": {"totals__spent": value}, "timestamps": {"totals__spent": at and at.isoformat()}}


@pytest.mark.parametrize(
    ("online", "offline"),
    [
        (0.10000000149011612, 0.1),
        (16777216.0, 16777217),
        (7, 7.0),
        (None, float("nan")),
        ([1.0, None], [1.0000001, float("nan")]),
        (True, 1),
        ("2026-03-01T12:00:00+00:00", "2026-03-01 12:00:00"),
        ({"a": [0.1]}, {"a": [0.10000000149011612]}),
    ],
)
def test_what_is_one_within_a_float32(online, offline):
    assert same(online, offline)


@pytest.mark.parametrize(
    ("online", "offline"),
    [
        (0.1, 0.10001),
        (0.0, 1e-30),
        (None, 0.0),
        (2**53, 2**53 + 1),
        ("a", "b"),
        ([1.0], [1.0, 2.0]),
        ({"a": 1}, {"b": 1}),
        ("2026-03-01T12:00:00+00:00", "2026-03-01 12:00:01"),
        (1.0, "1.0"),
    ],
)
def test_what_differs(online, offline):
    assert not same(online, offline)


def test_each_row_is_asked_for_as_of_itself_and_as_of_the_horizon():
    asked = list(questions(0, served(1.0), [view()], {"totals": NOON + DAY}))
    assert [(one.why, one.as_of.replace(microsecond=0)) for one in asked] == [("changed", NOON), ("missed", NOON + DAY)]


def test_a_row_as_new_as_the_horizon_is_asked_for_once():
    assert [one.why for one in questions(0, served(1.0), [view()], {"totals": NOON})] == ["changed"]


def test_what_the_offline_store_does_not_show_any_more_is_not_held_against_the_online_store():
    asked = questions(0, served(1.0), [view(ttl=DAY)], {"totals": NOON + 2 * DAY})
    assert [one.why for one in asked] == ["changed"]


def test_nothing_is_asked_about_an_entity_that_is_not_served():
    assert not list(questions(0, served(None, at=None), [view()], {"totals": NOON}))


def test_a_value_of_the_past_that_changed_is_told_with_entity_feature_values_and_time():
    (asked,) = questions(0, served(1.0), [view()], {})
    found = list(differences(asked, "customer_id=7", served(1.0)["values"], {"totals__spent": 1.5}))
    check = skew_check(view(), 3, found)
    assert check.verdict == "failed"
    assert "values of 1 of 3 entities changed after they were served" in check.detail
    assert "customer_id=7 totals:spent: 1.0 of 2026-03-01 12:00:00 UTC is served, 1.5 is in" in check.detail
    assert "looks ahead" in check.remedy


def test_a_row_that_was_missed_is_told_as_that():
    asked = list(questions(0, served(1.0), [view()], {"totals": NOON + DAY}))
    offline = {"changed": {"totals__spent": 1.0}, "missed": {"totals__spent": 2.0}}
    found = [
        each for one in asked for each in differences(one, "customer_id=7", served(1.0)["values"], offline[one.why])
    ]
    check = skew_check(view(), 1, found)
    assert "were missed by materialisation" in check.detail
    assert "materialise again from before" in check.remedy


def test_long_lists_are_cut():
    (asked,) = questions(0, served(1.0), [view()], {})
    found = [each for n in range(9) for each in differences(asked, f"id={n}", served(1.0)["values"], {})]
    assert skew_check(view(), 9, found).detail.endswith("; and 4 more")
