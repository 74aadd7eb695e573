"""A test fail-over tries everything and changes nothing."""

import pytest
from tests.buckets.faulty import faulty
from tests.failover.platform import delete, everything, files, let_a_second_pass, put

from drkeeper.artifacts import pairs
from drkeeper.errors import Refused
from drkeeper.failover.sides import Sides


def test_nothing_is_written_but_one_record_in_the_vault(platform):
    before = everything(platform.source), everything(platform.replica)
    vault = files(platform.folder / "vault")
    tested = platform.json("failover", "test", "--sample", "2", "--seed", "1")
    assert tested["passed"]
    assert (everything(platform.source), everything(platform.replica)) == before
    now = files(platform.folder / "vault")
    added = now.keys() - vault.keys()
    assert len(added) == 1
    assert added.pop().startswith("failovers/artifacts/tests/")
    assert vault == {name: now[name] for name in vault}
    assert platform.roles().number == 0


def test_neither_bucket_could_be_written_to(platform):
    sides = Sides(pairs(platform.policy())[0], read_only=True)
    for side in ("source", "replica"):
        with pytest.raises(Refused, match="open for reading only"):
            sides.bucket(side).request("PUT", "x", body=b"x")


def test_time_and_loss_are_measured(platform):
    put(platform.source, models__late="1", models__later="22")
    tested = platform.json("failover", "test")
    assert (tested["objects"], tested["verified"], tested["damaged"]) == (3, 3, [])
    assert 0 < tested["rto_seconds"] <= tested["elapsed_seconds"]
    assert tested["loss"]["objects"] == 2
    assert tested["would_be_lost"].startswith("2 objects (3 B")
    assert platform.json("failover", "status")["last_test"]["objects"] == 3
    assert "Would be lost" in platform.run("failover", "test").out


def test_an_objective_that_is_missed_says_so(platform):
    with platform.policy_file.open("a") as file:
        file.write("objectives: {rpo: 1s, rto: 1h}\n")
    put(platform.source, models__late="1")
    let_a_second_pass(), let_a_second_pass()
    said = platform.run("failover", "test", code=6).err
    assert "artifacts: RPO" in said
    assert "promised 1 s" in said
    assert "RTO" not in said


def test_a_replica_that_lacks_what_was_replicated_fails(platform):
    delete(platform.replica, "models__a")
    said = platform.run("failover", "test", code=5)
    assert "replica.objects: 2 are there, 3 were by the replication of" in said.err


def test_bytes_that_are_not_what_they_were_fail(platform):
    with faulty(platform.replica.endpoint) as proxy:
        platform.policy_file.write_text(
            platform.policy_file.read_text().replace(platform.replica.endpoint, proxy.endpoint)
        )
        flipped = proxy.rule("GET", "/models/b", "damage", times=10)
        said = platform.run("failover", "test", code=5).err
        assert flipped.hits
        assert proxy.count("PUT") == proxy.count("POST") == proxy.count("DELETE") == 0
    assert "object.models/b" in said
    assert "object.models/a" not in said
