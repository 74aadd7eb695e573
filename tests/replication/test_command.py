"""`drkeeper replicate` on real buckets: what it prints, its exit codes, its lease, its watch."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.replication.buckets import add_region, contents, write_policy

from drkeeper import artifacts
from drkeeper.cli.root import run as drkeeper
from drkeeper.lease import hold
from drkeeper.policy import load_policy
from drkeeper.replication.records import newest_record
from drkeeper.wiring import create_vault, open_vault


@pytest.fixture
def policy_file(tmp_path, source, replica, keys_given):
    file = write_policy(
        tmp_path,
        source,
        replica,
        more={"copying": {"guard_share": 0.2, "guard_objects": 0, "watch_seconds": 1}},
        replica_more={"retries": 1},
    )
    create_vault(load_policy(file))
    return file


@pytest.fixture
def command(policy_file, capsys):
    def run(*arguments):
        code = drkeeper(["--policy", str(policy_file), "replicate", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_bucket_is_compared_copied_and_recorded(command, policy_file, source, replica):
    for number in range(10):
        source.request("PUT", f"m/{number}", body=b"a model")
    code, out, _ = command("--dry-run", "-o", "json")
    assert code == 0
    assert json.loads(out)["buckets"][0]["new"] == 10
    assert contents(replica) == {}
    vault = open_vault(load_policy(policy_file))
    assert newest_record(vault, "artifacts") is None
    code, out, err = command("--system", "artifacts", "-o", "json")
    bucket = json.loads(out)["buckets"][0]
    assert (code, bucket["new"], bucket["copied_bytes"], bucket["complete"]) == (0, 10, 70, True)
    assert '"event": "end", "task": "copy artifacts", "outcome": "done"' in err
    assert contents(replica) == contents(source)
    assert newest_record(vault, "artifacts").source_objects == 10
    code, out, err = command()
    assert code == 0
    assert "artifacts" in out
    assert "not versioned" in err


def test_what_was_copied_is_known_when_the_first_region_is_lost(command, policy_file, source):
    add_region(policy_file, policy_file.parent / "there")
    create_vault(load_policy(policy_file))
    source.request("PUT", "m/1", body=b"a model")
    assert command("--system", "artifacts")[0] == 0
    shutil.rmtree(policy_file.parent / "vault")
    assert newest_record(open_vault(load_policy(policy_file)), "artifacts").source_objects == 1


def test_the_guard_is_exit_code_4_and_says_how_to_go_on(command, source, replica):
    for number in range(4):
        source.request("PUT", f"m/{number}", body=b"a model")
    assert command()[0] == 0
    before = contents(replica)
    for number in range(4):
        source.request("PUT", f"m/{number}", body=b"encrypted")
    code, _, err = command("--system", "artifacts")
    assert code == 4
    assert "100%" in err
    assert "--allow-share 1" in err
    assert contents(replica) == before
    assert command("--system", "artifacts", "--allow-share", "1")[0] == 0
    assert contents(replica) == contents(source)


def test_a_system_that_is_no_bucket_is_a_usage_error(command):
    code, _, err = command("--system", "nothing")
    assert code == 2
    assert "there is artifacts" in err


def test_of_two_at_once_one_is_told_who_is_at_work(command, policy_file, source, replica):
    source.request("PUT", "k", body=b"x")
    policy = load_policy(policy_file)
    with hold(open_vault(policy).primary, "replicate-artifacts", holder="somebody else"):
        code, _, err = command("--system", "artifacts")
    assert code == 11
    assert "somebody else" in err
    assert contents(replica) == {}
    assert command("--system", "artifacts")[0] == 0


def test_watching_brings_what_changes_and_reports_the_lag(policy_file, source, replica):
    argv = [sys.executable, "-m", "drkeeper", "--policy", str(policy_file), "--quiet"]
    argv += ["replicate", "--system", "artifacts", "--watch", "-o", "json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=dict(os.environ))
    try:
        deadline = time.monotonic() + 60
        for number in range(3):
            source.request("PUT", f"k/{number}", body=b"x")
            while set(contents(replica)) != set(contents(source)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert contents(replica) == contents(source)
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    decoder, looks, text = json.JSONDecoder(), [], out.decode()
    while text.strip():
        look, end = decoder.raw_decode(text.lstrip())
        looks.append(look)
        text = text.lstrip()[end:]
    assert sum(look["new"] for look in looks) == 3
    assert all(0 <= look["behind_seconds"] < 60 for look in looks)


def test_a_backup_brings_the_artifacts_that_it_names(policy_file, source, replica, capsys):
    source.request("PUT", "models/m", body=b"weights")
    assert drkeeper(["--policy", str(policy_file), "--quiet", "backup", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["buckets"][0]["new"] == 1
    assert contents(replica) == contents(source)
    replica_away = policy_file.read_text().replace(replica.endpoint, "http://127.0.0.1:9")
    policy_file.write_text(replica_away)
    assert drkeeper(["--policy", str(policy_file), "--quiet", "backup", "-o", "json"]) == 3
    told = capsys.readouterr()
    assert "the replica of artifacts is behind" in told.err
    assert json.loads(told.out)["systems"][0]["status"] == "complete"


def test_check_tells_whether_the_replica_was_copied(command, policy_file, source, capsys):
    def checked():
        drkeeper(["--policy", str(policy_file), "--quiet", "check", "-o", "json"])
        return {each["subject"]: each for each in json.loads(capsys.readouterr().out)}

    assert checked()["artifacts.replica.age"]["detail"] == "never copied"
    source.request("PUT", "k", body=b"x")
    assert command("--system", "artifacts")[0] == 0
    assert checked()["artifacts.replica.age"]["verdict"] == "passed"


def test_every_bucket_with_a_replica_is_a_pair(policy_file):
    policy = load_policy(policy_file)
    assert [pair.system for pair in artifacts.pairs(policy)] == ["artifacts"]
