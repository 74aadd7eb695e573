"""A policy with MLflow on a real database, and what an operator types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from drkeeper import clock
from drkeeper.cli.root import run as drkeeper
from drkeeper.failover import current_roles
from drkeeper.failover.records import Entry
from drkeeper.failover.roles import append
from drkeeper.policy import load_policy
from drkeeper.wiring import create_vault, open_vault

SOURCE, REPLICA = "s3://models/root", "s3://models-west/root"


class Operator:
    """Of a policy whose buckets nobody asks: who is primary is written into the vault by hand.

    Attributes:
        environment: Where its secrets stand.
    """

    def __init__(self, folder, server, database, capfd, **more):
        self.folder, self.server, self.database = folder, server, database
        self.environment = {"DB_PASSWORD": server.options["password"]}
        self._capfd = capfd
        self.policy_file = folder / "drkeeper.yaml"
        self.write_policy(bucket(SOURCE, "near", replica=bucket(REPLICA, "far")), **more)
        create_vault(self.policy())

    def write_policy(self, pair, *, port=None, regions=("here",), more=None, **application):
        host, own_port, user = (self.server.options[name] for name in ("host", "port", "user"))
        postgres = {"kind": "postgres", "host": host, "port": port or own_port, "user": user}
        postgres |= {"password": "${env:DB_PASSWORD}", "databases": [self.database], "connect_timeout_seconds": 2}
        tracking = {"kind": "mlflow", "database": "mlflow-db", "artifacts": ["artifacts"], **application}
        policy = {
            "version": 1,
            "name": "ml",
            "systems": {"mlflow-db": postgres, "artifacts": {"kind": "objects", **pair}, **(more or {})},
            "applications": {"tracking": tracking},
            "vault": {"regions": {name: {"url": f"{self.folder}/vault-{name}"} for name in regions}},
        }
        self.policy_file.write_text(yaml.safe_dump(policy, sort_keys=False))

    def policy(self):
        return load_policy(self.policy_file, {**os.environ, **self.environment})

    @property
    def vault(self):
        return open_vault(self.policy())

    def switch(self, primary, system="artifacts"):
        """As a fail-over writes it down."""
        roles = current_roles(self.vault, system)
        for event in ("switched", "finished"):
            entry = {"system": system, "event": event, "primary": primary, "epoch": roles.epoch + 1, "by": "a test"}
            number = current_roles(self.vault, system).number + 1
            append(self.vault, Entry.model_validate({**entry, "number": number, "at": clock.now(), "token": 1}))

    def run(self, *words, code=0):
        """A command, in this process; what it printed."""
        self._capfd.readouterr()
        ended = drkeeper(["--policy", str(self.policy_file), *words])
        said = self._capfd.readouterr()
        assert ended == code, f"exit {ended}, not {code}\n{said.out}\n{said.err}"
        return said

    def json(self, *words, code=0):
        """What a command printed as JSON."""
        return json.loads(self.run(*words, "-o", "json", code=code).out)

    def start(self, driver):
        """A process of its own that runs a script with the policy's path."""
        return subprocess.Popen(
            [sys.executable, "-c", driver, str(self.policy_file)],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def records(self, region="here"):
        """The relocations in one region of the vault, oldest first."""
        folder = Path(self.folder) / f"vault-{region}" / "relocations"
        files = list(folder.iterdir()) if folder.exists() else []
        found = [json.loads(file.read_text())["record"] for file in files]
        return sorted(found, key=lambda record: record["at"])


def bucket(url, region, **more):
    return {"url": url, "endpoint": f"https://s3.{region}.example", **more}
