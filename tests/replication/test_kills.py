"""A run that is killed costs what was on its way: no object twice that had arrived, nothing left hanging."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from tests.buckets.faulty import faulty
from tests.buckets.test_copying import put_parts
from tests.replication.buckets import contents, pair_of, run, versioned

from drkeeper.buckets.listing import list_objects, list_uploads, list_versions
from drkeeper.buckets.reserved import UPLOADS, is_reserved

MEBIBYTE = 1 << 20
KILLS = 5
AT_ONCE = 32
PROGRAM = """
import sys
from drkeeper.replication.run import Pair, Run
from drkeeper.systems._objects.options import Options
Run(Pair("artifacts", Options.model_validate_json(sys.stdin.read()), 8_000_000)).carry_out()
"""


def told(pair):
    """What a process is told on its stdin."""
    fields = pair.options.model_dump(mode="json")
    for one, at in ((pair.options, fields), (pair.options.replica, fields["replica"])):
        at["secret_key"] = one.secret_key.get_secret_value()
    return json.dumps(fields).encode()


def test_a_run_killed_at_any_instant_is_made_up_by_the_next(near, far, source, replica):
    versioned(far, replica)
    for number in range(400):
        source.request("PUT", f"runs/{number % 9}/{number}", body=os.urandom(2000))
    put_parts(near, source, "models/large", [os.urandom(5 * MEBIBYTE) for _ in range(4)])
    pair = pair_of(source, replica)
    chance = random.Random(7)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE)
        process.stdin.write(told(pair))
        process.stdin.close()
        before = arrived = sum(1 for _ in list_objects(replica))
        deadline = time.monotonic() + 20
        while arrived <= before and process.poll() is None and time.monotonic() < deadline:
            arrived = sum(1 for _ in list_objects(replica))
        time.sleep(chance.uniform(0, 0.3))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed >= 2
    record = run(pair)
    assert record.complete
    assert contents(replica) == contents(source)
    assert not list(list_uploads(replica))
    assert not list(list_objects(replica, UPLOADS))
    versions = Counter(one.key for one in list_versions(replica) if not is_reserved(one.key))
    assert sum(count - 1 for count in versions.values()) <= KILLS * AT_ONCE
    assert max(versions.values()) <= 1 + KILLS
    assert run(pair).new == 0


def test_parts_that_had_arrived_are_not_sent_again(near, far, source, replica):
    bodies = [os.urandom(5 * MEBIBYTE) for _ in range(4)]
    put_parts(near, source, "models/large", bodies)
    with faulty(replica.endpoint) as proxy:
        pair = pair_of(source, replica, replica_endpoint=proxy.endpoint, retries=0)
        rule = proxy.rule("PUT", "partNumber=4", "error", times=1000)
        assert run(pair).failed == 1
        assert rule.hits
        assert len(list(list_uploads(replica))) == 1
        sent = [path for method, path in proxy.seen if method == "PUT" and "partNumber" in path]
        arrived = {path.partition("partNumber=")[2][0] for path in sent} - {"4"}
        rule.times = 0
        proxy.seen.clear()
        assert run(pair).complete
        again = {path.partition("partNumber=")[2][0] for method, path in proxy.seen if "partNumber" in path}
        assert arrived
        assert not again & arrived
    assert contents(replica) == contents(source)
    assert not list(list_uploads(replica))


def test_an_upload_of_an_object_that_is_not_wanted_any_more_is_taken_away(near, source, replica):
    put_parts(near, source, "models/large", [os.urandom(5 * MEBIBYTE), b"end"])
    with faulty(replica.endpoint) as proxy:
        proxy.rule("PUT", "partNumber=2", "error", times=1000)
        assert run(pair_of(source, replica, replica_endpoint=proxy.endpoint, retries=0)).failed == 1
    source.request("DELETE", "models/large")
    assert run(pair_of(source, replica)).complete
    assert not list(list_uploads(replica))
    assert not list(list_objects(replica, UPLOADS))
