"""A small ML platform on real servers, who writes into it, and a place to restore its points to."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
import yaml
from tests.consistency.writers import PROJECT
from tests.consistency.writing import started_writers

from drkeeper.applications import Restored
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import BucketOptions
from drkeeper.demo.features import connection_string
from drkeeper.demo.tracking import tracking_uri
from drkeeper.facts import compare
from drkeeper.policy import load_policy
from drkeeper.progress import Silent
from drkeeper.restore import VaultStreams
from drkeeper.sandbox import start_sandbox
from drkeeper.systems import load_kind
from drkeeper.wiring import create_vault, open_applications, open_systems, open_vault
from drkeeper.witnesses import witness_of

DATABASE, ARTIFACTS, REGISTRY, ONLINE = "mlflow-db", "artifacts", "feast-registry", "feature-store"
LIVE = {DATABASE: "postgres", ARTIFACTS: "objects", ONLINE: "redis"}
SPARE = {DATABASE: "postgres", REGISTRY: "feast_registry", ONLINE: "redis"}
SECRETS = {"password": "PASSWORD", "secret_key": "SECRET_KEY"}
MODELS_EVERY_SECONDS, VIEWS_EVERY_SECONDS = 0.15, 0.5
LONGEST_LOCK_MILLISECONDS = 20
VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


class Platform:
    """Attributes:
    folder: Of everything.
    live: Servers by system; the registry is a file.
    spare: Servers to restore to. The bucket has none: its keys are those of a point's inventory.
    writers: Processes that wait to be told what to write.
    """

    def __init__(self, folder, live, spare, writers, amounts):
        self.folder, self.live, self.spare, self.writers, self.amounts = folder, live, spare, writers, amounts
        self.folder.joinpath("feast").mkdir()
        self.environment = {}
        self._write_policy()
        with self._connect() as admin:
            admin.execute("CREATE DATABASE mlflow")
            for setting in ("log_lock_waits = on", f"deadlock_timeout = {LONGEST_LOCK_MILLISECONDS}"):
                admin.execute(f"ALTER SYSTEM SET {setting}")
            admin.execute("SELECT pg_reload_conf()")
        self.bucket.request("PUT", query={"versioning": ""}, body=VERSIONED)
        create_vault(self.policy)
        self.vault = open_vault(self.policy)

    # --- what it is ---

    @property
    def policy(self):
        return load_policy(self.policy_file, {**os.environ, **self.environment})

    @property
    def policy_file(self):
        return self.folder / "drkeeper.yaml"

    @property
    def bucket(self):
        options = self.live[ARTIFACTS].options
        named = {name: value for name, value in options.items() if name in BucketOptions.model_fields}
        return Bucket(BucketOptions.model_validate(named))

    def _write_policy(self):
        systems = {name: {"kind": kind, **self._options(name)} for name, kind in LIVE.items()}
        systems[DATABASE]["databases"] = ["mlflow"]
        systems[REGISTRY] = {"kind": "feast_registry", "url": str(self.folder / "feast/registry.db")}
        for name in (DATABASE, ONLINE):
            systems[name]["scratch"] = str(self.folder)
        tracking = {
            "kind": "mlflow",
            "database": DATABASE,
            "artifacts": [ARTIFACTS],
            "registry": REGISTRY,
            "recipes": 3,
        }
        features = {"kind": "feast", "project": PROJECT, "registry": REGISTRY, "online": ONLINE, "skew": False}
        policy = {
            "version": 1,
            "name": "under-load",
            "systems": systems,
            "applications": {"tracking": tracking, "features": features},
            "vault": {"regions": {"here": {"url": f"{self.folder}/vault"}}, "lease": "10s"},
            "sandbox": {"folder": f"{self.folder}/sandbox"},
        }
        self.policy_file.write_text(yaml.safe_dump(policy, sort_keys=False))

    def _options(self, name):
        """Of a live server, as a policy has them: secrets are in the environment."""
        options = {key: value for key, value in self.live[name].options.items() if key != "throw_away"}
        for key, word in SECRETS.items():
            if key in options:
                variable = f"{name.upper().replace('-', '_')}_{word}"
                self.environment[variable] = str(options[key])
                options[key] = f"${{env:{variable}}}"
        return options

    def _connect(self, database="postgres"):
        options = self.live[DATABASE].options
        return psycopg.connect(
            host=options["host"],
            port=options["port"],
            user="postgres",
            password=options["password"],
            dbname=database,
            autocommit=True,
        )

    # --- who writes into it ---

    def written_to(self):
        """Both write until the end of the block, as fast as they may."""
        shared = {"views": f"{self.folder}/newest-view", "environment": {**self.environment, **self._for_boto3()}}
        requests = {"mlflow": self._request_of_mlflow(), "feast": self._request_of_feast()}
        return self.writers.at_work({name: {**shared, **request} for name, request in requests.items()})

    def _request_of_mlflow(self):
        store = tracking_uri(self.live[DATABASE].options)
        artifacts = f"{self.live[ARTIFACTS].options['url']}/root"
        return {"store": store, "artifacts": artifacts, "every_seconds": MODELS_EVERY_SECONDS}

    def _request_of_feast(self):
        repository = {
            "project": PROJECT,
            "provider": "local",
            "registry": f"{self.folder}/feast/registry.db",
            "online_store": {"type": "redis", "connection_string": connection_string(self.live[ONLINE].options)},
            "offline_store": {"type": "file"},
            "entity_key_serialization_version": 3,
        }
        place = {"folder": f"{self.folder}/feast", "policy": str(self.policy_file), "lock": REGISTRY}
        return {**place, **self.amounts, "every_seconds": VIEWS_EVERY_SECONDS, "repository": repository}

    def _for_boto3(self):
        bucket = open_systems(self.policy)[ARTIFACTS]
        return {name: secret.get_secret_value() for name, secret in bucket.sdk_environment().items()}

    def lock_waits(self):
        """Statements that waited longer than a moment for a lock in the database, as its server's log has them."""
        log = self.live[DATABASE].folder.joinpath("server.log").read_text(errors="replace")
        return [line for line in log.splitlines() if "still waiting for" in line]

    @contextmanager
    def locked_out(self):
        """What no backup may do: versions cannot be registered in the block."""
        with self._connect("mlflow") as connection, connection.transaction():
            connection.execute("LOCK TABLE model_versions IN SHARE MODE")
            yield

    # --- what a point of it is worth ---

    def load(self, point, names=tuple(SPARE)):
        """The point's systems beside what is live on the spare servers."""
        for name in names:
            record = point.system(name)
            self._spare_system(name).load(record, self._streams(record), staging_of(point))

    def switch(self, point, names=tuple(SPARE)):
        """What was loaded is live; all facts are compared."""
        restored = {name: self._spare_system(name) for name in names}
        for name, system in restored.items():
            record = point.system(name)
            system.switch(record, staging_of(point))
            compared = compare(record.facts, system.facts(record.facts))
            assert [check for check in compared if check.verdict == "failed"] == [], f"{name} of {point.point_id}"
        return restored

    def restore(self, point, names=tuple(SPARE)):
        """Both; the systems."""
        self.load(point, names)
        return self.switch(point, names)

    def checks(self, point, restored):
        """What the applications say of restored systems; objects are those of the point's inventory."""
        systems = {**restored, ARTIFACTS: open_systems(self.policy)[ARTIFACTS]}
        streams = {name: self._streams(point.system(name)) for name in systems}
        return [
            check.model_copy(update={"subject": f"{name}.{check.subject}"})
            for name, application in open_applications(self.policy).items()
            for check in application.check(Restored(systems, streams, witness_of(self.vault, point, name)))
        ]

    def _streams(self, record):
        return VaultStreams(self.vault, record, Silent(), threading.Event())

    def _spare_system(self, name):
        kind = load_kind(SPARE[name])
        more = {DATABASE: {"databases": ["mlflow"], "scratch": self.folder}, ONLINE: {"scratch": self.folder}}
        return kind.open_system(name, kind.options.model_validate({**self.spare[name].options, **more.get(name, {})}))


def staging_of(point):
    return f"dr{point.point_id[:4]}"


@contextmanager
def running_platform(folder, customers=50, most_views=1000):
    """All servers, started side by side while the writers import their SDKs, and ended.

    Args:
        folder: Of their files; made before.
        customers: Entities of each feature view.
        most_views: So many are applied; then they are materialised again.
    """
    folder.chmod(0o711)  # PostgreSQL runs as another user where we are root
    with started_writers(folder) as writers, ExitStack() as stack, ThreadPoolExecutor() as pool:
        live, spare = (
            {name: pool.submit(start_sandbox, kind, folder / side / name) for name, kind in kinds.items()}
            for side, kinds in (("live", LIVE), ("spare", SPARE))
        )
        for started in (*live.values(), *spare.values()):
            stack.callback(_end, started)
        servers = ({name: started.result() for name, started in side.items()} for side in (live, spare))
        yield Platform(folder, *servers, writers, {"customers": customers, "most_views": most_views})


def _end(started):
    if started.exception() is None:
        started.result().kill()
