"""Who writes into the platform while it is backed up: run as a program, `mlflow` or `feast`.

Each imports its SDK first, which takes seconds, and then finds what it should do as JSON on stdin.

`mlflow` writes as MLflow's SDK does, which is what it is: a run, a logged model that is pending, its files in the
bucket, the same model READY, a version of a registered model, an alias. Each version is tagged with a feature view that
is there already. `feast` applies one more view, and materialises it, under drkeeper's lock.

Each write is a line of a journal, when it is over, and so is each wait for the lock. Ends with SIGTERM, after the
write that is under way.
"""

import json
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drkeeper.demo.features import import_feast
from drkeeper.demo.tracking import import_mlflow

PROJECT = "churn"
MODELS = ("churn", "basket", "visits")
SERVICE = "churn_service"
COMPUTED_AT = datetime(2026, 3, 1, tzinfo=UTC)
EXPERIMENT = "under-load"


class Journal:
    """What was written, and when; other processes read the file meanwhile."""

    def __init__(self, file):
        self._file = file

    def write(self, what, name, began, ended=None):
        line = {"what": what, "name": name, "began": began, "ended": ended or time.time()}
        self._file.write(json.dumps(line) + "\n")


class Tiny:
    """A flavour for `Model.log`: a model of no library, which is saved at once."""

    __name__ = "tiny"

    @staticmethod
    def save_model(path, mlflow_model, **_):
        folder = Path(path)
        folder.mkdir()
        (folder / "weights.bin").write_bytes(os.urandom(200))
        mlflow_model.add_flavor("python_function", loader_module="tiny", data="weights.bin", env={})
        mlflow_model.save(str(folder / "MLmodel"))


def write_mlflow(mlflow, request, journal, ended):
    """Models, one after the other, but no more than so many a second: others want the processor, too."""
    mlflow.set_tracking_uri(request["store"])
    mlflow.set_registry_uri(request["store"])
    client = mlflow.MlflowClient()
    experiment = client.create_experiment(EXPERIMENT, artifact_location=f"{request['artifacts']}/1")
    mlflow.set_experiment(experiment_id=experiment)
    while not ended():
        began = time.time()
        view = _newest_view(request["views"])
        tags = {"feast.project": PROJECT, "feast.feature_service": SERVICE, "feast.feature_refs": f"{view}:spent"}
        version = _log_model(mlflow, client, experiment, tags if view else {})
        journal.write("version", version, began)
        time.sleep(max(0.0, request["every_seconds"] - (time.time() - began)))


def _log_model(mlflow, client, experiment, tags):
    run = client.create_run(experiment, tags=tags)
    client.log_metric(run.info.run_id, "loss", 0.5)
    name = MODELS[time.time_ns() % len(MODELS)]
    info = mlflow.models.Model.log(
        artifact_path=None,
        name="model",
        flavor=Tiny,
        registered_model_name=name,
        run_id=run.info.run_id,
        tags=tags,
    )
    client.set_registered_model_alias(name, "champion", info.registered_model_version)
    client.set_terminated(run.info.run_id)
    return f"{name}/{info.registered_model_version}"


def _newest_view(file):
    try:
        return Path(file).read_text()
    except FileNotFoundError:
        return ""


def write_feast(feast, request, journal, ended):
    """One view after the other, applied and materialised, each under the lock of the registry; then all again."""
    from feast.repo_config import RepoConfig

    folder = Path(request["folder"])
    store = feast.FeatureStore(config=RepoConfig(**request["repository"]))
    _write_source(folder, request["customers"])
    locked = _lock_of(request)
    turn = 0
    while not ended():
        turn, number = turn + 1, turn % request["most_views"] + 1
        began = time.time()
        with locked():
            taken = time.time()
            _apply_and_materialise(feast, store, folder, number)
        journal.write("lock", f"view_{number}", began, taken)
        journal.write("view", f"view_{number}", taken)
        _say(request["views"], f"view_{number}")
        time.sleep(request["every_seconds"])


def _lock_of(request):
    """As `drkeeper lock` holds it."""
    from drkeeper.locks import hold_lock
    from drkeeper.policy import load_policy
    from drkeeper.wiring import open_vault

    policy = load_policy(Path(request["policy"]), os.environ)
    vault, ttl_seconds = open_vault(policy), policy.vault.lease.total_seconds()
    return lambda: hold_lock(vault, request["lock"], ttl_seconds=ttl_seconds, wait_seconds=60)


def _write_source(folder, customers):
    import pandas as pd

    table = pd.DataFrame({"customer_id": range(customers), "spent": [float(number) for number in range(customers)]})
    table["computed_at"] = pd.Timestamp(COMPUTED_AT)
    table.to_parquet(folder / "customers.parquet")


def _apply_and_materialise(feast, store, folder, number):
    from feast.types import Float64, Int64

    customer = feast.Entity(name="customer", join_keys=["customer_id"], value_type=feast.ValueType.INT64)
    source = feast.FileSource(
        name=f"source_{number}", path=str(folder / "customers.parquet"), timestamp_field="computed_at"
    )
    view = feast.FeatureView(
        name=f"view_{number}",
        entities=[customer],
        schema=[feast.Field(name="customer_id", dtype=Int64), feast.Field(name="spent", dtype=Float64)],
        source=source,
        ttl=timedelta(days=36500),
        online=True,
    )
    store.apply([customer, source, view, feast.FeatureService(name=SERVICE, features=[view])])
    store.materialize(COMPUTED_AT - timedelta(hours=1), COMPUTED_AT + timedelta(hours=1), feature_views=[view.name])


def _say(file, name):
    """In one step: the other writer reads it at any time."""
    new = Path(file).with_suffix(".new")
    new.write_text(name)
    new.rename(file)


def main(name):
    imported, write = {"mlflow": (import_mlflow, write_mlflow), "feast": (import_feast, write_feast)}[name]
    sdk = imported()
    request = json.load(sys.stdin)
    os.environ.update(request["environment"])
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    with Path(request["journal"]).open("a", buffering=1) as file:
        write(sdk, request, Journal(file), lambda: bool(stopped))


if __name__ == "__main__":
    main(sys.argv[1])
