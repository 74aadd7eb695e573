"""A bucket, its replica and a vault, and what an operator types."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.buckets.regions import bucket_at
from tests.replication.buckets import contents, secrets_of, versioned, write_policy

from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.cli.root import run as drkeeper
from drkeeper.failover import current_roles
from drkeeper.policy import load_policy
from drkeeper.wiring import create_vault, open_vault


class Platform:
    """Attributes:
    folder: Of policy and vault.
    source: The bucket; its server may be one that a test kills.
    """

    def __init__(self, folder, near, far, capfd, *, are_versioned=True):
        self.folder = folder
        self.near, self.far = near, far
        self.source, self.replica = bucket_at(near), bucket_at(far)
        if are_versioned:
            versioned(near, self.source), versioned(far, self.replica)
        self._capfd = capfd
        self.environment = secrets_of(self.source, self.replica)
        self.write_policy()
        create_vault(self.policy())

    def write_policy(self, *hooks, lease="2m", guard_objects=100, requests=32, **sections):
        sections |= {"failover": {"hooks": hooks}} if hooks else {}
        copying = {"guard_share": 0.2, "guard_objects": guard_objects, "requests": requests}
        more = {"timeout_seconds": 10, "copying": copying}
        self.policy_file = write_policy(
            self.folder, self.source, self.replica, more=more, vault={"lease": lease}, **sections
        )

    def policy(self):
        return load_policy(self.policy_file, {**os.environ, **self.environment})

    @property
    def vault(self):
        return open_vault(self.policy())

    def roles(self):
        return current_roles(self.vault, "artifacts")

    def run(self, *words, code=0):
        """A command, in this process; what it printed."""
        self._capfd.readouterr()
        ended = drkeeper(["--policy", str(self.policy_file), *words])
        said = self._capfd.readouterr()
        assert ended == code, f"exit {ended}, not {code}\n{said.out}\n{said.err}"
        return said

    def json(self, *words, code=0):
        """The first of the things that a command printed as JSON."""
        return json.loads(self.run(*words, "-o", "json", code=code).out)[0]

    def start(self, *words):
        """A command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "drkeeper", "--policy", str(self.policy_file), *words],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def replicate(self):
        return self.run("replicate", "--system", "artifacts")

    def fail_over(self, *words, code=0):
        return self.run("failover", "run", "--yes", *words, code=code)

    def fail_back(self, *words, code=0):
        return self.run("failback", "--yes", *words, code=code)

    def forget_leases(self):
        """As if those of a process that was killed had expired."""
        for file in (self.folder / "vault/leases").rglob("*.json"):
            file.unlink()


def put(bucket, **bodies):
    """Write objects; their keys with `__` for `/`."""
    for name, body in bodies.items():
        bucket.request("PUT", key_of(name), headers={"content-type": "text/plain"}, body=body.encode())


def delete(bucket, *names):
    for name in names:
        bucket.request("DELETE", key_of(name))


def key_of(name):
    return name.replace("__", "/")


def texts(bucket):
    """Key and text of each object that is protected."""
    return {key: bucket.request("GET", key).body.decode() for key in contents(bucket)}


def everything(bucket):
    """Every version of every key, ours too."""
    return sorted((each.key, each.version_id, each.is_marker, each.etag) for each in list_versions(bucket)) or sorted(
        (one.key, one.etag, one.modified_at) for one in list_objects(bucket)
    )


def files(folder: Path):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def let_a_second_pass():
    """Endpoints tell time in whole seconds: what comes now is later than what came before."""
    time.sleep(1.1)
