"""Tasks of Feast's SDK, asked of a real feature store: two views of one entity in Valkey, their parquet files beside."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from drkeeper.applications._sdk import Limits, TaskFailed, run_task
from drkeeper.sandbox import start_sandbox

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = ["visits:count", "visits:days", "sales:count"]
# What a machine-learning engineer would have in a repository, and `feast apply`. In a process of its own: Feast keeps
# threads and takes seven CPU seconds to import.
REPOSITORY = """
import sys
from datetime import datetime, timedelta, timezone

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Float32, Int64, String

folder, connection = sys.argv[1:]
began = datetime(2026, 1, 1, tzinfo=timezone.utc)
config = RepoConfig(
    project="shop", provider="local", registry=f"{folder}/registry.db", entity_key_serialization_version=3,
    online_store={"type": "redis", "connection_string": connection}, offline_store={"type": "file"},
)
moments = [began + timedelta(hours=hour) for hour in range(4)]
rows = [(customer, moment, customer * 10 + hour) for customer in range(1, 6) for hour, moment in enumerate(moments)]
visits = pd.DataFrame(rows, columns=["customer_id", "at", "count"])
visits["days"] = visits["count"] / 7
visits.to_parquet(f"{folder}/visits.parquet")
sales = visits[["customer_id", "at"]].assign(count=visits["count"].astype(str))
sales.to_parquet(f"{folder}/sales.parquet")
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)


def view(name, *fields):
    return FeatureView(
        name=name, entities=[customer], ttl=timedelta(0), source=FileSource(name=name, path=f"{folder}/{name}.parquet", timestamp_field="at"),
        schema=[Field(name="customer_id", dtype=Int64), *(Field(name=field, dtype=kind) for field, kind in fields)],
    )


views = [view("visits", ("count", Int64), ("days", Float32)), view("sales", ("count", String))]
store = FeatureStore(config=config)
store.apply([customer, *views, FeatureService(name="churn", features=[views[1], views[0][["days"]]])])
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A feature store with four hours of values, none of them materialised; its `repo_config` and environment."""
    folder = tmp_path_factory.mktemp("shop")
    server = start_sandbox("redis", folder / "valkey")
    place, password = f"127.0.0.1:{server.port}", str(server.options["password"])
    env = {**os.environ, "FEAST_USAGE": "False"}
    argv = [sys.executable, "-c", REPOSITORY, str(folder), f"{place},password={password}"]
    subprocess.run(argv, check=True, env=env, capture_output=True)
    config = {
        "project": "shop",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "online_store": {"type": "redis", "connection_string": f"{place},password=${{ONLINE_PASSWORD}}"},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    yield {"folder": folder, "config": config, "environment": {"ONLINE_PASSWORD": SecretStr(password)}}
    server.stop()


def ask(shop, task, **request):
    request = {"repo_config": shop["config"], **request}
    return run_task(task, request, limits=Limits(seconds=90), environment=shop["environment"])


def hour(number):
    return (BEGAN + timedelta(hours=number)).isoformat()


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
