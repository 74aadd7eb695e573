"""Killed at any step and run again, a fail-over and a fail-back converge; who is primary is never in doubt."""

import signal
import time

import pytest
from tests.failover.listener import Program
from tests.failover.platform import delete, put, texts

from drkeeper.failover.roles import read_mark


def killed_at_every_step(platform, killer, *words):
    """Killed before each step up to the one that declares the switch, then before each that is left.

    Who was primary after each.
    """
    primaries = []
    for until_declared in (True, False):
        for step in range(20):
            if not killer.killed_before(step, *words):
                return primaries
            roles = platform.roles()
            primaries.append(roles.primary)
            if until_declared and roles.unfinished.event == "switched":
                break
    raise AssertionError("it never ended")


@pytest.mark.slow
def test_a_fail_over_and_a_fail_back_killed_before_each_step_converge(platform, killer, tmp_path):
    program = Program(tmp_path / "program")
    platform.write_policy(program.hook)
    put(platform.source, models__late="late")
    primaries = killed_at_every_step(platform, killer, "failover", "run")
    assert primaries == ["source"] * 4 + ["replica"] * 4
    assert (platform.roles().primary, platform.roles().epoch, platform.roles().unfinished) == ("replica", 1, None)
    assert read_mark(platform.replica).role == "primary"
    assert read_mark(platform.source).role == "standby"
    assert program.phases()[-1] == "after"

    put(platform.replica, models__a="a2", models__new="n1")
    delete(platform.replica, "models__b")
    primaries = killed_at_every_step(platform, killer, "failback")
    assert primaries == ["replica"] * 5 + ["source"] * 4
    assert (platform.roles().primary, platform.roles().epoch, platform.roles().unfinished) == ("source", 2, None)
    expected = {"models/a": "a2", "models/c": "c1", "models/late": "late", "models/new": "n1"}
    assert texts(platform.source) == texts(platform.replica) == expected
    assert (read_mark(platform.source).role, read_mark(platform.replica).role) == ("primary", "standby")


def test_a_lease_of_somebody_who_was_killed_ends_by_itself(platform, tmp_path):
    slow = {"command": ["sleep", "30"], "timeout": "60s"}
    platform.write_policy(slow, lease="2s")
    process = platform.start("failover", "run", "--yes")
    deadline = time.monotonic() + 30
    while platform.roles().unfinished is None:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert "did not end: run `drkeeper failover run` again" in platform.json("failover", "status")["state"]
    platform.write_policy(lease="10s")
    platform.fail_over("--wait", "20s")
    assert platform.json("failover", "status")["state"] == "settled"


def test_a_signal_ends_it_in_order_and_takes_the_word_back(platform, tmp_path):
    program = Program(tmp_path / "program")
    platform.write_policy(program.hook, {"command": ["sleep", "30"]})
    process = platform.start("failover", "run", "--yes")
    deadline = time.monotonic() + 30
    while not program.told():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert program.phases() == ["before", "stopped"]
    assert (platform.roles().primary, platform.roles().unfinished) == ("source", None)
