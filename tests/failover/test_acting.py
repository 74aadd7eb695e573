"""While the replica is primary it is what is protected: backed up, marked by heartbeats, restored into."""

from tests.failover.platform import delete, put, texts

from drkeeper import actions, catalog
from drkeeper.buckets.reserved import HEARTBEAT
from drkeeper.wiring import acting_policy


def test_after_a_fail_over_the_replica_is_backed_up_and_restored_into(platform):
    platform.fail_over()
    put(platform.replica, models__a="a2", models__d="d1")
    before = texts(platform.source)
    platform.run("backup", code=3)  # the point is whole; nothing copies onto a bucket that is primary
    point = catalog.find_point(platform.vault, "latest")
    assert point.systems[0].status == "complete"
    assert point.systems[0].facts.exact["objects"] == 4
    put(platform.replica, models__a="by mistake")
    delete(platform.replica, "models__d")
    platform.run("restore", "--system", "artifacts", "--overwrite", "--yes")
    restored = texts(platform.replica)
    assert (restored["models/a"], restored["models/d"]) == ("a2", "d1")
    assert texts(platform.source) == before


def test_heartbeats_are_written_to_whichever_is_primary(platform):
    actions.beat(platform.policy())
    first = platform.source.request("GET", HEARTBEAT).body
    platform.fail_over()
    actions.beat(platform.policy())
    assert platform.source.request("GET", HEARTBEAT).body == first
    assert platform.replica.request("GET", HEARTBEAT).body != first
    platform.fail_back()
    assert acting_policy(platform.policy(), platform.vault) == platform.policy()
