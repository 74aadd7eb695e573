"""A bucket brought by several processes: equal afterwards, also when one of them is killed at work."""

import threading
import time
from collections import Counter

import distributed
import pytest
from tests.buckets.faulty import faulty
from tests.replication.buckets import contents, pair_of, versioned

import dask_cluster
from drkeeper.buckets.listing import list_versions
from drkeeper.errors import Interrupted, Refused, ToolMissing
from drkeeper.replication import on_dask
from drkeeper.replication.dask_client import DaskUnreachable, connected
from drkeeper.replication.dask_worker import TOPIC
from drkeeper.replication.on_dask import shards_on
from drkeeper.replication.run import Run
from drkeeper.throttle import stopped_by

FOLDERS = 6
IN_EACH = 60


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with dask_cluster.running_dask(tmp_path_factory.mktemp("dask")) as running:
        with distributed.Client(running.address, set_as_default=False) as client:
            client.wait_for_workers(3, timeout=60)
        yield running


def fill(bucket, size_bytes=2000):
    for folder in range(FOLDERS):
        for number in range(IN_EACH):
            body = f"{folder}-{number}".encode().ljust(size_bytes, b".")
            bucket.request("PUT", f"run-{folder}/{number}", body=body)


def bring(cluster, pair, **more):
    with shards_on(cluster.address) as workers:
        return Run(pair, bring_shards=workers, **more).carry_out()


class Counting:
    def __init__(self):
        self.moved = Counter()

    def begin(self, task, total_bytes=None):
        self.moved[task] += 0

    def advance(self, task, size_bytes):
        self.moved[task] += size_bytes

    def end(self, task, outcome="done"):
        assert outcome == "done"


def test_several_processes_bring_a_bucket_and_tell_how_far_they_are(cluster, source, replica):
    fill(source)
    progress = Counting()
    record = bring(cluster, pair_of(source, replica), progress=progress)
    assert record.complete
    assert (record.new, record.source_objects, record.failed) == (360, 360, 0)
    assert record.copied_bytes == progress.moved["copy artifacts"] == 360 * 2000
    assert contents(replica) == contents(source)
    again = bring(cluster, pair_of(source, replica))
    assert (again.complete, again.new, again.overwritten, again.copied_bytes) == (True, 0, 0, 0)
    assert again.source_objects == again.replica_objects == 360
