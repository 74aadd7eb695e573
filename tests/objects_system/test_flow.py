"""The whole way, with a policy and a vault: backup, disaster, plan, restore, resume, drill, as an operator does it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.buckets.faulty import faulty
from tests.buckets.test_copying import put_parts
from tests.objects_system.restoring import Region, Regions

import warm
from drkeeper import actions, recovery
from drkeeper.buckets.listing import list_versions
from drkeeper.catalog import list_points
from drkeeper.errors import LoadFailed, Refused, UsageInvalid
from drkeeper.facts import broken
from drkeeper.plan import Choice
from drkeeper.policy import load_policy
from drkeeper.wiring import create_vault, open_vault
from test_docs import code_blocks

POLICY = """\
version: 1
name: artifacts
systems:
  artifacts:
    kind: objects
    url: {here.url}
    endpoint: {endpoint}
    access_key: {here.access_key}
    secret_key: ${{env:HERE_SECRET}}
    allow_http: true
    timeout_seconds: 10
    retries: 1
    {more}
    copying: {{with_backup: false}}
    replica:
      url: {there.url}
      endpoint: {there.endpoint}
      access_key: {there.access_key}
      secret_key: ${{env:THERE_SECRET}}
      allow_http: true
vault:
  regions:
    here: {{url: {folder}/vault}}
objectives: {{rto: 1h, rpo: 24h}}
sandbox: {{folder: {folder}/sandbox}}
"""


@dataclass
class Operator:
    """A policy of one bucket, and the command line."""

    folder: Path
    regions: Regions
    environment: dict = field(default_factory=dict)

    def write_policy(self, *, more="", endpoint=None):
        here, there = self.regions.here.options, self.regions.there.options
        self.environment = {
            "HERE_SECRET": here.secret_key.get_secret_value(), "THERE_SECRET": there.secret_key.get_secret_value(),
        }  # fmt: skip
        text = POLICY.format(here=here, there=there, folder=self.folder, more=more, endpoint=endpoint or here.endpoint)
        (self.folder / "drkeeper.yaml").write_text(text)

    @property
    def policy(self):
        return load_policy(self.folder / "drkeeper.yaml", {**os.environ, **self.environment})

    def run(self, *words, code=0):
        words = ("--policy", self.folder / "drkeeper.yaml", *words)
        done = warm.run(words, env={**os.environ, **self.environment}, timeout=120)
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def operator(tmp_path, regions):
    operator = Operator(tmp_path, regions)
    operator.write_policy()
    create_vault(operator.policy)
    regions.here.put(
        "models/42/model.pkl", b"the good model", content_type="application/x-pickle", x_amz_meta_run="42",
        x_amz_tagging="stage=production",
    )  # fmt: skip
    regions.here.put("models/42/metrics.json", b"{}")
    regions.here.put("runs/7/model.pkl", b"another")
    put_parts(regions.here.server, regions.here.bucket, "models/large", [b"a" * (5 << 20), b"b"])
    return operator


def test_a_damaged_bucket_is_refused_planned_and_restored_with_an_undo_point_first(operator, regions):
    actions.beat(operator.policy)
    actions.back_up(operator.policy)
    before = regions.here.contents()
    regions.here.delete("models/42/model.pkl")
    regions.here.put("runs/7/model.pkl", b"poisoned")
    regions.here.put("ransom-note", b"pay")
    damaged = regions.here.contents()
    assert "already holds data" in operator.run("restore", "--yes", code=4).stderr
    plan = operator.folder / "plan.json"
    diff = operator.run("plan", "--overwrite", "--diff", "--out", str(plan)).stdout.splitlines()
    assert diff[0].startswith(f"@@ {regions.here.options.url}: add 1 object (14 B); overwrite 1 object")
    assert diff[1:] == ["+ models/42/model.pkl", "~ runs/7/model.pkl", "- ransom-note"]
    assert regions.here.contents() == damaged
    said = operator.run("restore", "--plan", str(plan), "--yes")
    assert "take an undo point of artifacts" in said.stdout
    assert regions.here.contents() == before
    undo = next(point for point in list_points(open_vault(operator.policy)).points if point.purpose == "undo")
    recovery.restore(recovery.prepare(operator.policy, undo.point_id, choice=Choice(overwrite=True)))
    assert regions.here.contents() == damaged


def test_one_prefix_and_one_object_go_into_another_bucket(operator, regions):
    actions.back_up(operator.policy)
    before = regions.here.contents()
    regions.here.delete("models/42/model.pkl")
    damaged = regions.here.contents()
    other = Region.new(regions.here.server, versions=False)
    words = ("--only", "models/42/", "--only", "runs/7/model.pkl", "--into", other.options.url)
    plan = json.loads(operator.run("plan", "--system", "artifacts", *words, "-o", "json").stdout)
    assert (plan["only"], plan["into"]) == (["models/42/", "runs/7/model.pkl"], other.options.url)
    assert plan["targets"][0]["endpoint"] == f"{other.options.url} (only models/42/, runs/7/model.pkl)"
    operator.run("restore", "--system", "artifacts", *words, "--yes")
    assert other.contents() == {key: what for key, what in before.items() if key != "models/large"}
    assert regions.here.contents() == damaged
    refused = operator.run("restore", *words, "--overwrite", "--yes", code=4)
    assert "no undo point is taken of it" in refused.stderr


def test_kinds_that_are_restored_whole_say_so(operator):
    policy = operator.policy
    with pytest.raises(UsageInvalid, match="--only takes a prefix"):
        recovery.prepare(operator.policy, actions.back_up(policy).point.point_id, choice=Choice(only=("s3://a/b",)))
    text = (operator.folder / "drkeeper.yaml").read_text()
    cache = "systems:\n  cache: {kind: redis, host: nowhere}\n"
    (operator.folder / "drkeeper.yaml").write_text(text.replace("systems:\n", cache))
    several = operator.run("restore", "--only", "models/", "--yes", code=2)
    assert "--system artifacts" in several.stderr
    whole = operator.run("restore", "--system", "cache", "--into", "s3://other", "--yes", code=2)
    assert "whole and in place" in whole.stderr


def test_a_restore_that_fails_midway_is_resumed_with_its_part_and_its_place(operator, regions):
    point = actions.back_up(operator.policy).point
    other = Region.new(regions.there.server, versions=False)
    policy = operator.policy
    regions.replicate()
    regions.here.destroy()
    known = policy.systems["artifacts"].options
    assert known.replica.bucket != other.bucket.name
    with faulty(regions.here.options.endpoint) as proxy:
        operator.write_policy(endpoint=proxy.endpoint)
        stopped = proxy.rule("PUT", "/models/42/model.pkl", "error", times=99)
        prepared = recovery.prepare(operator.policy, point.point_id, choice=Choice(only=("models/",)))
        with pytest.raises(LoadFailed, match="1 objects did not come"):
            recovery.restore(prepared)
        assert stopped.hits
    operator.write_policy()
    regions.here.put("runs/elsewhere", b"not of this restore")
    outcome = recovery.resume(operator.policy)
    assert not broken(outcome.checks)
    assert regions.here.keys() == {"models/42/model.pkl", "models/42/metrics.json", "models/large", "runs/elsewhere"}
    assert regions.here.notes() == []


def test_a_restore_that_fails_midway_is_given_up_and_nothing_of_it_is_left(operator, regions):
    point = actions.back_up(operator.policy).point
    regions.replicate()
    regions.here.destroy()
    with faulty(regions.here.options.endpoint) as proxy:
        operator.write_policy(endpoint=proxy.endpoint)
        proxy.rule("PUT", "/runs/7/model.pkl", "error", times=99)
        with pytest.raises(LoadFailed):
            recovery.restore(recovery.prepare(operator.policy, point.point_id))
    operator.write_policy()
    assert regions.here.keys()
    recovery.give_up(operator.policy)
    assert regions.here.keys() == set()
    assert [one for one in list_versions(regions.here.bucket) if not one.key.startswith(".drkeeper/")] == []


def test_what_can_be_had_from_nowhere_ends_a_restore_with_exit_code_4(operator, regions):
    point = actions.back_up(operator.policy).point
    regions.here.destroy()
    with pytest.raises(Refused, match="4 objects of the point can be had from nowhere"):
        recovery.restore(recovery.prepare(operator.policy, point.point_id))
    assert regions.here.keys() == set()


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("aws", "jq", "zstd")), reason="needs the AWS CLI, jq and zstd"
)
def test_the_runbook_of_a_point_brings_a_model_back_with_stock_tools(operator, regions, tmp_path):
    regions.here.delete("models/42/metrics.json", "runs/7/model.pkl", "models/large")
    point = actions.back_up(operator.policy).point
    regions.replicate()
    regions.there.put("models/42/model.pkl", b"overwritten there, too")
    target = Region.new(regions.there.server)
    runbook = tmp_path / "vault/runbooks" / f"{point.point_id}.md"
    there = regions.there.options
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(code_blocks(runbook, "sh"))],
        env={
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "VAULT": str(tmp_path / "vault"),
            "REPLICA_URL": there.endpoint, "REPLICA_BUCKET": there.bucket,
            "TARGET_URL": there.endpoint, "TARGET_BUCKET": target.bucket.name,
            "AWS_ACCESS_KEY_ID": there.access_key, "AWS_SECRET_ACCESS_KEY": there.secret_key.get_secret_value(),
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK artifacts/inventory.jsonl" in done.stdout
    assert target.contents() == regions.here.contents()


# --- drills ---


def drill(operator, code=0):
    reports = operator.folder / "reports"
    operator.run("drill", "run", "--scenario", "bucket-emptied", "--report-dir", str(reports), code=code)
    return json.loads(max(reports.glob("*.json"), key=os.path.getmtime).read_text())


def test_a_drill_restores_from_the_replica_alone_and_measures(operator, regions):
    actions.beat(operator.policy)
    actions.back_up(operator.policy)
    regions.replicate()
    with faulty(regions.here.options.endpoint) as production, faulty(regions.there.options.endpoint) as far:
        text = (operator.folder / "drkeeper.yaml").read_text()
        for options, proxy in ((regions.here.options, production), (regions.there.options, far)):
            text = text.replace(options.endpoint, proxy.endpoint)
        (operator.folder / "drkeeper.yaml").write_text(text)
        record = drill(operator)
        assert production.seen == []
        assert {method for method, _ in far.seen} <= {"GET", "HEAD"}
    assert record["error"] == ""
    assert any("drkeeper failover test" in line for line in record["not_tested"])
    assert {check["verdict"] for check in record["checks"]} == {"passed"}
    assert {check["subject"] for check in record["checks"]} >= {
        "artifacts.objects", "artifacts.digest", "artifacts.listing", "artifacts.bytes", "artifacts.contents", "artifacts.details",
        "artifacts.sample.models/42/model.pkl",
    }  # fmt: skip
    assert record["systems"][0]["newest_beat"]["sequence"] == 1
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    assert json.loads(operator.run("points", "-o", "json").stdout)[-1]["proof"] == "restorable"
