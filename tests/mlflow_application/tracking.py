"""A small MLflow whose rows and objects are written by hand, in a database of MLflow's own schema and a real bucket."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field

import psycopg
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drkeeper.applications import Restored
from drkeeper.applications.mlflow import Options, open_application
from drkeeper.facts import findings
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.systems import postgres
from drkeeper.systems.objects import ObjectsSystem
from drkeeper.systems.objects import Options as ObjectsOptions

EMPTY = "mlflow_empty"
WEBHOOK_KEY = Fernet.generate_key().decode()
PASSPHRASE = "a passphrase of tests"
SCHEMA_PROGRAM = """
import logging, os, sqlalchemy
from mlflow.store.db.utils import _initialize_tables
logging.disable(logging.CRITICAL)
_initialize_tables(sqlalchemy.create_engine(os.environ["TEST_URI"]))
"""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PATH": os.environ["PATH"]}
MLMODEL = """\
artifact_path: {location}
flavors:
  python_function:
    env: {{conda: conda.yaml, virtualenv: python_env.yaml}}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.7
  sklearn: {{code: null, pickled_model: model.pkl, serialization_format: pickle, sklearn_version: 1.9.0}}
mlflow_version: 3.17.2
model_id: {model_id}
model_size_bytes: 5
model_uuid: {model_id}
utc_time_created: '2026-01-01 00:00:00.000000'
"""


def connected(server, database):
    given = {name: server.options[name] for name in ("host", "port", "user", "password")}
    return psycopg.connect(**given, dbname=database, autocommit=True)


def uri(server, database):
    given = server.options
    return f"postgresql+psycopg://{given['user']}:{given['password']}@{given['host']}:{given['port']}/{database}"


def make_schema(server):
    """By the real MLflow, once: other databases are copies."""
    with connected(server, "postgres") as connection:
        connection.execute(f"CREATE DATABASE {EMPTY}")
    argv = [sys.executable, "-W", "ignore", "-c", SCHEMA_PROGRAM]
    subprocess.run(argv, env={**QUIET, "TEST_URI": uri(server, EMPTY)}, check=True)


@dataclass
class Platform:
    """One database and one part of a bucket; ids are short, and say what they are of."""

    server: object
    bucket: object
    template: str = EMPTY
    database: str = ""
    options: dict = field(default_factory=dict)
    others: dict = field(default_factory=dict)
    _session: object = None

    def __post_init__(self):
        self.database = f"mlflow_{secrets.token_hex(4)}"
        with connected(self.server, "postgres") as connection:
            connection.execute(f"CREATE DATABASE {self.database} TEMPLATE {self.template} STRATEGY file_copy")

    def copy(self):
        """With a database of its own, and the same objects, which are not to be changed."""
        self.close()
        return Platform(self.server, self.bucket, template=self.database, options=dict(self.options))

    def close(self):
        """A database that somebody is connected to cannot be copied."""
        if self._session is not None:
            self._session.close()
            self._session = None

    # --- what is written ---------------------------------------------------------------------------

    def sql(self, query, *values):
        if self._session is None:
            self._session = connected(self.server, self.database)
        cursor = self._session.execute(query, values or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount

    def put(self, key, body=b"bytes"):
        self.bucket.request("PUT", key, body=body.encode() if isinstance(body, str) else body)

    def delete(self, *keys):
        for key in keys:
            self.bucket.request("DELETE", key)

    def url(self, key):
        return f"{self.bucket.url}/{key}"

    def experiment(self, number=1, location=None):
        where = location if location is not None else self.url(f"root/{number}")
        values = (number, f"experiment-{number}", where)
        self.sql("INSERT INTO experiments VALUES (%s, %s, %s, 'active', 1, 1)", *values)
        self.sql("SELECT setval('experiments_experiment_id_seq', %s)", number)

    def run(self, name, experiment=1, *, files=("training.json",)):
        run_id = run_id_of(name)
        where = f"root/{experiment}/{run_id}/artifacts"
        self.sql(
            "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (%s, %s, 'FINISHED', 'active', %s, %s)",
            run_id,
            name,
            self.url(where),
            experiment,
        )
        for table in ("metrics", "latest_metrics"):
            self.sql(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid) VALUES"
                " ('loss', 0.1, 5, 1, false, %s), ('odd', 0, 5, 1, true, %s)",
                run_id,
                run_id,
            )
        for file in files:
            self.put(f"{where}/{file}")
        return run_id

    def model(self, name, run="first", *, experiment=1, files=("model.pkl", "conda.yaml", "python_env.yaml")):
        model_id = f"m-{run_id_of(name)}"
        where = f"root/{experiment}/models/{model_id}/artifacts"
        self.sql(
            "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,"
            " last_updated_timestamp_ms, status, lifecycle_stage, source_run_id) VALUES"
            " (%s, %s, %s, %s, 1, 1, 2, 'active', %s)",
            model_id,
            experiment,
            name,
            self.url(where),
            run_id_of(run),
        )
        self.sql(
            "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)"
            " VALUES (%s, 'RUN_OUTPUT', %s, 'MODEL_OUTPUT', %s, 0)",
            secrets.token_hex(16),
            run_id_of(run),
            model_id,
        )
        self.put(f"{where}/MLmodel", MLMODEL.format(location=self.url(where), model_id=model_id))
        for file in files:
            self.put(f"{where}/{file}")
        return model_id

    def version(self, number, model=None, *, name="churn", run="first", source=None, status="READY"):
        """Of a logged model by its name, or, as before MLflow 3, of a place."""
        self.sql("INSERT INTO registered_models (name, workspace) VALUES (%s, 'default') ON CONFLICT DO NOTHING", name)
        location = source or self.folder(model)
        self.sql(
            "INSERT INTO model_versions (name, version, creation_time, current_stage, source, run_id, status,"
            " storage_location) VALUES (%s, %s, %s, 'None', %s, %s, %s, %s)",
            name,
            number,
            number,
            source or f"models:/m-{run_id_of(model)}",
            run_id_of(run) if run else None,
            status,
            location,
        )

    def folder(self, model):
        """Where a logged model's files are, by the database."""
        query = "SELECT artifact_location FROM logged_models WHERE model_id = %s"
        return self.sql(query, f"m-{run_id_of(model)}")[0][0]

    def key(self, model, file):
        return f"{self.folder(model).removeprefix(self.bucket.url + '/')}/{file}"

    def alias(self, number, alias="champion", name="churn"):
        self.sql("INSERT INTO registered_model_aliases (name, alias, version) VALUES (%s, %s, %s)", name, alias, number)

    def webhook(self, name="deploys", key=WEBHOOK_KEY):
        secret = Fernet(key).encrypt(b"hmac").decode()
        values = (name, name, "https://example.org", secret)
        self.sql(
            "INSERT INTO webhooks (webhook_id, name, url, status, secret) VALUES (%s, %s, %s, 'ACTIVE', %s)", *values
        )

    def secret(self, name="api", passphrase=PASSPHRASE, version=1):
        """As mlflow.utils.crypto does."""
        salt = b"mlflow-secrets-kek-v1-2025" + version.to_bytes(4, "big")
        kek = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, 600_000, 32)
        inner = AESGCM.generate_key(256)
        value, wrapped = _sealed(inner, b'"k"', f"s-{name}|{name}".encode()), _sealed(kek, inner, None)
        self.sql(
            "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value,"
            " created_at, last_updated_at) VALUES (%s, %s, %s, %s, %s, '***', 1, 1)",
            f"s-{name}",
            name,
            value,
            wrapped,
            version,
        )

    def trace(self, name, *, location=None, **tags):
        self.sql(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES (%s, 1, 1, 'OK')", name
        )
        tags["mlflow.artifactLocation"] = location or self.url(f"root/1/traces/{name}/artifacts")
        for key, value in tags.items():
            self.sql("INSERT INTO trace_tags VALUES (%s, %s, %s)", key, value, name)

    # --- what is asked ------------------------------------------------------------------------------

    @property
    def systems(self):
        given = {**self.server.options, "databases": [self.database]}
        artifacts = ObjectsOptions(**self.bucket.options.model_dump())
        return {
            "mlflow-db": postgres.open_system("mlflow-db", postgres.Options.model_validate(given)),
            "artifacts": ObjectsSystem("artifacts", artifacts),
            **self.others,
        }

    def application(self, **more):
        given = {"database": "mlflow-db", "artifacts": ["artifacts"], **self.options, **more}
        return open_application("tracking", Options.model_validate(given))

    def witness(self, **more):
        """As of a frozen view of the database."""
        systems = self.systems
        with systems["mlflow-db"].freeze() as view:
            return self.application(**more).witness({"mlflow-db": view, **self.others}, systems)

    def record(self, **more):
        witnessed = self.witness(**more)
        return ApplicationRecord(
            name="tracking",
            kind="mlflow",
            systems=("mlflow-db", "artifacts"),
            facts=witnessed.facts,
            samples=json.loads(json.dumps(dict(witnessed.samples))),
            findings=witnessed.findings,
        )

    def check(self, *, record=None, streams=None, elsewhere=None, systems=None, **more):
        restored = Restored(systems or self.systems, streams or {}, record, elsewhere or {})
        return list(self.application(**more).check(restored))

    def findings(self, **how):
        return findings(self.check(**how))


def run_id_of(name):
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def clean(server, bucket):
    """One of everything, and nothing wrong with it."""
    platform = Platform(server, bucket, options={"webhook_key": WEBHOOK_KEY, "kek_passphrase": PASSPHRASE})
    platform.experiment()
    platform.run("first")
    platform.run("bare", files=())
    platform.model("first")
    platform.model("second")
    platform.version(1, "first")
    platform.version(2, "second")
    platform.alias(2)
    platform.put(f"root/1/{run_id_of('first')}/artifacts/old/MLmodel", MLMODEL.format(location="old", model_id=""))
    platform.put(f"root/1/{run_id_of('first')}/artifacts/old/model.pkl")
    platform.version(1, name="older", source=platform.url(f"root/1/{run_id_of('first')}/artifacts/old"))
    platform.webhook()
    platform.secret()
    platform.trace("tr-bucket", **{"mlflow.trace.spansLocation": "ARTIFACT_REPO"})
    platform.put("root/1/traces/tr-bucket/artifacts/traces.json")
    platform.trace("tr-database", **{"mlflow.trace.spansLocation": "TRACKING_STORE"})
    _add_prompt(platform)
    _add_external(platform)
    return platform


def _add_prompt(platform):
    platform.version(1, name="greeting", source="prompt-template", run=None)
    platform.sql(
        "INSERT INTO registered_model_tags (key, value, name) VALUES ('mlflow.prompt.is_prompt', 'true', 'greeting')"
    )


def _add_external(platform):
    model_id = platform.model("agent", files=())
    platform.sql(
        "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)"
        " VALUES (%s, 1, 'mlflow.model.isExternal', 'true')",
        model_id,
    )


def _sealed(key, text, bound):
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, text, bound)
