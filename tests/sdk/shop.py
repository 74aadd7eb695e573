"""A real feature store: two views of one entity in Valkey, their parquet files beside."""

import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from drkeeper.applications._sdk import Limits, run_task
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


@contextmanager
def made_shop(folder):
    """Four hours of values, none of them materialised; its `repo_config` and environment."""
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
    try:
        environment = {"ONLINE_PASSWORD": SecretStr(password)}
        yield {"folder": folder, "config": config, "environment": environment, "server": server}
    finally:
        server.stop()


def ask(shop, task, **request):
    request = {"repo_config": shop["config"], **request}
    return run_task(task, request, limits=Limits(seconds=90), environment=shop["environment"])


def hour(number):
    return (BEGAN + timedelta(hours=number)).isoformat()
