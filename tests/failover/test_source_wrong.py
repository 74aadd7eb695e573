"""A bucket that was emptied and overwritten fails over and back, and at no step does the damage win."""

import pytest
from tests.failover.platform import delete, everything, let_a_second_pass, put, texts
from tests.failover.test_scenario import WHOLE, told

from drkeeper import clock
from drkeeper.failover.roles import read_mark

PREFERRED = {"scenarios": {"bucket-emptied": {"prefer": "less loss"}}}


def spoil(platform):
    delete(platform.source, "models__a")
    put(platform.source, models__b="encrypted", models__ransom="pay")
    let_a_second_pass()


def history(bucket):
    """ETags of each key's versions, all of them; "" is a delete marker."""
    kept = {}
    for key, _, is_marker, etag in everything(bucket):
        kept.setdefault(key, set()).add("" if is_marker else etag)
    return kept


def test_the_way_back_of_a_scenario_ends_with_the_good_objects_at_both_sides_killed_or_not(platform, killer):
    platform.write_policy(requests=1, **PREFERRED)
    platform.run("backup")  # which copies to the replica, too
    let_a_second_pass()
    since = clock.now()
    spoil(platform)
    platform.run("restore", "--scenario", "bucket-emptied", "--before", since.isoformat(), "--yes")
    assert platform.roles().source_wrong
    assert "the source's data are wrong" in platform.json("failover", "status")["state"]
    put(platform.replica, models__a="a2", models__new="n1")
    let_a_second_pass()
    delete(platform.source, "models__c")  # whoever did it is still at it
    put(platform.source, models__new="encrypted too")
    damaged, replica = history(platform.source), texts(platform.replica)
    for words in ((), ("--allow-share", "1"), ("--dry-run",)):
        assert "the replica is primary" in platform.run("replicate", *words, code=4).err
    assert (
        "the replica is primary"
        in platform.run("verify", "--system", "artifacts", "--level", "intact", "--heal", code=4).err
    )

    plan = platform.json("failback", "--dry-run")
    found = plan["reconciliation"]
    assert (plan["source_wrong"], found["kept"], found["conflict_count"]) == (True, {}, 0)
    assert (found["copies"], found["overwrites"], found["deletions"]) == (4, 2, 1)
    assert found["righted"] == {
        "written at the source before the fail-over, too late to be replicated": 2,
        "deleted at the source since the fail-over": 1,
        "written at both sides; at the source since the fail-over": 1,
    }
    shown = platform.run("failback", "--dry-run").out
    assert "2 are put right by the replica (written at the source before the fail-over" in shown
    assert "put the source right by the replica, whatever the source holds: 4 objects" in shown

    assert killer.killed_after_copies(1, "failback")
    assert 0 < platform.json("failback", "--dry-run")["reconciliation"]["copies"] < 4
    assert killer.killed_before(5, "failback"), "declared, and nothing is marked"
    assert platform.roles().primary == "source"
    platform.fail_back()
    platform.replicate()
    good = {**WHOLE, "models/a": "a2", "models/new": "n1"}
    assert texts(platform.source) == texts(platform.replica) == replica == good
    assert all(damaged[key] <= history(platform.source)[key] for key in damaged if key.startswith("models/"))
    assert (platform.roles().source_wrong, platform.json("failover", "status")["state"]) == (False, "settled")


@pytest.fixture
def guarded(platform):
    """So that the guard counts three objects, too."""
    platform.write_policy(guard_objects=0)
    return platform


def test_by_hand_nothing_of_the_source_is_replicated_and_the_guard_asks_once_more(guarded):
    put(guarded.source, models__b="encrypted")
    delete(guarded.source, "models__a")
    plan = guarded.json("failover", "plan", "--source-wrong")
    assert "CatchUp" not in [step["kind"] for step in plan["steps"]]
    assert "make sure that the source's data were right then" in plan["warnings"][0]
    guarded.fail_over("--source-wrong", "--reason", "encrypted by somebody")
    assert texts(guarded.replica) == WHOLE
    assert "--hooks-only records nothing" in guarded.fail_over("--source-wrong", "--hooks-only", code=2).err
    assert guarded.fail_over("--source-wrong").err.endswith("nothing to do\n")
    said = guarded.fail_back(code=4).err
    assert "1 objects of the source would be overwritten and 0 deleted, of 2" in said
    assert texts(guarded.source) == {"models/b": "encrypted", "models/c": "c1"}
    guarded.fail_back("--allow-share", "1")
    guarded.replicate()
    assert texts(guarded.source) == texts(guarded.replica) == WHOLE


def test_where_nobody_said_that_the_source_is_wrong_the_guard_asks_and_it_can_be_said_afterwards(guarded):
    spoil(guarded)
    guarded.fail_over("--no-catch-up", "--accept-loss")
    at = guarded.roles().since
    said = guarded.fail_back(code=4).err
    assert "1 objects that the replica holds are others at the source, and 1 are deleted there: the next" in said
    assert "`drkeeper failover run --system artifacts --source-wrong`" in said
    let_a_second_pass()
    delete(guarded.source, "models__c")
    conflict = guarded.fail_back(code=4).err
    assert "1 conflicts" in conflict
    assert "--source-wrong` says so" in conflict
    assert "are deleted there: the next replication" in guarded.fail_back("--prefer", "source", code=4).err

    guarded.fail_over("--source-wrong")
    roles = guarded.roles()
    assert (roles.primary, roles.epoch, roles.source_wrong, roles.since, roles.unfinished) == (
        "replica", 2, True, at, None,
    )  # fmt: skip
    assert [read_mark(side).epoch for side in (guarded.source, guarded.replica)] == [2, 2]
    heeded = guarded.json("failback", "--dry-run", "--prefer", "source", code=4)
    assert "count all the same: you prefer the source" in heeded["warnings"][0]
    guarded.fail_back("--allow-share", "1")
    guarded.run("replicate", "--allow-share", "1")
    assert texts(guarded.source) == texts(guarded.replica) == WHOLE
    detail = [row["detail"] for row in told(guarded, "audit", "list") if row["command"] == "failback"]
    assert any(each.get("source_wrong") for each in detail)
