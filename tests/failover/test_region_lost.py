"""The source's server is killed, work goes on at the replica, the server comes back and is written to, too."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from tests.failover.listener import Program
from tests.failover.platform import Platform, delete, let_a_second_pass, put, texts
from tests.test_docs import code_blocks

import seaweed
from drkeeper.errors import Refused
from drkeeper.failover import insist_source_is_primary
from drkeeper.failover.roles import read_mark

RUNBOOK = Path(__file__).parents[2] / "runbooks/bucket-region-lost.md"


class Region:
    """A server of its own, that can be killed and comes back with its data."""

    def __init__(self, folder):
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
        self._config = folder / "s3.json"
        self._config.write_text(json.dumps(seaweed._identities(access_key, secret_key)))
        self._ports = dict(zip(seaweed.PORTS, seaweed._free_ports(len(seaweed.PORTS)), strict=True))
        self.server = seaweed.S3Server(f"http://127.0.0.1:{self._ports['s3.port']}", access_key, secret_key)
        self._process = None

    def start(self):
        program = str(Path(sys.executable).parent / "weed")
        argv = seaweed._argv(program, self._folder / "data", self._config, self._ports)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self._folder)
        seaweed._wait_until_it_answers(self.server, self._process, self._folder / "log")

    def kill(self):
        self._process.kill()
        self._process.wait()
        seaweed.remove_sockets(self._ports)


@pytest.fixture
def region(tmp_path):
    made = Region(tmp_path / "region")
    made.start()
    yield made
    made.kill()


def test_a_lost_region_costs_a_switch_and_its_return_loses_nothing(region, tmp_path, far, capfd, monkeypatch):
    platform = Platform(tmp_path, region.server, far, capfd)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    program = Program(tmp_path / "program")
    platform.write_policy(program.hook)
    put(platform.source, models__a="a1", models__b="b1", models__c="c1", models__d="d1")
    platform.replicate()
    put(platform.source, models__late="written after the last replication")
    let_a_second_pass()  # what was written in the second of a fail-over counts as written since
    region.kill()
    plan = platform.json("failover", "plan")
    assert [step["kind"] for step in plan["steps"]] == ["Tell", "Prove", "Declare", "PutMark", "Tell", "Conclude"]
    assert (plan["loss"]["basis"], plan["source"]["reachable"]) == ("newest replication", False)
    assert plan["loss"]["behind_seconds"] < 60
    outcome = platform.json("failover", "run", "--yes", "--reason", "region lost")
    assert outcome["elapsed_seconds"] < 10
    assert program.phases() == ["before", "after"]
    assert read_mark(platform.replica).role == "primary"
    seen = platform.roles().switched.sides
    assert [(seen[side].reachable, seen[side].url) for side in ("source", "replica")] == [
        (False, platform.source.url),
        (True, platform.replica.url),
    ]

    # Work goes on at the replica; nothing goes back while the source is away.
    put(platform.replica, models__a="a2", models__new="n1")
    delete(platform.replica, "models__b")
    assert "does not answer" in platform.fail_back(code=4).err
    status = platform.json("failover", "status")
    assert (status["primary"], status["source"]["state"]) == ("replica", "does not answer")

    # The region comes back and does not know yet; somebody writes to it.
    region.start()
    put(platform.source, models__c="c-source", models__a="a-source")
    with pytest.raises(Refused):
        insist_source_is_primary(platform.vault, "artifacts")
    assert platform.json("failover", "status")["source"]["state"] == "answers, not marked"
    platform.fail_over()
    assert (read_mark(platform.source).role, program.phases()) == ("standby", ["before", "after"])

    found = platform.json("failback", "--dry-run", code=4)["reconciliation"]
    assert {each["key"]: each["why"] for each in found["conflicts"]} == {
        "models/a": "written at both sides; at the source since the fail-over",
        "models/c": "written at the source since the fail-over",
    }
    assert found["kept"] == {"written at the source before the fail-over, too late to be replicated": 1}
    platform.fail_back("--prefer", "replica")
    assert texts(platform.source) == {
        "models/a": "a2",
        "models/c": "c1",
        "models/d": "d1",
        "models/late": "written after the last replication",
        "models/new": "n1",
    }
    insist_source_is_primary(platform.vault, "artifacts")
    platform.replicate()
    assert texts(platform.replica) == texts(platform.source)
    assert program.told()[-1]["message"]["to"]["url"] == platform.source.url


def test_a_replica_that_does_not_answer_is_not_made_primary(platform):
    port = seaweed._free_ports(1)[0]
    platform.policy_file.write_text(
        platform.policy_file.read_text().replace(platform.replica.endpoint, f"http://127.0.0.1:{port}")
    )
    assert f"the replica {platform.replica.url} does not answer" in platform.fail_over(code=4).err
    assert "replica.reachable" in platform.run("failover", "test", code=5).err
    assert platform.roles().number == 0


def test_the_hooks_of_the_runbook_can_stand_in_a_policy(platform, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "hunter2")
    with platform.policy_file.open("a") as file:
        file.write(code_blocks(RUNBOOK, "yaml")[0])
    assert platform.json("failover", "plan")["steps"][0]["hooks"] == ["point-consumers-to", "https://deploy.example"]


def test_the_commands_of_the_runbook_work_as_they_stand(platform):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for script, primary in zip(code_blocks(RUNBOOK, "sh"), ("replica", "source"), strict=True):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=platform.folder,
            env={**os.environ, **platform.environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert platform.roles().primary == primary
