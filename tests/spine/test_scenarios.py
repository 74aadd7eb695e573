"""Each scenario is drilled on real servers: only what it takes away, from what it leaves.

Those of kinds with heavy servers are drilled where these run anyway: a deleted namespace in `test_cluster.py`, an
emptied bucket in `tests/objects_system/test_flow.py`, a corrupt registry in `tests/feast_registry/test_flow.py`.
"""

import os
import subprocess
import time
from pathlib import Path

import pyrage
import pytest
from tests.spine.conftest import Platform

from drkeeper import rehearsals
from drkeeper.policy import load_policy
from inside import inside_of_drills

MORE = """\
scenarios:
  key-lost: {identity: "${env:OTHER_IDENTITY}"}
  keyless: {like: key-lost}
drills: {lead: recovery lead, scenarios: [region-lost, everything-lost]}
recovery: {fall_back: 1}
"""


@pytest.fixture(scope="module")
def platform(servers, tmp_path_factory):
    """Two points of two servers, sealed for two people; the first database row was wrong when the second was taken."""
    usual, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    recipients = f"{usual.to_public()}, {other.to_public()}"
    platform = Platform(tmp_path_factory.mktemp("scenarios"), *servers, identity=str(usual), recipient=recipients)
    platform.write_policy(more=MORE)
    platform.environment["OTHER_IDENTITY"] = str(other)
    platform.fill(rows=2000)
    platform.run("init")
    platform.run("beat")
    platform.first = platform.json("backup")["point_id"]
    time.sleep(1)  # points are looked for by the second of their names
    with platform.connect() as shop:
        platform.wrong_since = shop.execute("SELECT now()").fetchone()[0].isoformat()
        shop.execute("UPDATE sale SET note = 'wrong'")
    platform.run("beat")
    platform.second = platform.json("backup")["point_id"]
    return platform


def drill(platform, *words, code=0):
    record = platform.json("drill", "run", *words, code=code)
    assert {check["verdict"] for check in record["clean_up"]} <= {"passed"}
    assert list((platform.folder / "sandbox").glob("*")) == []
    return record


def came_back(record):
    assert record["error"] == ""
    assert {check["verdict"] for check in record["checks"]} == {"passed"}
    return {system["name"] for system in record["systems"] if system["rto_seconds"]}


def test_everything_lost(platform):
    record = drill(platform, "--scenario", "everything-lost")
    assert came_back(record) == {"mlflow-db", "online-store"}
    assert (record["lead"], record["point"]["point_id"]) == ("recovery lead", platform.second)
    assert len(record["point"]["recipients"]) == 2


def test_a_corrupt_database_comes_back_from_before_that_moment_and_the_cache_is_left_alone(platform):
    record = drill(platform, "--scenario", "database-corrupted", "--before", platform.wrong_since)
    assert came_back(record) == {"mlflow-db"}
    assert record["point"]["point_id"] == platform.first
    assert record["disaster_at"][:19] == platform.wrong_since[:19]
    assert 0 < record["rpo_seconds"] < 60, "the mark before the second point is not in the first"
    assert any("online-store is there" in each for each in record["assumptions"])


def test_a_lost_online_store_comes_back_alone(platform):
    assert came_back(drill(platform, "--scenario", "online-store-lost")) == {"online-store"}


def test_a_lost_key_leaves_what_the_other_one_opens(platform):
    record = drill(platform, "--scenario", "key-lost")
    assert came_back(record) == {"mlflow-db", "online-store"}
    assert any("usual key is gone" in each for each in record["assumptions"])


def test_another_key_of_nobodys_opens_nothing(platform):
    own = platform.environment["OTHER_IDENTITY"]
    platform.environment["OTHER_IDENTITY"] = str(pyrage.x25519.Identity.generate())
    try:
        record = drill(platform, "--scenario", "key-lost", code=1)
    finally:
        platform.environment["OTHER_IDENTITY"] = own
    assert record["rto_seconds"] is None
    assert record["error"]


def test_without_another_key_nothing_comes_back_and_the_record_says_so(platform):
    record = drill(platform, "--scenario", "keyless", code=1)
    assert "no other identity" in record["error"]
    assert record["steps"] == []
    assert record["retest_by"]


def test_a_lost_region_is_not_read_and_the_other_is_enough(platform):
    platform.run("replicate")
    lost = platform.folder / "vault/here/frames"
    hidden = lost.rename(lost.with_name("hidden"))
    try:
        record = drill(platform, "--scenario", "region-lost")
        assert came_back(record) == {"mlflow-db", "online-store"}
        assert record["point"]["regions"] == ["there"]
    finally:
        hidden.rename(lost)
    left = platform.folder / "vault/there/frames"
    hidden = left.rename(left.with_name("hidden"))
    try:
        assert "missing" in drill(platform, "--scenario", "region-lost", code=1)["error"]
        assert came_back(drill(platform)) == {"mlflow-db", "online-store"}, "without the scenario, here is read"
    finally:
        hidden.rename(left)


# --- what goes wrong with the sandbox ---


def test_a_sandbox_that_does_not_start_leaves_a_record_and_nothing_else(platform, tmp_path, monkeypatch):
    script = tmp_path / "valkey-server"
    script.write_text(f"#!/bin/sh\necho struck >> {tmp_path}/struck\necho 'Out Of Memory allocating 8 bytes'\nexit 1\n")
    script.chmod(0o755)
    code = f"import drkeeper.sandbox.redis as redis\nredis._binary = lambda: {str(script)!r}"
    inside_of_drills(monkeypatch, tmp_path / "inside", code)
    policy = load_policy(platform.policy_file, {**os.environ, **platform.environment})
    record = rehearsals.drill(policy, scenario="everything-lost")
    assert (tmp_path / "struck").exists()
    assert "Out Of Memory allocating 8 bytes" in record.error
    failed = {step.system: step.outcome for step in record.steps}
    assert failed == {"mlflow-db": "done", "online-store": "failed"}
    assert record.clean_up
    assert {check.verdict for check in record.clean_up} == {"passed"}
    assert list((platform.folder / "sandbox").iterdir()) == []
    assert platform.json("points")[-1]["failed_proof"] is None, "it says nothing of the point"


def test_without_room_for_a_sandbox_the_record_says_so(platform):
    policy = load_policy(platform.policy_file, {**os.environ, **platform.environment})
    sandbox = policy.sandbox.model_copy(update={"folder": Path("/proc/nowhere")})
    record = rehearsals.drill(policy.model_copy(update={"sandbox": sandbox}))
    assert "no folder for the sandbox" in record.error
    assert record.rto_seconds is None


def test_a_drill_that_is_killed_takes_its_servers_along(platform):
    drilling = platform.start("drill", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up_at = time.monotonic() + 60
    while not (running := _sandbox_processes(platform)) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    drilling.kill()
    drilling.wait()
    assert running
    while _sandbox_processes(platform) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert _sandbox_processes(platform) == []


def _sandbox_processes(platform):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{platform.folder}/sandbox".encode() in words and b"_watchdog" not in words:
            found.append(entry.name)
    return found
