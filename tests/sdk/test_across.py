"""Across MLflow and Feast: a model's prediction of what the feature store serves, recorded and asked for again."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from drkeeper.applications._across import Champion, Undecided, check_across, record_across
from drkeeper.applications._across.features import features_of
from drkeeper.applications._across.rows import Row, picked, standing
from drkeeper.applications._feast.definitions import definitions_of
from drkeeper.applications._feast.samples import sample_of
from drkeeper.applications._feast.through_feast import Feast
from drkeeper.applications._sdk import Limits
from drkeeper.feature_registry import parse
from sdk.models import save_sklearn
from sdk.shop import ask, hour

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMITS = Limits(seconds=90)
TAGS = {"feast.project": "shop", "feast.feature_refs": "visits:days,visits:count"}


class Replay:
    """Serves rows as Feast would."""

    def __init__(self, rows):
        self.served = rows

    def rows(self, task, entities, features):
        by_entity = {str(row["entity"]): row for row in self.served}
        return [by_entity[str(entity)] for entity in entities]


@pytest.fixture(scope="module")
def platform(shop, tmp_path_factory):
    """A feature store at hour 2, its definitions and entities, a model of its features, and what was recorded of it."""
    ask(shop, "materialise", start=hour(0), end=hour(2))
    definitions = definitions_of(parse((shop["folder"] / "registry.db").read_bytes()), "shop")
    with redis.Redis(**shop["server"].options, protocol=2) as client:
        hashes = {key: client.hgetall(key) for key in sorted(client.scan_iter())}
    samples = [sample_of(key, fields, definitions, "shop") for key, fields in hashes.items()]
    folder = tmp_path_factory.mktemp("models")
    champion = Champion("churn", "champion", 2, str(save_model(folder / "champion", 1)), TAGS, LIMITS)
    feast = Feast(lambda: (shop["config"], shop["environment"]), LIMITS)
    recorded = record_across(champion, definitions, samples)
    names = [feature.replace(":", "__") for feature in recorded["features"]]
    served = [
        {
            "entity": row["entity"],
            "values": dict(zip(names, row["values"], strict=True)),
            "timestamps": dict.fromkeys(names, row["event_times"]["visits"]),
        }
        for row in recorded["rows"]
    ]
    return {
        "definitions": definitions,
        "samples": samples,
        "champion": champion,
        "other": replace(champion, folder=str(save_model(folder / "other", 3))),
        "feast": feast,
        "recorded": recorded,
        "served": served,
        "hashes": hashes,
    }


def save_model(folder, factor):
    """Its columns are not in the order of the features; the larger the factor, the more it says."""
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    table = pd.DataFrame({"count": [1, 5, 9, 30], "days": [2.0, 3.5, 1.25, 7.0]})
    model = LinearRegression().fit(table, factor * (table["count"] - 2 * table["days"]))
    return save_sklearn(model, folder, table)


def says(count, days):
    return pytest.approx(count - 2 * days, abs=1e-9)


def test_a_prediction_is_recorded_from_the_frozen_values_in_the_order_that_the_model_wants(platform):
    recorded = platform["recorded"]
    assert recorded["features"] == ["visits:days", "visits:count"]
    assert recorded["columns"] == ["count", "days"]
    assert [row["entity"]["customer_id"] for row in recorded["rows"]] == [1, 2, 3, 4, 5]
    counts = [row["values"][1] for row in recorded["rows"]]
    assert counts == [12, 22, 32, 42, 52]
    assert recorded["prediction"] == [
        says(count, row["values"][0]) for count, row in zip(counts, recorded["rows"], strict=True)
    ]


def test_a_restored_platform_serves_and_says_the_same(platform):
    features, prediction = check_across(platform["recorded"], platform["champion"], platform["feast"], NOW)
    assert (features.subject, features.verdict) == ("across.churn@champion.features", "passed")
    assert features.detail == "of 5 entities, 5 as they were"
    assert (prediction.subject, prediction.verdict) == ("across.churn@champion.prediction", "passed")
    assert "for 5 entities" in prediction.detail


def test_another_model_under_the_same_version_is_found_by_what_it_says(platform):
    feast = Replay(platform["served"])
    features, prediction = check_across(platform["recorded"], platform["other"], feast, NOW)
    assert (features.verdict, prediction.verdict) == ("passed", "failed")
    assert "predicts otherwise: [0] is" in prediction.detail


def test_values_that_changed_fail_and_the_model_is_asked_about_the_others(platform):
    rows = [{**row, "values": dict(row["values"])} for row in platform["served"]]
    rows[1]["values"]["visits__count"] = 23
    features, prediction = check_across(platform["recorded"], platform["champion"], Replay(rows), NOW)
    assert features.verdict == "failed"
    assert "of 1 of 5 entities" in features.detail
    assert "customer_id=2: visits:count is 23, was 22" in features.detail
    assert (prediction.verdict, "for 4 entities" in prediction.detail) == ("passed", True)


def test_a_store_that_lost_an_entity_and_does_not_answer_for_it_fails(platform, shop):
    lost = next(
        key
        for key, sample in zip(platform["hashes"], platform["samples"], strict=True)
        if sample.entity["customer_id"] == 4
    )
    with redis.Redis(**shop["server"].options, protocol=2) as client:
        client.delete(lost)
        try:
            features, prediction = check_across(platform["recorded"], platform["champion"], platform["feast"], NOW)
        finally:
            client.hset(lost, mapping=platform["hashes"][lost])
    assert features.verdict == "failed"
    assert "customer_id=4: nothing is served of visits" in features.detail
    assert (prediction.verdict, "for 4 entities" in prediction.detail) == ("passed", True)


def test_a_store_that_went_on_is_no_fault_and_leaves_nothing_to_compare(platform):
    later = {name: hour(3) for name in ("visits__count", "visits__days")}
    feast = Replay([{**row, "timestamps": later} for row in platform["served"]])
    features, prediction = check_across(platform["recorded"], platform["champion"], feast, NOW)
    assert (features.verdict, features.detail) == ("passed", "of 5 entities, 5 newer than in the point")
    assert (prediction.verdict, prediction.detail) == ("not checked", "no entity is served as it was")


def test_an_alias_that_moved_is_not_compared(platform):
    moved = replace(platform["champion"], version=3)
    (check,) = check_across(platform["recorded"], moved, Replay([]), NOW)
    assert (check.verdict, check.detail) == ("not checked", "the alias names version 3; 2 was recorded")


def test_a_model_that_does_not_load_is_a_failure_and_a_python_that_is_not_there_none(platform, tmp_path):
    feast = Replay(platform["served"])
    gone = replace(platform["champion"], folder=str(tmp_path))
    assert [check.verdict for check in check_across(platform["recorded"], gone, feast, NOW)] == ["passed", "failed"]
    bare = replace(platform["champion"], limits=Limits(python="/no/such/python"))
    verdicts = [check.verdict for check in check_across(platform["recorded"], bare, feast, NOW)]
    assert verdicts == ["passed", "not checked"]


@pytest.mark.parametrize(
    ("tags", "service", "features"),
    [
        ({"feast.feature_service": "churn"}, "", ("sales:count", "visits:days")),
        ({"feature_service": "churn", "feature_refs": "visits:count"}, "", ("sales:count", "visits:days")),
        ({"feature_refs": "visits@v2:count, visits:days"}, "churn", ("visits:count", "visits:days")),
        ({}, "churn", ("sales:count", "visits:days")),
    ],
)
def test_features_are_those_that_the_version_says_else_those_of_the_policy(platform, tags, service, features):
    assert features_of(tags, platform["definitions"], service) == features


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({}, "the policy names no service"),
        ({"feast.project": "other", "feature_refs": "visits:count"}, "of the project other"),
        ({"feast.feature_service": "gone"}, "no feature service gone"),
        ({"feast.feature_refs": "visits:count,vis..."}, "was cut off"),
        ({"feast.feature_refs": "gone:count"}, "no view gone"),
    ],
)
def test_features_that_nobody_can_tell_are_not_guessed(platform, tags, why):
    with pytest.raises(Undecided, match=why):
        features_of(tags, platform["definitions"], "")


def test_an_entity_without_all_features_is_not_recorded(platform):
    without = [replace(sample, views={"sales": sample.views["sales"]}) for sample in platform["samples"]]
    with pytest.raises(Undecided, match="none of 5 sampled entities has all of its features"):
        record_across(platform["champion"], platform["definitions"], without)


def test_an_entity_whose_time_came_is_not_missing():
    row = Row({"customer_id": 1}, (5,), {"visits": hour(1)}, hour(4))
    nothing = {"values": {"visits__count": None}, "timestamps": {"visits__count": None}}
    assert standing(row, nothing, ["visits:count"], NOW) == "expired"
    assert standing(row, nothing, ["visits:count"], datetime.fromisoformat(hour(2))) == "nothing is served of visits"


def test_values_that_are_older_than_they_were_are_wrong():
    row = Row({"customer_id": 1}, (5,), {"visits": hour(1)})
    older = {"values": {"visits__count": 5}, "timestamps": {"visits__count": hour(0)}}
    assert standing(row, older, ["visits:count"], NOW).startswith("visits:count is of 2026-01-01T00:00:00")


def test_a_prediction_is_taken_apart_where_it_has_one_entry_for_each_row():
    assert picked([1, 2, 3], [0, 2], 3) == [1, 3]
    assert picked({"columns": ["a"], "data": [[1], [2]]}, [1], 2) == {"columns": ["a"], "data": [[2]]}
    assert picked("all of them", [0], 2) is None
    assert picked("all of them", [0, 1], 2) == "all of them"
