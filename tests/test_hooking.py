"""What a hook begins is undone, whatever happens between; nothing begins where a hook says no."""

import threading

import pytest
from tests.failover.listener import Program

from drkeeper._policy.recovery_sections import HookPair
from drkeeper.errors import Interrupted
from drkeeper.hooking import Hooking, HookRefused, around, at
from drkeeper.throttle import stopped_by

FAILS = {"command": ("sh", "-c", "echo the queue is full >&2; exit 3")}
FAILED = "hook sh exited with 3"


@pytest.fixture
def program(tmp_path):
    """A program that keeps what it is told."""
    return Program(tmp_path / "program")


def pair(before=None, after=None, **more):
    return HookPair.model_validate({"before": before, "after": after, **more})


def test_all_before_come_first_and_all_after_in_reverse(program):
    hooking = Hooking((pair(program.hook, program.hook),) * 2, policy="shop")
    with around(hooking, "freeze", ["db"], {"point": "3f2a"}):
        assert program.phases() == ["before", "before"]
    messages = [each["message"] for each in program.told()]
    assert program.phases() == ["before", "before", "after", "after"]
    assert messages[0] == {
        "event": "hook",
        "policy": "shop",
        "around": "freeze",
        "systems": ["db"],
        "point": "3f2a",
        "phase": "before",
        "at": messages[0]["at"],
    }
    assert messages[-1]["outcome"] == "done"


def test_a_before_that_fails_keeps_the_work_from_beginning_and_what_was_begun_is_undone(program):
    hooking = Hooking((pair(program.hook, program.hook), pair(FAILS, program.hook), pair(program.hook, program.hook)))
    with pytest.raises(HookRefused, match=f"{FAILED}; nothing was begun") as no, around(hooking, "freeze"):
        pytest.fail("the work began")
    assert no.value.said == "the queue is full"
    assert program.phases() == ["before", "after", "after"]


def test_a_before_that_may_fail_is_told_and_the_work_goes_on():
    with around(Hooking((pair(FAILS, None, on_failure="go on"),)), "freeze") as result:
        assert result.failed == [f"before freeze: {FAILED}"]


def test_an_after_runs_although_the_work_fails_or_was_told_to_stop(program):
    hooking, stop = Hooking((pair(program.hook, program.hook),)), threading.Event()

    def work():
        stop.set()
        raise Interrupted("interrupted")

    with stopped_by(stop), pytest.raises(Interrupted), around(hooking, "freeze"):
        work()
    assert program.phases() == ["before", "after"]
    assert program.told()[-1]["message"]["outcome"] == "failed"


def test_an_after_that_fails_keeps_no_other_from_being_done_and_is_told(program):
    hooking = Hooking((pair(None, program.hook), pair(None, FAILS)))
    with around(hooking, "freeze") as result:
        pass
    assert program.phases() == ["after"]
    assert result.failed == [f"after freeze: {FAILED}"]
    assert result.said == [f"after freeze: {FAILED}: the queue is full"]


@pytest.mark.parametrize(
    ("where", "systems", "place", "of", "there"),
    [
        ("freeze", (), "freeze", ("db",), True),
        ("freeze", (), "restore", ("db",), False),
        ("freeze", ("cache",), "freeze", ("db",), False),
        ("freeze", ("cache",), "freeze", ("db", "cache"), True),
        ("switch:*", (), "switch:db", ("db",), True),
        ("switch:db", (), "switch:cache", ("cache",), False),
        ("fail over:*", (), "fail over:models", ("models",), True),
    ],
)
def test_a_pair_is_around_what_it_names(where, systems, place, of, there):
    each = pair(FAILS, around=where, systems=systems)
    assert at([each], place, of) == ([each] if there else [])
