"""A restore that is killed with -9, in its load or in its switch, and called again; and one that is given up."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.buckets.faulty import faulty
from tests.buckets.test_copying import put_parts
from tests.objects_system.restoring import STAGING, capture, checks_of, restore

from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.listing import list_objects, list_uploads, list_versions
from drkeeper.facts import broken

OBJECTS = 60
PROGRAM = """
import json, sys
from tests.objects_system.restoring import Captured
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems.objects import ObjectsSystem, Options
given = json.load(sys.stdin)
point = Captured(SystemRecord.model_validate_json(given["record"]), {name: body.encode() for name, body in given["bodies"].items()})
system = ObjectsSystem("artifacts", Options(**given["options"]))
for step in given["steps"]:
    if step == "load":
        system.load(point.record, point, given["staging"])
    else:
        system.switch(point.record, given["staging"])
"""
ROOT = Path(__file__).parents[2]


def run_in_process(regions, point, proxy, *steps):
    """A process of its own that restores through the proxy."""
    options = regions.system(endpoint=proxy.endpoint)._options
    given = {
        "record": point.record.model_dump_json(),
        "bodies": {name: body.decode() for name, body in point.bodies.items()},
        "options": {**json.loads(options.model_dump_json()), **_secrets(options)},
        "steps": steps,
        "staging": STAGING,
    }
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}, text=True
    )
    process.stdin.write(json.dumps(given))
    process.stdin.close()
    return process


def _secrets(options):
    replica = options.replica
    return {
        "secret_key": options.secret_key.get_secret_value(),
        "replica": {
            **json.loads(replica.model_dump_json()), "secret_key": replica.secret_key.get_secret_value(),
        },
    }  # fmt: skip


def killed(regions, point, method, after, *steps):
    """Kill the process once so many changes of objects have gone through."""
    with faulty(regions.here.options.endpoint) as proxy:
        process = run_in_process(regions, point, proxy, *steps)
        give_up_at = time.monotonic() + 60
        while proxy.count(method, "/models/") < after:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < give_up_at
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return process.returncode


@pytest.fixture
def point(regions):
    for number in range(OBJECTS):
        regions.here.put(f"models/{number:02}", b"x" * (50_000 + number), x_amz_meta_run=str(number))
    taken = capture(regions.system())
    regions.replicate()
    return taken


def test_killed_in_load_and_called_again_nothing_is_added_twice(regions, point):
    before = regions.here.contents()
    regions.here.destroy()
    assert killed(regions, point, "PUT", 10, "load") == -signal.SIGKILL
    there = {one.key for one in list_versions(regions.here.bucket, "models/")}
    assert 0 < len(there) < OBJECTS
    system = regions.system()
    assert system.is_empty(), "what a restore of ours has added is not somebody's data"
    restore(system, point)
    assert regions.here.contents() == before
    versions = list(list_versions(regions.here.bucket, "models/"))
    assert len(versions) == OBJECTS
    assert regions.here.notes() == []


def test_killed_in_load_and_given_up_exactly_what_was_added_is_gone(regions, point):
    regions.here.delete(*(f"models/{number:02}" for number in range(30)))
    regions.here.put("models/59", b"theirs")
    before = regions.here.contents()
    versions = sorted((one.key, one.version_id) for one in list_versions(regions.here.bucket))
    assert killed(regions, point, "PUT", 10, "load") == -signal.SIGKILL
    system = regions.system()
    regions.here.put("models/extra", b"came meanwhile")
    system.discard(STAGING)
    assert regions.here.contents() == {**before, "models/extra": regions.here.object("models/extra")}
    left = sorted((one.key, one.version_id) for one in list_versions(regions.here.bucket) if one.key != "models/extra")
    assert left == versions
    system.discard(STAGING)  # nothing to remove is fine


def test_killed_in_switch_and_called_again_the_bucket_is_as_of_the_point(regions, point):
    before = regions.here.contents()
    for number in range(OBJECTS):
        regions.here.put(f"models/{number:02}", b"encrypted by somebody")
    for number in range(20):
        regions.here.put(f"models/note-{number}", b"pay")
    assert killed(regions, point, "PUT", 15, "load", "switch") == -signal.SIGKILL
    system = regions.system()
    assert system.recognises(point.record, STAGING)
    assert not system.recognises(point.record, "another")
    assert regions.here.contents() != before
    system.load(point.record, point, STAGING)
    system.switch(point.record, STAGING)
    assert regions.here.contents() == before
    assert not broken(checks_of(system, point))
    assert regions.here.notes() == []
    count = len(list(list_versions(regions.here.bucket)))
    system.switch(point.record, STAGING)  # done already
    assert system.recognises(point.record, STAGING)
    assert len(list(list_versions(regions.here.bucket))) == count


def test_given_up_in_a_switch_its_notes_go_and_its_objects_stay(regions, point):
    for number in range(OBJECTS):
        regions.here.put(f"models/{number:02}", b"encrypted by somebody")
    assert killed(regions, point, "PUT", 15, "load", "switch") == -signal.SIGKILL
    keys = regions.here.keys()
    regions.system().discard(STAGING)
    assert regions.here.keys() == keys
    assert regions.here.notes() == []


def test_a_half_written_plan_is_written_anew(regions, point):
    before = regions.here.contents()
    regions.here.delete("models/00")
    system = regions.system()
    with faulty(regions.here.options.endpoint) as proxy:
        proxy.rule("PUT", "/planned", "expired")
        with pytest.raises(BucketUnreachable):
            regions.system(endpoint=proxy.endpoint).load(point.record, point, STAGING)
    assert regions.here.notes() == [f".drkeeper/restores/{STAGING}/000000.jsonl"]
    regions.here.delete("models/01")
    restore(system, point)
    assert regions.here.contents() == before


def test_an_upload_in_parts_that_was_cut_off_is_taken_away_when_the_restore_is_given_up(regions):
    put_parts(
        regions.here.server, regions.here.bucket, "models/large", [os.urandom(5 << 20), os.urandom(5 << 20), b"c"]
    )
    point = capture(regions.system())
    regions.replicate()
    regions.here.destroy()
    assert killed(regions, point, "PUT", 1, "load") == -signal.SIGKILL
    assert list(list_uploads(regions.here.bucket))
    regions.system().discard(STAGING)
    assert list(list_uploads(regions.here.bucket)) == []
    assert list(list_objects(regions.here.bucket)) == []
