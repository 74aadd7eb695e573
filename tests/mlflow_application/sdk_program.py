"""What the real SDK does, in a process of its own: `train` and `collect`. Prints JSON."""

import json
import logging
import os
import sys

import mlflow
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)


def train():
    """Two versions that do not say the same, the second one the champion."""
    client = mlflow.MlflowClient()
    experiment_id = client.create_experiment("churn", artifact_location=os.environ["TEST_ARTIFACTS"])
    source = np.random.default_rng(7)
    features = pd.DataFrame(source.normal(size=(80, 2)), columns=["recency", "frequency"])
    runs = []
    for strength in (0.01, 10.0):
        with mlflow.start_run(experiment_id=experiment_id) as run:
            model = LogisticRegression(C=strength).fit(features, features["recency"] + features["frequency"] > 0.3)
            mlflow.log_metric("accuracy", model.score(features, features["recency"] > 0))
            mlflow.pyfunc.log_model(
                name="model",
                python_model=Chance(model),
                registered_model_name="churn",
                input_example=features.head(3),
                pip_requirements=["scikit-learn"],
            )
            runs.append(run.info.run_id)
    client.set_registered_model_alias("churn", "champion", "2")
    return {"runs": runs}


class Chance(mlflow.pyfunc.PythonModel):
    """Probabilities: floats, which two models do not share."""

    def __init__(self, model):
        self.model = model

    def predict(self, context, model_input, params=None):
        return self.model.predict_proba(model_input)[:, 1]


def collect():
    """Delete the first run and its model, and have `mlflow gc` remove what was deleted."""
    from click.testing import CliRunner
    from mlflow.cli import gc

    client = mlflow.MlflowClient()
    version = client.get_model_version("churn", "1")
    client.delete_run(version.run_id)
    client.delete_logged_model(version.source.removeprefix("models:/"))
    said = CliRunner().invoke(gc, ["--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"]], catch_exceptions=False)
    return {"exit_code": said.exit_code, "said": said.output}


if __name__ == "__main__":
    print(json.dumps({"train": train, "collect": collect}[sys.argv[1]]()))
