"""Makes a real Feast project, through its SDK: run as a program, with what it should do as JSON on stdin.

Spending of ten customers on each of twelve days, in three views that share an entity, and one view of shops:

* `totals`: of the day and the two days before it;
* `patchy`: the same, to be damaged by tests;
* `centred`: of the day, the day before and the day after, which looks ahead;
* `shops`: of another entity, whose key is a text.

`later` writes the sources anew as they are some days on: what looks ahead says something else of the past then.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROJECT = "churn"
FIRST_DAY = datetime(2026, 3, 1, 0, 0, 0, 123457, tzinfo=UTC)
CUSTOMERS, DAYS = range(1, 11), 12
VIEWS = ("totals", "patchy", "centred")
SHOPS = ("north, upper", "south")


def spent(customer: int, day: int) -> float:
    """Something that differs from day to day, and is no multiple of a power of two."""
    return round((customer * 7 + day * day * 3) % 23 + 0.1 * customer, 2)


def main(folder: str, connection: str, days: int, ttl: int | None, *, later: bool) -> None:
    _write_sources(Path(folder), days)
    if later:
        return
    os.environ.update(FEAST_USAGE="False", DO_NOT_TRACK="true", TQDM_DISABLE="1")
    import feast
    from feast.repo_config import RepoConfig

    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(Path(folder) / "registry.db"),
        online_store={"type": "redis", "connection_string": connection, "key_ttl_seconds": ttl},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = feast.FeatureStore(config=config)
    store.apply(_definitions(feast, Path(folder)))
    store.materialize(FIRST_DAY - timedelta(days=1), FIRST_DAY + timedelta(days=days))


def _write_sources(folder: Path, days: int) -> None:
    import pandas as pd

    rows = [
        (customer, FIRST_DAY + timedelta(days=day), spent(customer, day))
        for customer in CUSTOMERS
        for day in range(days)
    ]
    table = pd.DataFrame(rows, columns=["customer_id", "computed_at", "spent"])
    by_customer = table.groupby("customer_id")["spent"]
    windows = {
        name: by_customer.transform(lambda one, c=name == "centred": one.rolling(3, min_periods=1, center=c).sum())
        for name in VIEWS
    }
    for name, values in windows.items():
        frame = table.assign(spent=values.astype("float32"), orders=table["customer_id"] * 2)
        frame.to_parquet(folder / f"{name}.parquet")
    shops = [
        (shop, FIRST_DAY + timedelta(days=day), [float(day), 0.1], day % 2 == 0)
        for shop in SHOPS
        for day in range(days)
    ]
    pd.DataFrame(shops, columns=["shop", "computed_at", "position", "open"]).to_parquet(folder / "shops.parquet")


def _definitions(feast, folder: Path) -> list:
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Array, Bool, Float32, Float64, Int64, String

    customer = feast.Entity(name="customer", join_keys=["customer_id"], value_type=feast.ValueType.INT64)
    shop = feast.Entity(name="shop", join_keys=["shop"], value_type=feast.ValueType.STRING)

    def view(name, entity, key, fields):
        source = feast.FileSource(
            name=f"{name}_file", path=str(folder / f"{name}.parquet"), timestamp_field="computed_at"
        )
        schema = [key, *(feast.Field(name=field, dtype=dtype) for field, dtype in fields.items())]
        return feast.FeatureView(
            name=name, entities=[entity], schema=schema, source=source, ttl=timedelta(days=3650), online=True
        )

    views = [
        view(name, customer, feast.Field(name="customer_id", dtype=Int64), {"spent": Float32, "orders": Int64})
        for name in VIEWS
    ]
    shops = view("shops", shop, feast.Field(name="shop", dtype=String), {"position": Array(Float64), "open": Bool})

    @on_demand_feature_view(sources=[views[0]], schema=[feast.Field(name="doubled", dtype=Float64)])
    def doubled(inputs):
        return inputs[["spent"]].rename(columns={"spent": "doubled"}) * 2

    service = feast.FeatureService(name="churn_service", features=[views[0], views[2][["spent"]], doubled])
    return [customer, shop, *views, shops, doubled, service]


if __name__ == "__main__":
    main(**json.load(sys.stdin))
