"""The online store is lost and comes back as old as its recovery point; the registry is as new as ever.

Everything is real: Feast's own SDK writes and reads, Valkey serves, and what was and what is are compared field for
field. Feast takes seconds to import in each process that asks it, so the tests tell one story. At its end what is wrong
and newer goes away with its keys alone; and killed in its midst, a rebuild is run again.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.rebuild.project import children
from tests.test_docs import code_blocks

from drkeeper import audit
from drkeeper import rebuild as rebuilding
from drkeeper._rebuild import kept
from drkeeper._rebuild.records import RebuildBegun, RebuildRecord, pending
from drkeeper.errors import LeaseHeld
from drkeeper.facts import broken
from drkeeper.rebuild_plan import BEGINNING
from drkeeper.wiring import open_vault

YEAR_2100 = 4102444800
RUNBOOK = Path(__file__).parents[2] / "runbooks/online-store-lost.md"


def differing(one, other):
    """Keys that are not the same in both, field for field and to their time to live."""
    return {key for key in {*one, *other} if one.get(key) != other.get(key)}


def test_what_feast_calls_incremental_leaves_a_gap_that_nobody_sees(story):
    story.project.restore(story.then)
    story.project.materialise_incrementally()
    missing = differing(story.project.contents(), story.now)
    assert len(missing) == 1000  # whoever has no row in the last hour that the registry knows of
    assert set(story.project.contents()) == set(story.now)


def test_the_commands_of_the_runbook_bring_back_every_field_of_every_key(story):
    story.project.restore(story.then)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (script,) = code_blocks(RUNBOOK, "bash")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=story.project.folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert differing(story.project.contents(), story.now) == set()
    begun, ended = kept.entries(open_vault(story.project.policy()), "features")
    assert isinstance(begun, RebuildBegun)
    assert {view.start for view in ended.views} == {view.start for view in ended.views if view.start.hour == 5}
    assert (ended.mode, ended.error, broken(ended.checks)) == ("materialise", "", [])
    link = [link for link in audit.links(open_vault(story.project.policy())) if link.command == "rebuild"][-1]
    assert (link.outcome, link.detail["rebuild"]) == ("ok", ended.rebuild_id)
    assert [check.verdict for check in ended.checks if check.subject.startswith("rebuild.")] == ["passed"] * 6


def test_its_records_are_in_every_region(story):
    names = [
        {file.name for file in (story.project.folder / region / "rebuilds/features").iterdir()}
        for region in ("near", "far")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 2


def test_a_store_that_was_captured_while_it_was_written_is_made_whole(story, capfd):
    """Its newest event times are those of T2, and most of its entities are of T1."""
    story.project.restore(story.then)
    with story.project.client() as client:
        for key in sorted(story.now)[:100]:
            client.hset(key, mapping=story.now[key][0])
    said = story.project.run(capfd, "rebuild", "run", "features", "--yes", "-o", "json")
    assert said.err.count("entities in the store are older than in its source") == 3
    record = RebuildRecord.model_validate_json(said.out)
    assert differing(story.project.contents(), story.now) == set()
    assert (record.mode, record.removed_keys, broken(record.checks)) == ("materialise", 0, [])


@pytest.fixture(scope="module")
def bad_key(story):
    """An entity with another one's values, of a time that is yet to come."""
    from google.protobuf.timestamp_pb2 import Timestamp

    story.project.restore(story.then)
    key, other = min(story.now), max(story.now)
    stamp = Timestamp(seconds=YEAR_2100).SerializeToString()
    with story.project.client() as client:
        client.hset(key, mapping=story.now[other][0] | {b"_ts:purchases": stamp})
    return key


def test_values_of_the_future_stay_where_keys_are_kept(story, bad_key):
    with rebuilding.prepare(story.project.policy(), "features", mode="materialise") as prepared:
        assert prepared.plan.starts["purchases"] == BEGINNING
        assert any("holds values newer than its source (2100-01-01" in warning for warning in prepared.plan.warnings)
        record = rebuilding.rebuild(prepared)
    assert differing(story.project.contents(), story.now) == {bad_key}
    (failure,) = broken(record.checks)
    assert (failure.subject, failure.remedy) == ("rebuild.purchases.ahead", "run it again with `--mode full`")


def test_killed_while_it_writes_it_is_run_again(story, bad_key):
    project = story.project
    others = {b"session:1": {b"user": b"7"}, bad_key.removesuffix(b"churn") + b"my_churn": {b"_ts:purchases": b""}}
    with project.client() as client:
        for key, fields in others.items():
            client.hset(key, mapping=fields)
        wrong = client.hget(bad_key, "_ts:purchases")
        running = project.begin("rebuild", "run", "features", "--mode", "full", "--yes")
        wait_until(lambda: client.hget(bad_key, "_ts:purchases") not in {None, wrong}, running)
        client.client_pause(60_000, all=False)
        (of_feast,) = children(running.pid)
        running.kill()
        running.communicate()
        assert client.dbsize() > len(others)
        assert not client.hexists(max(story.now), "_ts:scores")
        wait_until(lambda: not Path(f"/proc/{of_feast}").exists())  # it ends with who asked it
        client.client_unpause()
    left = pending(kept.entries(open_vault(project.policy()), "features"))
    assert left.full
    assert set(left.starts.values()) == {BEGINNING}

    with rebuilding.prepare(project.policy(), "features") as prepared:
        with pytest.raises(LeaseHeld):  # of who was killed
            rebuilding.rebuild(prepared)
        project.forget_leases()
        record = rebuilding.rebuild(prepared)
    assert (record.mode, record.error, broken(record.checks)) == ("full", "", [])
    assert differing(project.contents(), story.now | {key: (fields, -1) for key, fields in others.items()}) == set()
    assert pending(kept.entries(open_vault(project.policy()), "features")).ids == ()


def test_a_source_that_is_gone_and_one_that_is_damaged_cost_the_third_view_nothing(story, capfd):
    project = story.project
    project.restore(story.then)
    with project.client() as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    shutil.move(project.source("scores"), project.folder / "scores")
    project.source("visits").write_bytes(b"PAR1 but damaged")
    plan = project.json(capfd, "rebuild", "plan", "features", "--mode", "full", code=4)
    gone = f"its source {project.source('scores')} is gone"
    damaged = f"its source {project.source('visits')} could not be read"
    assert plan["refusals"] == [f"scores would be lost: {gone}", f"visits would be lost: {damaged}"]
    assert plan["warnings"][0].startswith("the store evicts keys (allkeys-lru at 1,073,741,824 bytes")

    said = project.run(capfd, "rebuild", "run", "features", "--yes", "--mode", "materialise", code=3)
    assert "some views of features could not be rebuilt: visits: " in said.err
    record = kept.entries(open_vault(project.policy()), "features")[-1]
    assert {view.view: view.outcome for view in record.views} == {
        "purchases": "done",
        "visits": "failed",
        "scores": "left",
    }
    now = project.contents()
    project.restore(story.then)
    then = project.contents()
    for key, (fields, _) in now.items():
        ours = {b"_ts:purchases": story.now, b"_ts:visits": then, b"_ts:scores": then}
        assert {name: fields[name] for name in ours} == {name: whose[key][0][name] for name, whose in ours.items()}


def wait_until(holds, process=None, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
