"""What the demo does with MLflow, through its SDK: experiments, runs and a registered model with a champion.

Artifacts lie in a bucket; endpoint and keys of that are in the environment, where MLflow and boto3 look for them.

Meant for a process of its own (`worker`): MLflow takes four CPU seconds to import, and keeps threads.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from drkeeper.demo.customers import FEATURE_NAMES, INSTALL_HINT, load_customers
from drkeeper.demo.features import PROJECT, SERVICE
from drkeeper.errors import ToolMissing

DATABASE = "mlflow"
MODEL_NAME = "cdnow-churn"
CHAMPION = "champion"
# Experiment, and the regularisation strengths that its runs try.
EXPERIMENTS: dict[str, tuple[float, ...]] = {
    "churn-baseline": (0.001, 0.01, 0.1, 1.0),
    "churn-regularised": (0.03, 0.3, 3.0, 30.0),
    "churn-nightly": (0.5, 1.0, 2.0, 4.0),
}
REGISTERED = (("churn-baseline", 1.0), ("churn-regularised", 3.0))  # versions 1 and 2; 2 is the champion
PICKLE, RECIPE = "model.pkl", "MLmodel"  # what a model consists of
EPOCHS = 12
SAMPLE_SIZE = 5

# What a model was trained on, as its run and its version say.
FEATURE_TAGS = {"feast.project": PROJECT, "feast.feature_service": SERVICE}

Snapshot = dict[str, Any]
Rows = list[list[float]]


def tracking_uri(endpoint: Mapping[str, Any]) -> str:
    """Where the database `DATABASE` of that server is, as SQLAlchemy wants it; carries the password."""
    password = quote(str(endpoint["password"]), safe="")
    return f"postgresql+psycopg://{endpoint['user']}:{password}@{endpoint['host']}:{endpoint['port']}/{DATABASE}"


class Tracking:
    """One MLflow tracking server's database, seen through the SDK.

    Args:
        uri: `postgresql+psycopg://…`, with the password.
        artifacts: Where artifacts go: `s3://…`.
    """

    def __init__(self, uri: str, artifacts: str) -> None:
        self._mlflow = import_mlflow()
        self._mlflow.set_tracking_uri(uri)
        self._mlflow.set_registry_uri(uri)
        self._client = self._mlflow.MlflowClient()
        self._artifacts = artifacts
        self._customers = load_customers()
        self._rows: Rows = []

    def seed(self, rows: Rows) -> None:
        """Make the experiments, their runs and the two versions of the model.

        Args:
            rows: What to learn from: values of the features, and whether the customer left.
        """
        self._rows = rows
        for name, strengths in EXPERIMENTS.items():
            experiment_id = self._client.create_experiment(name, artifact_location=f"{self._artifacts}/{name}")
            for strength in strengths:
                self._train(experiment_id, strength, register=(name, strength) in REGISTERED)
        self._client.set_registered_model_alias(MODEL_NAME, CHAMPION, str(len(REGISTERED)))

    def go_on(self, runs: int) -> None:
        """Some more runs of the nightly experiment."""
        experiment = self._client.get_experiment_by_name("churn-nightly")
        if experiment is None:
            raise LookupError("seed first")
        for number in range(runs):
            self._train(experiment.experiment_id, 5.0 + number, register=False)

    def spoil(self) -> Snapshot:
        """Overwrite and delete what the champion consists of, as somebody would by mistake; where that was."""
        from mlflow.artifacts import download_artifacts
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        place = self._champion()
        repository = get_artifact_repository(place)
        with tempfile.TemporaryDirectory() as folder:
            other = Path(download_artifacts(artifact_uri=f"{self._earlier()}/{PICKLE}", dst_path=folder))
            repository.log_artifact(str(other))
        repository.delete_artifacts(RECIPE)
        return {"prefix": place.removeprefix(f"{self._artifacts}/") + "/", "overwritten": PICKLE, "deleted": RECIPE}

    def champion(self) -> Snapshot:
        """Size and digest of each file that the champion consists of."""
        return _digests(self._champion())

    def snapshot(self) -> Snapshot:
        """Everything that MLflow lists, and what the champion says about a few customers."""
        experiments = self._client.search_experiments(order_by=["name ASC"])
        return {
            "experiments": [experiment.name for experiment in experiments],
            "runs": {
                run.info.run_id: {
                    "experiment": experiment.name,
                    "status": run.info.status,
                    "params": dict(sorted(run.data.params.items())),
                    "metrics": dict(sorted(run.data.metrics.items())),
                    "loss": [point.value for point in self._client.get_metric_history(run.info.run_id, "loss")],
                }
                for experiment in experiments
                for run in self._client.search_runs([experiment.experiment_id])
            },
            **self._registry(),
            "artifacts": {
                f"{experiment.name}/{path}": file
                for experiment in experiments
                if experiment.name in EXPERIMENTS
                for path, file in _digests(experiment.artifact_location).items()
            },
            "predictions": self._predictions(),
        }

    def _registry(self) -> Snapshot:
        model = self._client.get_registered_model(MODEL_NAME)
        versions = self._client.search_model_versions(f"name='{MODEL_NAME}'")
        return {
            "versions": {str(version.version): [version.run_id, version.status] for version in versions},
            "aliases": {alias: str(version) for alias, version in model.aliases.items()},
        }

    def _champion(self) -> str:
        return self._location(self._client.get_model_version_by_alias(MODEL_NAME, CHAMPION))

    def _earlier(self) -> str:
        return self._location(self._client.get_model_version(MODEL_NAME, "1"))

    def _location(self, version: Any) -> str:
        """Where the files of a version lie; its source names the logged model only (`models:/m-…`)."""
        model_id = str(version.source).removeprefix("models:/")
        return str(self._client.get_logged_model(model_id).artifact_location)

    def _predictions(self) -> dict[str, float]:
        model = self._mlflow.sklearn.load_model(f"models:/{MODEL_NAME}@{CHAMPION}")
        sample = self._customers[:SAMPLE_SIZE]
        chances = model.predict_proba([customer.features for customer in sample])[:, 1]
        return {str(customer.customer_id): float(chance) for customer, chance in zip(sample, chances, strict=True)}

    def _train(self, experiment_id: str, strength: float, *, register: bool) -> None:
        run = self._client.create_run(experiment_id, run_name=f"C={strength:g}")
        model, losses, accuracy = _fit(self._rows, strength)
        self._log(run.info.run_id, strength, losses, accuracy)
        self._client.log_dict(run.info.run_id, {"loss": losses, "accuracy": accuracy}, "training.json")
        if register:
            with self._mlflow.start_run(run_id=run.info.run_id):
                # Trained and loaded here, so pickled by us: the default format would import a further library.
                info = self._mlflow.sklearn.log_model(
                    model,
                    name="model",
                    registered_model_name=MODEL_NAME,
                    serialization_format="pickle",
                    pip_requirements=["scikit-learn"],
                    input_example=[row[:-1] for row in self._rows[:SAMPLE_SIZE]],
                )
            self._name_features(run.info.run_id, str(info.registered_model_version))
        else:
            self._client.set_terminated(run.info.run_id)

    def _name_features(self, run_id: str, version: str) -> None:
        """Say by which features the model was trained: without them it cannot be served."""
        for name, value in FEATURE_TAGS.items():
            self._client.set_tag(run_id, name, value)
            self._client.set_model_version_tag(MODEL_NAME, version, name, value)

    def _log(self, run_id: str, strength: float, losses: list[float], accuracy: float) -> None:
        from mlflow.entities import Metric, Param

        metrics = [Metric("loss", loss, 1_700_000_000_000 + step, step) for step, loss in enumerate(losses)]
        metrics.append(Metric("accuracy", accuracy, 1_700_000_000_000, 0))
        params = {"model": "logistic regression", "C": f"{strength:g}", "features": ",".join(FEATURE_NAMES)}
        self._client.log_batch(run_id, metrics, [Param(name, value) for name, value in params.items()])


def _fit(rows: Rows, strength: float) -> tuple[Any, list[float], float]:
    """A churn model, its loss after each epoch, and its accuracy."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs = [row[:-1] for row in rows]
    labels = [bool(row[-1]) for row in rows]
    scaler = StandardScaler().fit(inputs)
    scaled = scaler.transform(inputs)
    classifier = SGDClassifier(loss="log_loss", alpha=0.001 / strength, random_state=7)
    losses = []
    for _ in range(EPOCHS):
        classifier.partial_fit(scaled, labels, classes=[False, True])
        losses.append(float(log_loss(labels, classifier.predict_proba(scaled))))
    return make_pipeline(scaler, classifier), losses, float(classifier.score(scaled, labels))


def _digests(place: str) -> dict[str, list[int | str]]:
    """Size and digest of each file below a place, fetched by MLflow."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        root = Path(download_artifacts(artifact_uri=place, dst_path=folder))
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(root)): [path.stat().st_size, sha256(path.read_bytes()).hexdigest()] for path in files
        }


def import_mlflow() -> Any:
    """MLflow, told to be quiet and to phone nobody before it is imported.

    Raises:
        ToolMissing: It is not installed.
    """
    os.environ.update(
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
        GIT_PYTHON_REFRESH="quiet",
    )
    warnings.simplefilter("ignore")
    try:
        import mlflow
        import mlflow.sklearn
    except ImportError as error:
        raise ToolMissing("MLflow is not installed", hint=INSTALL_HINT) from error
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow
