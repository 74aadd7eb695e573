"""A process with the real Feast SDK, which does what lines of JSON on its stdin say, and answers each with one."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float32, Int64, String
from feast.value_type import ValueType

from drkeeper.locks import hold_lock
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault

PROJECT = "churn"
CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)


def view(name: str, *, ttl_days: int = 1) -> FeatureView:
    source = FileSource(name=f"{name}_source", path=f"/nowhere/{name}.parquet", timestamp_field="at")
    schema = [
        Field(name="customer_id", dtype=String),
        Field(name="orders", dtype=Int64),
        Field(name="spent", dtype=Float32),
    ]
    return FeatureView(name=name, entities=[CUSTOMER], ttl=timedelta(days=ttl_days), schema=schema, source=source)


class Writer:
    def open(self, registry, folder):
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        config = RepoConfig(
            project=PROJECT,
            provider="local",
            registry=registry,
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        self.store = FeatureStore(config=config, repo_path=None)

    def apply(self, names, **about):
        """As `feast apply` does: all in one commit."""
        self.store.apply([CUSTOMER, *(view(name, **about) for name in names)])

    def apply_in_turn(self, name, vault):
        """The whole of read, change and write under the lock."""
        opened = Vault.open({"near": open_store(StoreOptions(url=vault))})
        with hold_lock(opened, "feast-registry", ttl_seconds=30, wait_seconds=60) as lock:
            self.store.registry.refresh(PROJECT)
            self.apply([name])
            return lock.token

    def change(self, name, **about):
        """The first half of an apply: in memory."""
        self.store.registry.apply_feature_view(view(name, **about), PROJECT, commit=False)

    def remove(self, name):
        self.store.registry.delete_feature_view(name, PROJECT, commit=False)

    def materialised(self, name, start, end):
        moments = (datetime.fromtimestamp(each, UTC) for each in (start, end))
        registry = self.store.registry
        registry.apply_materialization(registry.get_feature_view(name, PROJECT, allow_cache=True), PROJECT, *moments)

    def commit(self):
        """The second half."""
        self.store.registry.commit()

    def struck_by(self, fault):
        """From now on something is wrong with each write; `strikes` says how often."""
        place = self.store.registry._registry_store._place
        replace, self.hits = place.replace, 0

        def strike(data, tag):
            self.hits += 1
            if fault == "answers are lost":
                replace(data, tag)

        place.replace = strike

    def strikes(self):
        return self.hits

    def note(self, key, value):
        self.store.registry.set_project_metadata(PROJECT, key, value)

    def noted(self, key):
        return self.store.registry.get_project_metadata(PROJECT, key)

    def refresh(self):
        self.store.registry.refresh(PROJECT)

    def views(self):
        return sorted(each.name for each in self.store.registry.list_feature_views(PROJECT))

    def intervals(self, name):
        found = self.store.registry.get_feature_view(name, PROJECT).materialization_intervals
        return sorted([start.timestamp(), end.timestamp()] for start, end in found)


def main() -> None:
    writer = Writer()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        what, arguments = json.loads(line)
        try:
            answer = {"answer": getattr(writer, what)(**arguments)}
        except Exception as error:  # noqa: BLE001 - told to the test
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
