"""A bucket fails over to its replica, and back; both sides know, and nothing is lost unasked."""

import pytest
from tests.failover.platform import delete, let_a_second_pass, put, texts

from drkeeper.failover.roles import read_mark


def test_the_replica_becomes_primary_with_what_had_not_been_replicated(platform):
    put(platform.source, models__late="too late for the last run")
    said = platform.run("failover", "plan").out
    assert "1 objects (25 B" in said
    assert "consumers are told, after the switch: nobody" in said
    platform.fail_over("--reason", "drill")
    roles = platform.roles()
    assert (roles.primary, roles.epoch, roles.unfinished) == ("replica", 1, None)
    assert roles.switched.reason == "drill"
    assert texts(platform.replica)["models/late"] == "too late for the last run"
    marks = [read_mark(bucket) for bucket in (platform.replica, platform.source)]
    assert [(mark.role, mark.epoch) for mark in marks] == [("primary", 1), ("standby", 1)]
    assert platform.fail_over().err.endswith("nothing to do\n")


def test_what_was_written_and_deleted_meanwhile_comes_back(platform):
    platform.fail_over()
    let_a_second_pass()
    put(platform.replica, models__a="a2", models__new="n1")
    delete(platform.replica, "models__b")
    plan = platform.json("failback", "--dry-run")
    assert plan["reconciliation"] | {"kept": 0, "conflicts": 0} == {
        "source_objects": 3, "same": 1, "copies": 2, "copy_bytes": 4, "overwrites": 1, "deletions": 1,
        "kept": 0, "conflicts": 0, "conflict_count": 0,
    }  # fmt: skip
    assert texts(platform.source) == {"models/a": "a1", "models/b": "b1", "models/c": "c1"}
    platform.fail_back()
    assert texts(platform.source) == texts(platform.replica) == {"models/a": "a2", "models/c": "c1", "models/new": "n1"}
    assert (platform.roles().primary, platform.roles().epoch) == ("source", 2)
    assert read_mark(platform.source).role == "primary"
    assert read_mark(platform.replica).role == "standby"
    platform.replicate()
    assert "nothing to bring back" in platform.run("failback", "--yes", code=4).err
