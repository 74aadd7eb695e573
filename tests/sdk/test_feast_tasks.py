"""Tasks of Feast's SDK, asked of a real feature store."""

import pytest
from pydantic import SecretStr
from tests.feast_registry.examples import a_registry

from drkeeper.applications._sdk import Limits, TaskFailed, run_task
from sdk.shop import FEATURES, ask, hour


def test_a_feature_store_is_materialised_and_served_as_of_the_end_of_the_span(shop):
    answer = ask(shop, "materialise", start=hour(0), end=hour(2), views=["visits", "sales"])
    assert answer["views"] == ["visits", "sales"]
    assert answer["rows_written"] == {"visits": 5, "sales": 5}

    entities = [{"customer_id": 3}, {"customer_id": 1}, {"customer_id": 77}]
    three, one, nobody = ask(shop, "online", entity_rows=entities, features=FEATURES)["rows"]
    assert three == {
        "entity": {"customer_id": 3},
        "values": {"visits__count": 32, "visits__days": pytest.approx(32 / 7, rel=1e-7), "sales__count": "32"},
        "timestamps": dict.fromkeys(("visits__count", "visits__days", "sales__count"), hour(2)),
    }
    assert one["values"]["visits__count"] == 12
    assert nobody["values"] == nobody["timestamps"] == dict.fromkeys(three["values"])


def test_the_offline_store_answers_as_of_each_moment_in_the_order_asked_and_by_the_name_of_a_service(shop):
    asked = [(2, 3), (5, 0), (2, -1), (2, 1), (77, 1)]
    entities = [{"customer_id": customer, "event_timestamp": hour(at)} for customer, at in asked]
    rows = ask(shop, "offline", entity_rows=entities, service="churn")["rows"]
    assert [row["entity"] for row in rows] == [{"customer_id": customer} for customer, _ in asked]
    assert [row["event_timestamp"] for row in rows] == [hour(at) for _, at in asked]
    assert [row["values"]["visits__days"] for row in rows] == [23 / 7, 50 / 7, None, 21 / 7, None]
    assert [row["values"]["sales__count"] for row in rows] == ["23", "50", None, "21", None]


def test_sources_tell_what_is_there_until_when_and_what_is_gone(shop):
    (shop["folder"] / "sales.parquet").rename(shop["folder"] / "elsewhere.parquet")
    try:
        sales, visits = sorted(ask(shop, "sources")["sources"], key=lambda source: source["view"])
    finally:
        (shop["folder"] / "elsewhere.parquet").rename(shop["folder"] / "sales.parquet")
    assert (visits["view"], visits["kind"], visits["exists"]) == ("visits", "FileSource", True)
    assert (visits["path"], visits["latest"]) == (str(shop["folder"] / "visits.parquet"), hour(3))
    assert (sales["view"], sales["exists"], sales["latest"]) == ("sales", False, None)


def test_a_password_that_the_store_refuses_is_not_in_the_message(shop):
    wrong = {**shop, "environment": {"ONLINE_PASSWORD": SecretStr("not-the-one")}}
    with pytest.raises(TaskFailed, match="online: AuthenticationError") as failure:
        ask(wrong, "online", entity_rows=[{"customer_id": 1}], features=FEATURES)
    assert "not-the-one" not in str(failure.value)


def test_a_view_without_a_source_costs_the_others_nothing(tmp_path):
    """Views may be made of other views; Feast lists them all the same."""
    (tmp_path / "registry.db").write_bytes(a_registry())
    config = {
        "project": "churn",
        "provider": "local",
        "registry": str(tmp_path / "registry.db"),
        "online_store": {"type": "sqlite", "path": str(tmp_path / "online.db")},
        "entity_key_serialization_version": 3,
    }

    answer = run_task(
        "sources", {"repo_config": config, "until": "2026-03-01T00:00:00+00:00"}, limits=Limits(seconds=120)
    )

    (source,) = answer["sources"]
    assert (source["view"], source["exists"], source["latest"]) == ("churn", None, None)
    assert source["error"] == "the view has no source of its own"
