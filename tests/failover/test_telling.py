"""Consumers are told, before and after, without a secret; who could not be told can be told later."""

import json

import pytest
from tests.failover.listener import Program, http_listener
from tests.failover.platform import everything, texts


@pytest.fixture
def program(platform, tmp_path):
    made = Program(tmp_path / "program")
    platform.write_policy(made.hook)
    return made


def test_a_program_and_a_server_are_told_where_to_go(platform, program):
    with http_listener() as (url, received):
        platform.write_policy(program.hook, {"url": f"{url}/hook", "allow_http": True})
        platform.fail_over("--reason", "region lost")
        platform.fail_back()
    assert program.phases() == ["before", "after", "before", "after"]
    assert [message["phase"] for _, _, message in received] == program.phases()
    message = received[1][2]
    assert message | {"at": ""} == {
        "event": "failover",
        "phase": "after",
        "policy": "artifacts-only",
        "system": "artifacts",
        "epoch": 1,
        "reason": "region lost",
        "at": "",
        "from": {"side": "source", "url": platform.source.url, "endpoint": platform.near.endpoint},
        "to": {"side": "replica", "url": platform.replica.url, "endpoint": platform.far.endpoint},
    }
    back = program.told()[-1]["message"]
    assert (back["event"], back["to"]["side"], back["epoch"]) == ("failback", "source", 2)


def test_nobody_who_is_told_gets_a_secret_and_neither_does_a_log_or_a_record(platform, program):
    secrets = list(platform.environment.values())
    program.fail("after", saying=f"cannot reach it with {secrets[0]}")
    said = platform.fail_over("--verbose", code=3)
    written = [file.read_text() for file in (platform.folder / "vault").rglob("*.json")]
    for secret in secrets:
        assert all(secret not in json.dumps(each) for each in program.told())
        assert secret not in said.out + said.err
        assert all(secret not in text for text in written)
    assert "cannot reach it with ********" in said.err
    assert any('"hook failed"' in line for line in said.err.splitlines())


def test_who_fails_before_the_switch_stops_it_with_nothing_changed(platform, program):
    before = everything(platform.source), everything(platform.replica)
    program.fail("before", saying="writers are still at work")
    said = platform.fail_over(code=4).err
    assert "exited with 7; roles are as they were, nothing was changed" in said
    assert "it said: writers are still at work" in said
    assert (everything(platform.source), everything(platform.replica)) == before
    assert (platform.roles().primary, platform.roles().unfinished) == ("source", None)
    program.work_again()
    platform.fail_over()
    assert platform.roles().primary == "replica"


def test_who_was_told_that_it_comes_is_told_that_it_does_not(platform, program, tmp_path):
    second = Program(tmp_path / "second")
    platform.write_policy(program.hook, second.hook)
    second.fail("before")
    platform.fail_over(code=4)
    assert program.phases() == ["before", "stopped"]
    assert second.phases()[0] == "before"


def test_who_fails_after_the_switch_is_reported_and_told_again_by_running_it_again(platform, program, tmp_path):
    with http_listener() as (url, received):
        platform.write_policy(program.hook, {"url": url, "allow_http": True})
        program.fail("after")
        assert "not everybody knows" in platform.fail_over(code=3).err
        assert platform.roles().primary == "replica"
        assert "not told: python" in platform.json("failover", "status")["state"]
        platform.fail_over(code=3)
        program.work_again()
        platform.fail_over()
        assert program.phases() == ["before", "after", "after", "after"]
        assert len(received) == 2
        assert platform.json("failover", "status")["state"] == "settled"


def test_everybody_can_be_told_again_at_any_time(platform, program):
    assert "nothing to tell" in platform.fail_over("--hooks-only", code=4).err
    platform.fail_over()
    before = everything(platform.source), everything(platform.replica)
    platform.fail_over("--hooks-only")
    assert program.phases() == ["before", "after", "after"]
    assert (everything(platform.source), everything(platform.replica)) == before
    assert texts(platform.replica)
