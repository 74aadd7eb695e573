"""The real Feast, in a process of its own: a line of JSON in, a line of JSON out.

`{"do": "apply" | "read" | "remove" | "proto", "registry": {…}, "repo": folder}`. It is imported once, which takes seconds.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Int64


def store_of(request):
    folder = Path(request["repo"])
    online = {"type": "sqlite", "path": str(folder / "online.db")}
    config = RepoConfig(
        project="churn",
        provider="local",
        registry=request["registry"],
        online_store=online,
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def apply(store, folder: Path):
    source = folder / "orders.parquet"
    rows = {"customer_id": [1, 2], "orders": [3, 4], "at": [datetime(2026, 2, 1, tzinfo=UTC)] * 2}
    pd.DataFrame(rows).to_parquet(source)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="churn",
        entities=[customer],
        schema=[Field(name="orders", dtype=Int64)],
        source=FileSource(name="orders", path=str(source), timestamp_field="at"),
    )
    store.apply([customer, view, FeatureService(name="churn_v1", features=[view])])
    store.materialize(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


def remove(store, folder: Path):
    del folder
    store.delete_feature_service("churn_v1")


def read(store, folder: Path):
    del folder
    (view,) = store.list_feature_views()
    served = store.get_online_features(
        features=store.get_feature_service("churn_v1"), entity_rows=[{"customer_id": 1}]
    ).to_dict()
    return {
        "entities": sorted(entity.name for entity in store.list_entities() if entity.name != "__dummy"),
        "fields": [field.name for field in view.features],
        "services": sorted(service.name for service in store.list_feature_services()),
        "until": view.most_recent_end_time.isoformat(),
        "served": served["orders"],
    }


def proto(store, folder: Path):
    """All of it, as Feast itself says it."""
    del folder
    return store.registry.proto().SerializeToString().hex()


for line in sys.stdin:
    request = json.loads(line)
    answer = globals()[request["do"]](store_of(request), Path(request["repo"]))
    sys.__stdout__.write("ANSWER " + json.dumps(answer) + "\n")
    sys.__stdout__.flush()
