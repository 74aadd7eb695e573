"""What Feast itself serves, against what is in its offline store, after both were damaged in ways that hide.

It takes seconds to be asked anything: one check tells it all.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drkeeper.applications._feast.layout import event_time_field, feature_field
from drkeeper.applications._feast.values import event_time, feature_value, value_message
from drkeeper.facts import Check
from feast_application.conftest import Platform, customer, made_platform, run_program, stamp
from feast_application.project import FIRST_DAY, spent

DAYS, LATER = 12, 15
LAST_EVENT = FIRST_DAY + timedelta(days=DAYS - 1)
MISSED, GONE = 3, 9


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with made_platform(tmp_path_factory.mktemp("feast"), days=DAYS) as made:
        yield made


@pytest.fixture(scope="module")
def checks(platform: Platform) -> dict[str, Check]:
    """Of a store of which a row was missed and an entity is gone, three days later."""
    record = platform.whole_witness()
    older = LAST_EVENT - timedelta(days=1)
    value = round(sum(spent(MISSED, day) for day in range(DAYS - 4, DAYS - 1)), 2)
    with platform.client as client:
        fields = {
            event_time_field("patchy"): stamp(older),
            feature_field("patchy", "spent"): type(value_message())(float_val=value).SerializeToString(),
        }
        assert client.hset(customer(MISSED), mapping=fields) == 0, "both were there"
        assert client.delete(customer(GONE)) == 1
    run_program(platform.folder, platform.server, days=LATER, later=True)
    return platform.check(record, skew=True, service="")


def test_what_looks_back_only_is_served_as_it_is_in_the_offline_store(checks):
    assert checks["skew.totals"].detail == "9 entities are served as they are in the offline store"
    assert checks["skew.totals"].verdict == "passed"
    assert checks["skew.shops"].verdict == "passed", "a text as key, lists, booleans"


def test_a_window_that_looks_ahead_is_found_once_the_later_days_are_there(checks):
    check = checks["skew.centred"]
    assert (check.verdict, check.severity) == ("failed", "error")
    assert "values of 9 of 9 entities changed after they were served: customer_id=1 centred:spent" in check.detail
    assert "looks ahead" in check.remedy


def test_the_difference_is_told_with_entity_values_and_event_time(checks):
    told = re.findall(
        r"customer_id=1 centred:spent: (\S+) of (.+?) is served, (\S+) is in", checks["skew.centred"].detail
    )
    ((served, event_time, in_offline_store),) = told
    then = spent(1, DAYS - 2) + spent(1, DAYS - 1)
    assert float(served) == pytest.approx(then)
    assert float(in_offline_store) == pytest.approx(then + spent(1, DAYS))
    assert event_time == f"{LAST_EVENT:%Y-%m-%d %H:%M:%S} UTC"


def test_a_row_that_materialisation_missed_is_found_behind_newer_ones(checks):
    check = checks["skew.patchy"]
    assert check.verdict == "failed"
    assert (
        f"values of 1 of 9 entities were missed by materialisation: customer_id={MISSED} patchy:spent" in check.detail
    )
    assert checks["online.patchy.newest_event"].verdict == "passed", "other entities hide it from the newest event"


def test_an_entity_that_is_gone_is_not_served_though_feast_calls_it_present(checks):
    check = checks["serving.online"]
    assert check.verdict == "failed"
    assert f"customer_id={GONE} of totals" in check.detail
    assert "shop=" not in check.detail


def test_no_check_tells_the_password(checks, platform):
    password = str(platform.server.options["password"])
    assert not [check for check in checks.values() if password in check.model_dump_json()]


def test_a_python_without_feast_leaves_it_unchecked(platform, tmp_path: Path):
    check = platform.check(None, skew=True, python=str(tmp_path / "no-python"))["serving.online"]
    assert check.verdict == "not checked"
    assert "no-python" in check.detail


def test_what_was_damaged_is_what_redis_holds(platform):
    """The fault was hit: Redis has the older row."""
    with platform.client as client:
        found = client.hmget(customer(MISSED), [event_time_field("patchy"), feature_field("patchy", "spent")])
    assert event_time(found[0]) == LAST_EVENT - timedelta(days=1)
    assert isinstance(feature_value(found[1]), float)
