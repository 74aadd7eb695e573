"""A Feast project of three views over parquet files, with its registry in a file and Valkey as its online store."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis

from drkeeper.cli.root import run as drkeeper
from drkeeper.demo.features import import_feast
from drkeeper.policy import load_policy
from drkeeper.sandbox import start_sandbox
from drkeeper.wiring import create_vault

PROJECT = "churn"
START = datetime(2026, 3, 1, tzinfo=UTC)
VIEWS = {"purchases": ("amount", "items"), "visits": ("pages",), "scores": ("risk",)}


def hours(count):
    return START + timedelta(hours=count)


def children(process_id):
    """Of all its threads."""
    return [
        int(child) for file in Path(f"/proc/{process_id}/task").glob("*/children") for child in file.read_text().split()
    ]


class Project:
    """Attributes:
    folder: Of policy, vault, registry and sources.
    entities: Customers, each with a row an hour in every source.
    """

    def __init__(self, folder, *, entities=200, views=tuple(VIEWS)):
        self.folder = folder
        self.entities = entities
        self.views = views
        self.server = start_sandbox("redis", folder / "store")
        self.registry = folder / "registry.db"
        self.store = None
        self.policy_file = folder / "drkeeper.yaml"
        self.write_policy()
        create_vault(self.policy())

    def write_policy(self, **of_the_application):
        online = self.server.options
        application = {
            "kind": "feast",
            "project": PROJECT,
            "registry": "feast-registry",
            "online": "feature-store",
            "skew": False,
            **of_the_application,
        }
        password = self.folder / "password"
        password.write_text(str(online["password"]))
        systems = {
            "feast-registry": {"kind": "feast_registry", "url": str(self.registry)},
            "feature-store": {
                "kind": "redis",
                "host": "127.0.0.1",
                "port": online["port"],
                "password": f"${{file:{password}}}",
                "scratch": str(self.folder / "scratch"),
            },
        }
        policy = {
            "version": 1,
            "name": "ml",
            "systems": systems,
            "applications": {"features": application},
            "vault": {"regions": {name: {"url": str(self.folder / name)} for name in ("near", "far")}},
        }
        self.policy_file.write_text(json.dumps(policy))  # JSON is YAML

    def policy(self):
        return load_policy(self.policy_file, {})

    # --- what a data scientist does ---

    def source(self, view):
        return self.folder / "sources" / f"{view}.parquet"

    def write_sources(self, first, last, *, views=None):
        """Append rows of these hours, both included; features are other ones each hour."""
        import pandas as pd

        for view in views or self.views:
            file = self.source(view)
            file.parent.mkdir(exist_ok=True)
            tables = [pd.read_parquet(file)] if file.exists() else []
            for hour in range(first, last + 1):
                # Not all customers were seen in each hour: who was not keeps an older value.
                seen = [customer for customer in range(self.entities) if (customer + hour) % 3 or hour == first == 0]
                table = pd.DataFrame({"customer_id": seen, "at": pd.Timestamp(hours(hour))})
                for place, feature in enumerate(VIEWS[view]):
                    table[feature] = [customer * 1000.0 + hour * 10 + place for customer in seen]
                tables.append(table)
            pd.concat(tables, ignore_index=True).to_parquet(file)

    def apply(self):
        feast = import_feast()
        from feast.repo_config import RepoConfig
        from feast.types import Float64, Int64

        online = self.server.options
        self.store = feast.FeatureStore(
            config=RepoConfig(
                project=PROJECT,
                provider="local",
                registry=str(self.registry),
                online_store={
                    "type": "redis",
                    "connection_string": f"127.0.0.1:{online['port']},password={online['password']}",
                },
                offline_store={"type": "file"},
                entity_key_serialization_version=3,
            )
        )
        customer = feast.Entity(name="customer", join_keys=["customer_id"], value_type=feast.ValueType.INT64)
        definitions = [customer]
        for view in self.views:
            source = feast.FileSource(name=f"{view}_file", path=str(self.source(view)), timestamp_field="at")
            fields = [feast.Field(name=name, dtype=Float64) for name in VIEWS[view]]
            schema = [feast.Field(name="customer_id", dtype=Int64), *fields]
            ttl = timedelta(days=36500)
            definitions.append(feast.FeatureView(name=view, entities=[customer], schema=schema, source=source, ttl=ttl))
        self.store.apply(definitions)

    def materialise(self, first, last, *, views=None):
        self.store.materialize(hours(first), hours(last), feature_views=list(views or self.views))

    def materialise_incrementally(self):
        self.store.refresh_registry()
        self.store.materialize_incremental(datetime.now(UTC))

    # --- what befalls it ---

    def client(self, **more):
        return redis.Redis(**{**self.server.options, "protocol": 2, "socket_timeout": 30, **more})

    def contents(self):
        """Every key with every field; times to live too."""
        with self.client() as client:
            return {key: (client.hgetall(key), client.pexpiretime(key)) for key in client.scan_iter(count=1000)}

    def dump(self):
        with self.client() as client:
            return {key: client.dump(key) for key in client.scan_iter(count=1000)}

    def restore(self, dumped):
        """The store as it was when it was dumped."""
        with self.client() as client:
            client.flushall()
            for key, value in dumped.items():
                client.restore(key, 0, value)

    # --- what an operator types ---

    def run(self, capfd, *words, code=0):
        capfd.readouterr()
        ended = drkeeper(["--policy", str(self.policy_file), *words])
        said = capfd.readouterr()
        assert ended == code, f"exit {ended}, not {code}\n{said.out}\n{said.err}"
        return said

    def json(self, capfd, *words, code=0):
        return json.loads(self.run(capfd, *words, "-o", "json", code=code).out)

    def begin(self, *words):
        """A command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "drkeeper", "--policy", str(self.policy_file), *words],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def forget_leases(self):
        """As if those of a process that was killed had expired."""
        for region in ("near", "far"):
            for file in (self.folder / region / "leases").rglob("*.json"):
                file.unlink()
