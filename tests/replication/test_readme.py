"""Every command of the README's table on artifacts, in its order, as it stands there; only names are filled in."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.replication.buckets import contents, write_policy

import dask_cluster
from drkeeper.cli.root import run as drkeeper
from drkeeper.policy import load_policy
from drkeeper.wiring import create_vault

README = Path(__file__).parents[2] / "README.md"
SECTION = "## Model artifacts in a second region"
COMMAND = re.compile(r"`(drkeeper [^`]+)`")
ASKS = ("replicate setup", "restore", "failover run", "failback")


def section():
    return README.read_text().partition(SECTION)[2].partition("\n## ")[0]


def commands():
    rows = [line for line in section().splitlines() if line.startswith("|")]
    return [command for row in rows for command in COMMAND.findall(row)]


@pytest.fixture
def policy_file(tmp_path, source, replica, keys_given):
    file = write_policy(tmp_path, source, replica, more={"copying": {"guard_share": 0.2}})
    create_vault(load_policy(file))
    return file


def watched(argv):
    process = subprocess.Popen([sys.executable, "-m", *argv], env=dict(os.environ), stderr=subprocess.PIPE)
    for line in process.stderr:
        if b'"event": "end"' in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return 0


def test_the_policy_of_the_readme_is_one(tmp_path):
    block = section().partition("```yaml\n")[2].partition("```")[0]
    given = YAML(typ="safe").load(block)
    given["systems"]["mlflow-db"] = {"kind": "postgres", "host": "db", "user": "u", "databases": ["mlflow"]}
    policy = {"version": 1, "name": "n", **given, "vault": {"regions": {"a": {"url": "/v"}}}}
    file = tmp_path / "p.yaml"
    YAML().dump(policy, file)
    assert load_policy(file).systems["artifacts"].options.replica.region == "eu-west-1"


def test_each_command_of_the_table_works_as_it_stands(near, source, replica, policy_file, tmp_path, capsys):
    found = commands()
    assert len(found) >= 12
    for number in range(30):
        source.request("PUT", f"models/42/part-{number}", body=os.urandom(500))
    run = ["--policy", str(policy_file), "--quiet"]
    assert drkeeper([*run, "replicate", "setup", "--yes"]) == 0  # versions from the beginning
    assert drkeeper([*run, "backup"]) == 0
    before = contents(source)
    source.request("DELETE", "models/42/part-3")
    source.request("PUT", "models/42/part-4", body=b"overwritten")
    other = near.make_bucket()
    with dask_cluster.running_dask(tmp_path) as cluster:
        for command in found:
            words = shlex.split(command.replace("s3://other-bucket", f"s3://{other}"))[1:]
            words = [cluster.address if word.startswith("tcp://") else word for word in words]
            if any(command.startswith(f"drkeeper {each}") for each in ASKS):
                words.append("--yes")
            if "--watch" in words:
                assert watched(["drkeeper", "--policy", str(policy_file), *words]) == 0
                continue
            began = time.monotonic()
            code = drkeeper([*run, *words])
            told = capsys.readouterr()
            assert code == 0, (command, told.out, told.err)
            assert time.monotonic() - began < 60
            if "--only" in words:
                assert contents(source) == before
    assert contents(source) == before
