"""A bucket fails over to its replica, and back; both sides know, and nothing is lost unasked."""

import json
import shutil
import threading

import pytest
from tests.failover.platform import Platform, delete, everything, let_a_second_pass, put, texts
from tests.replication.buckets import add_region

from drkeeper.buckets.reserved import ROLE
from drkeeper.errors import Refused
from drkeeper.failover import insist_source_is_primary
from drkeeper.failover.roles import read_mark, write_mark
from drkeeper.lease import hold
from drkeeper.wiring import create_vault


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
    put(platform.replica, models__a="a2", models__new="n1")
    delete(platform.replica, "models__b")
    plan = platform.json("failback", "--dry-run")
    assert plan["reconciliation"] == {
        "source_objects": 3, "replica_objects": 3, "same": 1, "copies": 2, "copy_bytes": 4, "overwrites": 1,
        "deletions": 1, "kept": {}, "kept_overwrites": 0, "kept_deletions": 0, "righted": {}, "conflicts": [],
        "conflict_count": 0, "decided": [],
    }  # fmt: skip
    assert texts(platform.source) == {"models/a": "a1", "models/b": "b1", "models/c": "c1"}
    platform.fail_back()
    assert texts(platform.source) == texts(platform.replica) == {"models/a": "a2", "models/c": "c1", "models/new": "n1"}
    assert (platform.roles().primary, platform.roles().epoch) == ("source", 2)
    assert read_mark(platform.source).role == "primary"
    assert read_mark(platform.replica).role == "standby"
    platform.replicate()
    assert "nothing to bring back" in platform.fail_back(code=4).err


def test_a_plan_changes_nothing(platform):
    before = everything(platform.source), everything(platform.replica)
    plan = platform.json("failover", "plan")
    assert [step["kind"] for step in plan["steps"]] == [
        "Tell", "CatchUp", "Prove", "Declare", "PutMark", "PutMark", "Tell", "Conclude",
    ]  # fmt: skip
    assert (everything(platform.source), everything(platform.replica)) == before
    assert platform.roles().number == 0


def test_nothing_is_switched_without_a_yes(platform):
    assert "confirmation" in platform.run("failover", "run", code=4).err
    assert platform.roles().number == 0


def test_replication_is_refused_while_the_replica_is_primary(platform):
    insist_source_is_primary(platform.vault, "artifacts")
    platform.fail_over()
    with pytest.raises(Refused, match="the replica is primary since") as refused:
        insist_source_is_primary(platform.vault, "artifacts")
    assert "drkeeper failback --system artifacts" in refused.value.hint
    platform.fail_back()
    insist_source_is_primary(platform.vault, "artifacts")


def test_a_replica_that_says_it_is_primary_is_believed_where_the_vault_knows_nothing(platform):
    platform.fail_over()
    mark = read_mark(platform.replica).model_copy(update={"epoch": 5})
    write_mark(platform.replica, mark)
    for file in (platform.folder / "vault/failovers").rglob("*.json"):
        file.unlink()
    with pytest.raises(Refused, match="the vault does not know of it"):
        insist_source_is_primary(platform.vault, "artifacts", platform.replica)
    assert "is a region of the vault away?" in platform.fail_over(code=4).err


def test_a_mark_that_a_provider_copied_along_is_none(platform):
    platform.fail_over()
    body = platform.source.request("GET", ROLE).body
    platform.replica.request("PUT", ROLE, body=body)
    assert read_mark(platform.replica) is None
    status = platform.json("failover", "status")
    assert status["replica"]["state"] == "answers, not marked"
    platform.fail_over()
    assert read_mark(platform.replica).role == "primary"


def test_status_says_who_is_what_and_what_replication_does(platform):
    status = platform.json("failover", "status")
    assert (status["primary"], status["epoch"], status["state"], status["last_switch"]) == (
        "source",
        0,
        "settled",
        None,
    )
    assert status["replication"].startswith("to the replica, last ")
    platform.fail_over("--reason", "region lost")
    status = platform.json("failover", "status")
    assert (status["primary"], status["epoch"], status["state"]) == ("replica", 1, "settled")
    assert status["last_switch"]["reason"] == "region lost"
    assert status["replication"] == "stopped: the replica is primary"
    assert (status["source"]["role"], status["source"]["mark"]["role"]) == ("standby", "standby")
    table = platform.run("failover", "status").out.splitlines()
    assert len(table) == 2
    assert "replica" in table[1]


def test_a_bucket_that_was_never_replicated_is_not_failed_over_to_blindly(tmp_path, near, far, capfd, monkeypatch):
    platform = Platform(tmp_path, near, far, capfd)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    put(platform.source, model="m1")
    assert "holds nothing" in platform.fail_over("--no-catch-up", "--accept-loss", code=4).err
    platform.fail_over()
    assert texts(platform.replica) == {"model": "m1"}


def test_what_would_be_left_behind_must_be_accepted(platform):
    put(platform.source, models__late="x")
    assert "1 objects of the source would be left behind" in platform.fail_over("--no-catch-up", code=4).err
    assert platform.roles().number == 0
    assert platform.json("failover", "plan", "--no-catch-up", code=4)["loss"]["names"] == ["models/late"]
    platform.fail_over("--no-catch-up", "--accept-loss")
    assert "models/late" not in texts(platform.replica)
    assert platform.roles().switched.loss.basis == "newest replication"


def test_replicate_itself_refuses_while_the_replica_is_primary(platform):
    platform.fail_over()
    put(platform.source, models__a="written by somebody who does not know")
    said = platform.run("replicate", "--system", "artifacts", code=4).err
    assert "the replica is primary since" in said
    assert texts(platform.replica)["models/a"] == "a1"


def test_a_vault_whose_first_region_is_lost_serves_from_the_next(platform):
    add_region(platform.policy_file, platform.folder / "other")
    create_vault(platform.policy())
    (platform.folder / "vault").rename(platform.folder / "lost")
    platform.fail_over("--no-catch-up", "--accept-loss")
    assert platform.roles().primary == "replica"
    shutil.rmtree(platform.folder / "vault", ignore_errors=True)
    (platform.folder / "lost").rename(platform.folder / "vault")
    assert platform.roles().primary == "replica"
    platform.fail_back()
    roles = sorted(file.name for file in (platform.folder / "vault/failovers/artifacts/roles").iterdir())
    assert roles == ["000004.json", "000005.json", "000006.json"]
    platform.run("replicate")
    assert len(list((platform.folder / "vault/failovers/artifacts/roles").iterdir())) == 6


def test_the_guard_of_the_last_replication_stops_a_fail_over_too(platform):
    platform.write_policy(guard_objects=0)
    put(platform.source, models__a="encrypted", models__b="by", models__c="somebody")
    said = platform.fail_over(code=4).err
    assert "--no-catch-up" in said
    assert platform.roles().primary == "source"
    assert platform.json("failover", "status")["state"] == "settled"
    platform.fail_over("--no-catch-up", "--accept-loss")
    assert texts(platform.replica) == {"models/a": "a1", "models/b": "b1", "models/c": "c1"}


# --- two at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["failover-artifacts", "replicate-artifacts"])
def test_a_second_operator_and_a_replication_at_work_are_told_apart_from_free(platform, name):
    with hold(platform.vault.primary, name, holder="somebody else"):
        assert f"somebody else holds the lease {name}" in platform.fail_over(code=11).err
    assert platform.roles().number == 0
    assert platform.source.request("GET", query={"list-type": "2", "prefix": ROLE}).body.count(b"<Key>") == 0


def test_of_two_operators_at_once_one_switches(platform):
    operators = [platform.start("failover", "run", "--yes", "-q") for _ in range(2)]
    said = [operator.communicate(timeout=60)[1] for operator in operators]
    codes = sorted(operator.returncode for operator in operators)
    assert codes in ([0, 0], [0, 4], [0, 11]), said
    assert (platform.roles().primary, platform.roles().epoch) == ("replica", 1)


def test_a_plan_that_somebody_else_overtook_is_not_carried_out(platform, monkeypatch):
    from drkeeper.failover import prepare

    kept = prepare.alone

    def overtaken(*arguments, **more):
        monkeypatch.setattr(prepare, "alone", kept)
        thread = threading.Thread(target=platform.start("failover", "run", "--yes").communicate)
        thread.start()
        thread.join()
        return kept(*arguments, **more)

    monkeypatch.setattr(prepare, "alone", overtaken)
    assert "somebody else has switched it" in platform.fail_over(code=4).err
    assert platform.roles().epoch == 1


# --- fail-back ----------------------------------------------------------------------------------------------


def conflicting(platform):
    """Both sides go on: one key is changed at both, one at the source only, one deleted here and changed there."""
    platform.fail_over()
    put(platform.replica, models__a="a-replica", models__only="r")
    put(platform.source, models__a="a-source!", models__b="b-source")
    put(platform.source, models__c="c-source")
    delete(platform.replica, "models__c")


def test_conflicts_are_reported_with_both_versions_and_nothing_is_overwritten(platform):
    conflicting(platform)
    before = everything(platform.source), everything(platform.replica)
    told = platform.run("failback", "--dry-run", code=4)
    assert "3 conflicts: decide with --prefer replica or --prefer source" in told.err
    lines = {line.split()[0]: line for line in told.out.splitlines() if line.startswith("models/")}
    assert "written at both sides; at the source since the fail-over" in lines["models/a"]
    assert lines["models/a"].count(", 9 B, ") == 2
    assert "written at the source since the fail-over" in lines["models/b"]
    assert "deleted at the replica, written at the source" in lines["models/c"]
    data = platform.json("failback", "--dry-run", code=4)["reconciliation"]["conflicts"]
    assert {each["key"] for each in data} == {"models/a", "models/b", "models/c"}
    assert all(each["source"]["etag"] and each["source"]["modified_at"] for each in data)
    platform.fail_back(code=4)
    assert (everything(platform.source), everything(platform.replica)) == before
    assert platform.roles().primary == "replica"


def test_the_replica_may_be_preferred_and_the_sources_versions_stay(platform):
    conflicting(platform)
    found = platform.json("failback", "--dry-run", "--prefer", "replica")["reconciliation"]
    assert (found["conflict_count"], len(found["decided"])) == (0, 3)
    assert "the replica's was preferred" in platform.fail_back("--prefer", "replica").err
    assert texts(platform.source) == {"models/a": "a-replica", "models/b": "b1", "models/only": "r"}
    assert texts(platform.source) == texts(platform.replica)
    digests = {each[3] for each in everything(platform.source) if each[0] == "models/a"}
    assert len(digests) == 3


def test_the_source_may_be_preferred_and_the_replicas_versions_stay(platform):
    conflicting(platform)
    platform.fail_back("--prefer", "source")
    expected = {"models/a": "a-source!", "models/b": "b-source", "models/c": "c-source", "models/only": "r"}
    assert texts(platform.source) == expected
    platform.replicate()
    assert texts(platform.replica) == expected
    assert len({each[3] for each in everything(platform.replica) if each[0] == "models/a"}) == 3


def test_what_the_source_had_of_its_own_is_kept_and_replicated_afterwards(platform):
    put(platform.source, models__unreplicated="late")
    let_a_second_pass()
    platform.fail_over("--no-catch-up", "--accept-loss")
    put(platform.replica, models__a="a2")
    said = platform.run("failback", "--dry-run").out
    assert "1 stay as they are at the source (written at the source before the fail-over" in said
    platform.fail_back()
    platform.replicate()
    assert texts(platform.source) == texts(platform.replica)
    assert texts(platform.source)["models/unreplicated"] == "late"


def test_metadata_comes_back_and_a_rewritten_heartbeat_is_no_conflict(platform):
    platform.fail_over()
    headers = {"content-type": "application/x-onnx", "x-amz-meta-run": "42", "x-amz-tagging": "stage=prod"}
    platform.replica.request("PUT", "models/a", headers=headers, body=b"a2")
    platform.run("beat")
    platform.fail_back()
    head = platform.source.request("HEAD", "models/a").headers
    assert (head["content-type"], head["x-amz-meta-run"], head["x-amz-tagging-count"]) == (
        "application/x-onnx",
        "42",
        "1",
    )


def test_the_share_guard_stands_before_the_source_too(platform):
    platform.write_policy(guard_objects=0)
    platform.fail_over()
    delete(platform.replica, "models__a", "models__b")
    said = platform.fail_back(code=4).err
    assert "0 objects of the source would be overwritten and 2 deleted, of 3" in said
    assert len(texts(platform.source)) == 3
    platform.fail_back("--allow-share", "1")
    assert texts(platform.source) == {"models/c": "c1"}


def test_a_source_that_was_made_anew_gets_everything_back(platform):
    platform.fail_over()
    for key in texts(platform.source):
        for name, version, *_ in everything(platform.source):
            if name == key:
                platform.source.request("DELETE", name, query={"versionId": version})
    assert texts(platform.source) == {}
    platform.fail_back()
    assert texts(platform.source) == {"models/a": "a1", "models/b": "b1", "models/c": "c1"}


def test_without_versions_nothing_is_deleted_and_no_conflict_can_be_decided(tmp_path, near, far, capfd, monkeypatch):
    platform = Platform(tmp_path, near, far, capfd, are_versioned=False)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    put(platform.source, a="a1", b="b1", c="c1")
    let_a_second_pass()
    platform.replicate()
    assert "keeps no versions" in platform.run("failover", "plan").out
    platform.fail_over()
    put(platform.replica, a="a2", c="c2")
    delete(platform.replica, "b")
    put(platform.source, c="c-source")
    assert "1 conflicts" in platform.fail_back(code=4).err
    assert (
        "keeps no versions: what --prefer replica overwrites there"
        in platform.fail_back("--prefer", "replica", code=4).err
    )
    put(platform.source, c="c2")
    platform.fail_back()
    assert texts(platform.source) == {"a": "a2", "b": "b1", "c": "c2"}


def test_records_of_roles_are_json_that_says_who_and_why(platform):
    platform.fail_over("--reason", "region lost")
    files = sorted((platform.folder / "vault/failovers/artifacts/roles").iterdir())
    events = [json.loads(file.read_text())["record"] for file in files]
    assert [each["event"] for each in events] == ["begun", "switched", "finished"]
    assert events[1]["source_at"]
    assert events[1]["replicated_until"]
    assert events[1]["token"] >= 1
    assert events[2]["marked"] == ["replica", "source"]
