"""MLflow's own SDK in one process that is told what to do: log a model, load one. Answers are JSON, a line each."""

import json
import os
import subprocess
import sys

CHILD = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import boto3
import mlflow
from mlflow.tracking import MlflowClient


class Plus(mlflow.pyfunc.PythonModel):
    def __init__(self, number):
        self.number = number

    def predict(self, context, model_input: list[float]) -> list[float]:
        return [each + self.number for each in model_input]


def log(number, location):
    client = MlflowClient()
    experiment = client.get_experiment_by_name("churn")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("churn", location)
    with mlflow.start_run(experiment_id=experiment_id) as run:
        logged = mlflow.pyfunc.log_model(name="model", python_model=Plus(number), pip_requirements=[])
        version = mlflow.register_model(logged.model_uri, "churn")
        client.set_registered_model_alias("churn", "champion", version.version)
        return {"run": run.info.artifact_uri, "version": version.version}


def load(version):
    return mlflow.pyfunc.load_model(f"models:/churn/{version}").predict([1.0, 2.0])


for line in sys.stdin:
    task, endpoint, key, secret, *given = json.loads(line)
    os.environ.update(MLFLOW_S3_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
    boto3.DEFAULT_SESSION = None  # it keeps the first keys that it finds
    try:
        answer = {"is": globals()[task](*given)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
"""


class Sdk:
    """At a database, with the endpoint that each call names."""

    def __init__(self, uri, folder):
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        self._log = (folder / "sdk.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, task, server, *given):
        """What came of it."""
        answer = self.try_to(task, server, *given)
        assert "error" not in answer, answer["error"]
        return answer["is"]

    def try_to(self, task, server, *given):
        """The same as `{"is": …}`, or `{"error": …}` where it failed."""
        request = [task, server.endpoint, server.access_key, server.secret_key, *given]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, (self._log.seek(0), self._log.read())[1]
        return json.loads(answer)

    def close(self):
        with self._process:
            self._process.kill()
        self._log.close()
