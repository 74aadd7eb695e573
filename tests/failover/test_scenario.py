"""A bucket that was emptied comes back as a scenario says: by its replica where that is older than the damage."""

import json
from datetime import timedelta

import pytest
from tests.failover.platform import delete, let_a_second_pass, put, texts

from drkeeper import clock, preparing, recovery
from drkeeper.errors import Refused
from drkeeper.recovery_beside import BesideRestoring
from drkeeper.scenarios import BUILT_IN

WHOLE = {"models/a": "a1", "models/b": "b1", "models/c": "c1"}


def told(platform, *words):
    """What a command printed as JSON."""
    return json.loads(platform.run(*words, "-o", "json").out)


def test_an_emptied_bucket_fails_over_to_a_replica_of_before_that_and_nothing_of_the_damage_is_copied(platform):
    platform.run("backup")  # which copies to the replica, too
    let_a_second_pass()
    since = clock.now()
    delete(platform.source, "models__a", "models__b", "models__c")
    put(platform.source, models__ransom="pay")

    unsaid = told(platform, "plan", "--scenario", "bucket-emptied")
    assert {way["way"]: way["chosen"] for way in unsaid["ways"]} == {"restore": True, "fail over": False}
    too_early = (since - timedelta(hours=1)).isoformat()
    refused = platform.run("plan", "--scenario", "bucket-emptied", "--before", too_early, code=4).err
    assert "no point of before" in refused
    assert "it was copied to after that moment" in refused

    words = ("--scenario", "bucket-emptied", "--before", since.isoformat())
    assert [way["way"] for way in told(platform, "plan", *words)["ways"] if way["chosen"]] == ["restore"]
    platform.write_policy(scenarios={"bucket-emptied": {"prefer": "less loss"}})
    plan = told(platform, "plan", *words)
    assert [way["way"] for way in plan["ways"] if way["chosen"]] == ["fail over"]
    assert [step["step_id"] for step in plan["steps"]] == ["fail-over:artifacts"]
    platform.run("restore", *words, "--yes")
    assert platform.roles().primary == "replica"
    assert texts(platform.replica) == WHOLE
    assert texts(platform.source) == {"models/ransom": "pay"}, "nobody has touched what may be evidence"

    logged = [(row["command"], row["outcome"]) for row in told(platform, "audit", "list")]
    assert {("restore", "ok"), ("failover run", "ok")} <= set(logged)

    number = platform.roles().number
    BesideRestoring(platform.policy(), platform.vault, BUILT_IN["bucket-emptied"]).fail_over("artifacts")
    assert platform.roles().number == number, "done again after a crash, it does nothing"


def test_a_replica_that_was_copied_to_since_the_plan_was_made_is_not_made_primary(platform):
    """Between a plan and its steps are a prompt, a pause, a crash; and replications are scheduled."""
    platform.write_policy(scenarios={"bucket-emptied": {"prefer": "less loss"}})
    platform.run("backup")
    let_a_second_pass()
    since = clock.now()
    put(platform.source, models__a="encrypted")
    prepared = preparing.prepare_scenario(platform.policy(), "bucket-emptied", before=since)
    assert [step.step_id for step in prepared.plan.steps] == ["fail-over:artifacts"]
    platform.run("replicate", "--allow-share", "1")
    assert texts(platform.replica)["models/a"] == "encrypted"
    with pytest.raises(Refused, match="was copied to after that moment"):
        recovery.restore(prepared)
    assert platform.roles().primary == "source"


def test_where_nobody_knows_since_when_the_bucket_is_put_back_from_the_point_after_an_undo_point(platform):
    platform.run("backup")
    delete(platform.source, "models__a")
    put(platform.source, models__b="encrypted")
    platform.run("restore", "--scenario", "bucket-emptied", "--yes")
    assert texts(platform.source) == WHOLE
    assert platform.roles().primary == "source"
    purposes = [row["purpose"] for row in told(platform, "points")]
    assert purposes == ["backup", "undo"]
