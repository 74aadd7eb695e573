"""What is wrong and newer goes away with its keys alone; killed in its midst, a rebuild is run again."""

import shutil
import time
from pathlib import Path

import pytest
from tests.rebuild.test_story import differing

from drkeeper import rebuild as rebuilding
from drkeeper._rebuild import kept
from drkeeper._rebuild.records import pending
from drkeeper.facts import broken
from drkeeper.rebuild_plan import BEGINNING
from drkeeper.wiring import open_vault

YEAR_2100 = 4102444800


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
    prepared = rebuilding.prepare(story.project.policy(), "features", mode="materialise")
    assert prepared.plan.starts["purchases"] == BEGINNING
    assert any("holds values newer than its source (2100-01-01" in warning for warning in prepared.plan.warnings)
    record = rebuilding.rebuild(prepared)
    assert differing(story.project.contents(), story.now) == {bad_key}
    (failure,) = broken(record.checks)
    assert (failure.subject, failure.remedy) == ("rebuild.purchases.ahead", "run it again with `--mode full`")


def test_killed_while_it_writes_it_is_run_again(story, bad_key, capfd):
    project = story.project
    others = {b"session:1": {b"user": b"7"}, bad_key.removesuffix(b"churn") + b"my_churn": {b"_ts:purchases": b""}}
    with project.client() as client:
        for key, fields in others.items():
            client.hset(key, mapping=fields)
        running = project.begin("rebuild", "run", "features", "--mode", "full", "--yes")
        wait_until(lambda: client.dbsize() == len(others), running)
        wait_until(lambda: client.dbsize() > len(others), running)
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

    project.run(capfd, "rebuild", "run", "features", "--yes", code=11)  # the lease of who was killed
    project.forget_leases()
    record = project.json(capfd, "rebuild", "run", "features", "--yes")
    assert (record["mode"], record["error"]) == ("full", "")
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


def children(process_id):
    """Of all its threads."""
    return [
        int(child) for file in Path(f"/proc/{process_id}/task").glob("*/children") for child in file.read_text().split()
    ]


def wait_until(holds, process=None, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.001)
