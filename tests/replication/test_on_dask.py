"""A bucket brought by several processes: equal afterwards, also when one of them is killed at work."""

import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import distributed
import pytest
from tests.buckets.faulty import faulty
from tests.replication.buckets import contents, pair_of, versioned

import dask_cluster
from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.reserved import protects
from drkeeper.errors import Interrupted, LeaseLost, Refused, ToolMissing
from drkeeper.replication.dask_client import DaskUnreachable, connected
from drkeeper.replication.dask_worker import TOPIC
from drkeeper.replication.on_dask import shards_on
from drkeeper.replication.run import Run
from drkeeper.replication.shard_run import listed_keys, scopes
from drkeeper.replication.shards import count_folders, cut
from drkeeper.throttle import stopped_by

FOLDERS = 6
IN_EACH = 25
KEYS = FOLDERS * IN_EACH
SLOW = 1_500_000
"""Bytes a second, for all workers: 150 objects of 40,000 bytes take four seconds."""


COMPARED = "?encoding-type=url&list-type=2&prefix="
"""A whole folder is listed; while keys are counted, these folders are listed with a delimiter."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with dask_cluster.running_dask(tmp_path_factory.mktemp("dask")) as running:
        with client_of(running) as client:
            client.wait_for_workers(3, timeout=60)
        yield running


def client_of(cluster):
    return distributed.Client(cluster.address, set_as_default=False)


def fill(bucket, size_bytes=2000, folders=range(FOLDERS), text=""):
    def put(each):
        folder, number = each
        body = f"{folder}-{number}{text}".encode().ljust(size_bytes, b".")
        bucket.request("PUT", f"run-{folder}/{number}", body=body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, [(folder, number) for folder in folders for number in range(IN_EACH)]))


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
    assert (record.new, record.source_objects, record.failed) == (KEYS, KEYS, 0)
    assert record.copied_bytes == progress.moved["copy artifacts"] == KEYS * 2000
    assert contents(replica) == contents(source)
    again = bring(cluster, pair_of(source, replica))
    assert (again.complete, again.new, again.overwritten, again.copied_bytes) == (True, 0, 0, 0)
    assert again.source_objects == again.replica_objects == KEYS


def events_of(client, word):
    """What the workers said of passes of that sort, oldest first."""
    return [event for _, event in client.get_events(TOPIC) if word in event["pass"]]


def at_work(client, replica, least):
    """A worker that has copied some objects of the bundle that it has in hand: its name, and the bundle."""
    copied = Counter(one.key.partition("/")[0] for one in list_objects(replica))
    if sum(copied.values()) < least:
        return None
    names = {address: each["name"] for address, each in client.scheduler_info(n_workers=-1)["workers"].items()}
    events = events_of(client, "copy")
    newest = events[-1]["pass"]
    begun = {event["worker"]: event["bundle"] for event in events if event["pass"] == newest and "bundle" in event}
    brought = {event["brought"] for event in events if event["pass"] == newest and "brought" in event}
    moved = {event["worker"] for event in events[-6:] if event.get("moved")}
    busy = [
        (names[at], number) for at, number in begun.items() if at in moved and number not in brought and at in names
    ]
    return busy[0] if busy else None


def wait_for(ask, seconds=20):
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if found := ask():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_a_worker_killed_at_work_costs_what_it_had_not_copied_yet(cluster, far, source, replica):
    fill(source, 40_000)
    versioned(far, replica)
    pair = slow(pair_of(source, replica, copying={"requests": 4}))
    with client_of(cluster) as client, ThreadPoolExecutor(1) as pool:
        running = pool.submit(bring, cluster, pair)
        name, bundle = wait_for(lambda: at_work(client, replica, 20))
        cluster.kill_worker(name)
        there = {one.key for one in list_objects(replica)}
        record = running.result(timeout=60)
        cluster.start_worker(name)
        events = events_of(client, "copy")
    began = [
        event["worker"] for event in events if event["pass"] == events[-1]["pass"] and event.get("bundle") == bundle
    ]
    assert len(set(began)) == 2  # it was at work on that bundle, and another one did it again
    assert 20 <= len(there) < KEYS
    assert record.complete
    assert (record.new, record.failed) == (KEYS, 0)
    assert contents(replica) == contents(source)
    versions = Counter(version.key for version in list_versions(replica) if version.key.startswith("run-"))
    assert {key for key in there if versions[key] > 1} == set()
    assert sum(versions.values()) - KEYS <= 4  # requests whose end nobody knew when the worker died


def slow(pair, rate=SLOW):
    return replace(pair, rate_bytes_per_second=rate)


COORDINATOR = """
import pickle, sys
from drkeeper.replication.on_dask import shards_on
from drkeeper.replication.run import Run
from drkeeper.replication.shard_run import listed_keys, scopes
from drkeeper.replication.shards import count_folders, cut
with shards_on(sys.argv[1], silent_seconds=1.5) as workers:
    Run(pickle.loads(open(sys.argv[2], "rb").read()), bring_shards=workers).carry_out()
"""


def test_workers_stop_when_nothing_is_heard_of_the_one_that_holds_the_lease(cluster, source, replica, tmp_path):
    fill(source, 40_000)
    (tmp_path / "pair").write_bytes(pickle.dumps(slow(pair_of(source, replica), SLOW // 3)))
    coordinator = subprocess.Popen([sys.executable, "-c", COORDINATOR, cluster.address, tmp_path / "pair"])
    try:
        wait_for(lambda: len(list(list_objects(replica))) > 20)
    finally:
        coordinator.send_signal(signal.SIGKILL)
        coordinator.wait()
    time.sleep(2)
    assert count_that_stays(replica) < KEYS


def test_the_guard_counts_all_pieces_before_anything_is_changed(cluster, source, replica):
    fill(source)
    bring(cluster, pair_of(source, replica))
    before = contents(replica)
    fill(source, folders=(1, 2), text=" encrypted by somebody")
    source.request("PUT", "run-9/new", body=b"new")
    with pytest.raises(Refused, match=r"50 objects of the replica would be overwritten.*nothing was overwritten"):
        bring(cluster, pair_of(source, replica, copying={"guard_share": 0.2}))
    assert contents(replica) == before
    record = bring(cluster, pair_of(source, replica, copying={"guard_share": 0.2}), allow_share=1)
    assert (record.new, record.overwritten) == (1, 50)
    assert contents(replica) == contents(source)


def test_a_piece_that_fails_is_named_and_the_others_are_brought(cluster, source, replica):
    fill(source)
    with faulty(source.endpoint) as proxy:
        rule = proxy.rule("GET", COMPARED + "run-3%2F", "expired", times=1000)
        record = bring(cluster, pair_of(source, replica, endpoint=proxy.endpoint))
    assert rule.hits
    assert not record.complete
    assert [failure.key for failure in record.failures] == ["run-3/**"]
    assert "expired" in record.failures[0].error
    assert set(contents(source)) - set(contents(replica)) == {f"run-3/{number}" for number in range(IN_EACH)}
    assert bring(cluster, pair_of(source, replica)).new == IN_EACH


def test_where_no_piece_can_be_brought_the_run_ends_with_the_reason(cluster, source, replica):
    fill(source)
    with faulty(source.endpoint) as proxy:
        proxy.rule("GET", COMPARED + "run-", "expired", times=1000)
        with pytest.raises(BucketUnreachable, match="expired"):
            bring(cluster, pair_of(source, replica, endpoint=proxy.endpoint))


def test_a_run_that_is_told_to_stop_or_loses_its_lease_stops_its_workers_and_is_gone_on_with(cluster, source, replica):
    fill(source, 40_000)
    pair = slow(pair_of(source, replica), SLOW // 3)
    stop = threading.Event()

    def run():
        with stopped_by(stop):
            bring(cluster, pair)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        wait_for(lambda: len(list(list_objects(replica))) > 10)
        stop.set()
        with pytest.raises(Interrupted):
            running.result(timeout=10)
    copied = count_that_stays(replica)

    def check():
        if len(list(list_objects(replica))) > copied + 10:
            raise LeaseLost("somebody else's")

    with pytest.raises(LeaseLost):
        bring(cluster, pair, check=check)
    assert copied < len(list(list_objects(replica))) < KEYS
    assert bring(cluster, pair_of(source, replica)).complete
    assert contents(replica) == contents(source)


def count_that_stays(replica):
    """So many objects, once a server has stored what it had received."""
    time.sleep(1)
    copied = len(list(list_objects(replica)))
    time.sleep(0.7)
    assert len(list(list_objects(replica))) == copied
    return copied


def test_what_stands_in_the_way_is_said(tmp_path, monkeypatch):
    with (
        pytest.raises(DaskUnreachable, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"),
        connected("tcp://127.0.0.1:9", wait_seconds=0.5),
    ):
        pass
    with pytest.raises(DaskUnreachable), connected("nonsense://", wait_seconds=0.5):
        pass
    with dask_cluster.running_dask(tmp_path, workers=0) as lonely:
        with pytest.raises(DaskUnreachable, match="has no workers"), connected(lonely.address, wait_seconds=0.5):
            pass
        older = tmp_path / "site" / "drkeeper-0.0.1.dist-info"
        older.mkdir(parents=True)
        (older / "METADATA").write_text("Name: drkeeper\nVersion: 0.0.1\n")
        monkeypatch.setenv("PYTHONPATH", str(older.parent))
        lonely.start_worker("older")
        with pytest.raises(Refused, match=r"worker tcp.* has drkeeper 0.0.1, and here is"), connected(lonely.address):
            pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ToolMissing, match="not installed"), shards_on("tcp://127.0.0.1:9"):
        pass


def test_secrets_stand_in_no_log_and_no_event_and_do_not_stay_on_the_scheduler(cluster, near, far, source, replica):
    fill(source, folders=(1,))
    bring(cluster, pair_of(source, replica))
    with client_of(cluster) as client:
        said = repr(client.get_events())
        # That of the coordinator which was killed, too, is gone by then.
        wait_for(
            lambda: (
                "drkeeper"
                not in "".join(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins)))
            )
        )
    said += "".join(log.read_text() for log in cluster.folder.glob("*.log"))
    assert "drkeeper-copy-" in said
    assert near.secret_key not in said
    assert far.secret_key not in said


def test_keys_are_counted_by_folders_on_workers_as_one_machine_would(cluster, source, replica):
    keys = ["top", "a//b", "a/b/c/d", "a/b/c/e", "b/+ x/y", "/slash/first", "run-0/only there", ".drkeeper/ours"]
    for key in keys:
        source.request("PUT", key, body=b"1")
    fill(replica, folders=(1, 2, 3))
    run = Run(pair_of(source, replica))
    copier = run.pair.copier()
    apart = scopes(copier, 12)
    assert len(apart) >= 12
    assert all(sum(scope.has(one.key) for scope in apart) == 1 for one in list_objects(source))
    with shards_on(cluster.address) as workers:
        counted = workers.count(run, copier)
    whole = count_folders(listed_keys(copier, protects()))
    assert counted.counts() == whole.counts()
    assert cut(counted, 10) == cut(whole, 10)


def test_the_rate_is_that_of_all_workers_together(cluster, source, replica):
    fill(source, 40_000, folders=range(3))
    bring(cluster, pair_of(source, replica), dry_run=True)
    began = time.monotonic()
    bring(cluster, slow(pair_of(source, replica), 1_000_000))
    # Three million bytes, less what each worker may take at once when it begins.
    assert time.monotonic() - began > 2
