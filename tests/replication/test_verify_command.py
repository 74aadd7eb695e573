"""`drkeeper verify --system` and the scheduled verification: words, exit codes, healing, and a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.replication.buckets import contents, write_policy
from tests.replication.rot import rot

from drkeeper import jobs
from drkeeper.buckets.listing import list_objects
from drkeeper.cli.root import run as drkeeper
from drkeeper.errors import VerificationFailed
from drkeeper.policy import load_policy
from drkeeper.replication.proof_records import newest_proof, newest_walk
from drkeeper.wiring import create_vault, open_vault

SLOWLY = """
import sys
from drkeeper.cli.root import run
from drkeeper.replication import proof_intact
proof_intact.NOTED_OBJECTS = 10
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def policy_file(tmp_path, source, replica, keys_given):
    file = write_policy(
        tmp_path,
        source,
        replica,
        more={"rate": "20MB/s"},
        replica_more={"retries": 0, "timeout_seconds": 5},
        schedules={"verify": "0 4 * * *"},
    )
    create_vault(load_policy(file))
    return file


@pytest.fixture
def command(policy_file, capsys):
    def run(*arguments):
        code = drkeeper(["--policy", str(policy_file), *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def bodies(command, source):
    made = {f"m/{number}": os.urandom(2000) for number in range(20)}
    for key, body in made.items():
        source.request("PUT", key, body=body)
    assert command("replicate", "--system", "artifacts")[0] == 0
    return made


def far_volumes(tmp_path_factory):
    return list(tmp_path_factory.getbasetemp().glob("far*/data/*.dat"))


def test_a_bucket_that_passes_is_exit_code_0_and_a_record(command, policy_file, bodies):
    code, out, _ = command("verify", "--system", "artifacts", "-o", "json")
    [proof] = json.loads(out)
    assert (code, proof["level"], proof["verdict"]) == (0, "stored", "passed")
    assert [region["objects"] for region in proof["regions"]] == [20, 20]
    code, out, _ = command("verify", "--system", "artifacts", "--level", "intact", "--sample", "50%")
    assert code == 0
    assert "RE-HASHED" in out
    assert " of the bytes) since 20" in out
    code, out, _ = command("verify", "--system", "artifacts", "--level", "restorable", "--seed", "3", "-o", "wide")
    assert code == 0
    assert "B/s" in out
    vault = open_vault(load_policy(policy_file))
    assert newest_proof(vault, "artifacts", "restorable").seed == 3


def test_rot_is_exit_code_5_and_heal_copies_exactly_what_is_damaged(command, bodies, source, replica, tmp_path_factory):
    written_at = {one.key: one.modified_at for one in listing(replica)}
    rot(far_volumes(tmp_path_factory), bodies["m/7"])
    assert command("verify", "--system", "artifacts")[0] == 0
    code, out, err = command("verify", "--system", "artifacts", "--level", "intact")
    assert code == 5
    assert "artifacts.replica.m/7" in out
    assert "artifacts did not pass: see the findings" in err
    time.sleep(1)  # times in listings are to the second
    code, out, err = command("verify", "--system", "artifacts", "--level", "intact", "--heal")
    assert code == 0
    assert "copied again from the source, and re-hashed" in err
    assert {one.key for one in listing(replica) if one.modified_at != written_at[one.key]} == {"m/7"}
    assert contents(replica) == contents(source)


def listing(bucket):
    return list(list_objects(bucket, "m/"))


def test_a_region_that_is_away_is_exit_code_5_and_not_checked(command, policy_file, bodies, replica):
    policy_file.write_text(policy_file.read_text().replace(replica.endpoint, "http://127.0.0.1:1"))
    code, out, err = command("verify", "--system", "artifacts", "--level", "intact")
    assert code == 5
    assert "not checked" in out
    assert "artifacts could not be checked in every region" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--system", "artifacts", "--all"), "only one of them"),
        (("latest", "--system", "artifacts"), "only one of them"),
        (("--level", "restorable"), "drkeeper drill"),
        (("--system", "artifacts", "--heal"), "drkeeper replicate"),
        (("--system", "artifacts", "--level", "intact", "--seed", "1"), "--seed goes with --level restorable"),
        (("--system", "artifacts", "--sample", "5%"), "stored lists all"),
        (("--system", "nothing"), "there is artifacts"),
    ],
)
def test_a_verify_that_makes_no_sense_is_usage(command, words, said):
    code, _, err = command("verify", *words)
    assert code == 2
    assert said in err


def test_the_help_tells_of_buckets(command):
    _, out, _ = command("verify", "--help")
    assert "With --system a bucket and its replica are verified" in " ".join(out.split())


def test_the_schedule_lists_each_time_and_re_hashes_a_thirtieth(command, policy_file, bodies, replica):
    policy = load_policy(policy_file)
    vault = open_vault(policy)
    verify = jobs.jobs(policy)["verify"].action
    verify(threading.Event())
    assert newest_proof(vault, "artifacts", "stored").verdict == "passed"
    assert newest_proof(vault, "artifacts", "intact").sample == pytest.approx(1 / 30)
    time.sleep(1)  # what was written in the second in which a run began is due after the next one
    assert command("replicate", "--system", "artifacts")[0] == 0
    replica.request("PUT", "m/3", body=b"somebody else's")
    with pytest.raises(VerificationFailed, match=r"artifacts\.replica\.m/3: is not in the replica as it is"):
        verify(threading.Event())


def test_a_verification_that_is_killed_goes_on_where_it_was(command, policy_file, source, tmp_path):
    for number in range(400):
        source.request("PUT", f"m/{number}", body=os.urandom(5_000))
    assert command("replicate")[0] == 0
    words = ["--policy", str(policy_file), "verify", "--system", "artifacts", "--level", "intact"]
    slow = policy_file.with_name("slow.yaml")
    slow.write_text(policy_file.read_text().replace("20MB/s", "1MB/s"))
    argv = [sys.executable, "-c", SLOWLY, "--policy", str(slow), *words[2:]]
    killed = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        walks = tmp_path / "vault/bucket-proofs/artifacts/walk"
        wait_until(lambda: len(list(walks.glob("source-*"))) and len(list(walks.glob("replica-*"))) >= 2)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    vault = open_vault(load_policy(policy_file))
    before = {region: newest_walk(vault, "artifacts", region) for region in ("source", "replica")}
    assert all(0 < walk.objects < 400 and walk.left for walk in before.values())
    assert newest_proof(vault, "artifacts", "intact") is None
    code, out, _ = command(*words[2:], "-o", "json")
    [proof] = json.loads(out)
    assert (code, proof["verdict"]) == (0, "passed")
    for region in proof["regions"]:
        coverage = region["coverage"]
        assert (coverage["ring"], coverage["objects"], coverage["of_objects"]) == (1.0, 400, 400)
        assert coverage["size_bytes"] == coverage["of_bytes"] == 2_000_000
        walk = before[region["region"]]
        assert coverage["since"] == walk.circle.model_dump(mode="json")["began_at"]


def wait_until(there, seconds=30):
    give_up_at = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_after_a_fail_over_the_two_are_not_compared_and_nothing_is_copied_to_the_new_primary(
    command, bodies, replica, tmp_path_factory
):
    assert command("failover", "run", "--system", "artifacts", "--yes")[0] == 0
    replica.request("PUT", "m/written-there", body=b"by consumers")
    replica.request("DELETE", "m/1")
    code, out, _ = command("verify", "--system", "artifacts")
    assert code == 5
    assert "the replica is primary since" in out
    assert command("verify", "--system", "artifacts", "--level", "restorable", "--sample", "100%")[0] == 0
    rot(far_volumes(tmp_path_factory), bodies["m/7"])
    before = contents(replica)
    assert command("verify", "--system", "artifacts", "--level", "intact")[0] == 5
    assert command("verify", "--system", "artifacts", "--level", "intact", "--heal")[0] == 4
    assert contents(replica) == before
