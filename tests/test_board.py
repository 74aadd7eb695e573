"""The way through a plan: what may begin, what is not run when something failed, and threads that can be left behind."""

import random
import threading
import time
from datetime import UTC, datetime

import pytest

from drkeeper._restore.board import Board
from drkeeper._restore.lanes import Lanes
from drkeeper.errors import LoadFailed, StepsFailed, StepTimedOut, VaultUnreachable
from drkeeper.forecast import Limits
from drkeeper.process import check_exit, running
from drkeeper.report.record import Forecast, StepRecord
from drkeeper.steps import Release
from drkeeper.throttle import current_stop, stopped_by

FORECAST = Forecast(p50_seconds=1, p90_seconds=2, basis="no history")


def step(name, *after, host=""):
    return Release(step_id=name, system=name, kind="redis", forecast=FORECAST, after=after, host=host)


def record(name):
    return StepRecord(name=name, phase="restore", started_at=datetime.now(UTC), elapsed_seconds=1, outcome="done")


def any_plan(chance, size=40):
    names = [f"s{number}" for number in range(size)]
    return [
        step(name, *chance.sample(names[:place], min(place, chance.randrange(4))), host=chance.choice(["", "a", "b"]))
        for place, name in enumerate(names)
    ]


def descendants(steps, failed):
    found = set()
    for each in steps:  # those that they wait for come earlier
        if set(each.after) & (found | failed):
            found.add(each.step_id)
    return found - failed


@pytest.mark.parametrize("seed", range(30))
def test_steps_begin_when_what_they_wait_for_is_done_and_a_failure_costs_its_descendants_only(seed):
    chance = random.Random(seed)
    steps = any_plan(chance)
    doomed = {each.step_id for each in steps if chance.random() < 0.08}
    hosts = {each.step_id: each.host for each in steps}
    board = Board(steps, Limits(at_once=5, at_once_per_host=2, hosts=hosts), {})
    active, told = {}, set()
    while not board.over:
        for each in board.begin():
            assert set(each.after) <= set(board.finished)
            active[each.step_id] = each
        assert 0 < len(active) <= 5
        assert all(sum(hosts[name] == host for name in active) <= 2 for host in "ab")
        name = chance.choice(sorted(active))
        active.pop(name)
        if name in doomed:
            told |= {each.step_id for each in board.fail(name, LoadFailed(f"{name} broke"))}
        else:
            board.finish(name, record(name))
    struck = set(board.failed)
    assert struck == doomed - descendants(steps, struck)
    assert set(board.skipped) == told == descendants(steps, struck)
    assert set(board.finished) == {each.step_id for each in steps} - struck - told


def test_what_is_done_already_is_not_begun_again():
    board = Board([step("a"), step("b", "a"), step("c", "b")], Limits(), {"a": record("a")})
    assert [each.step_id for each in board.begin()] == ["b"]


def test_one_failure_is_raised_as_it_is_and_several_are_all_named():
    board = Board([step("a"), step("b"), step("c", "a"), step("d")], Limits(), {})
    assert len(list(board.begin())) == 3
    board.finish("d", record("d"))
    board.fail("a", LoadFailed("a broke", hint="mend a"))
    with pytest.raises(LoadFailed, match="a broke") as single:
        board.insist()
    assert "not run: c" in single.value.hint
    board.fail("b", LoadFailed("b broke"))
    with pytest.raises(LoadFailed, match="2 steps failed: a: a broke; b: b broke; not run: c"):
        board.insist()
    board.failed["b"] = VaultUnreachable("no region answers")
    with pytest.raises(StepsFailed, match="2 steps failed: a: a broke; b: no region answers; not run: c"):
        board.insist()


# --- lanes ---


def settled(lanes, seconds=10):
    deadline = time.monotonic() + seconds
    while lanes:
        assert time.monotonic() < deadline, "waited in vain"
        yield from lanes.ended(0.02)


def test_a_step_that_hangs_is_ended_and_one_that_heeds_nothing_is_left_behind():
    lanes, forever = Lanes(0.2, grace_seconds=0.3), threading.Event()

    def work(each, stop):
        with stopped_by(stop):
            if each.step_id == "well":
                return record("well")
            if each.step_id == "program":
                with running(["sleep", "60"]) as process:
                    check_exit(process, ["sleep"])
            (forever if each.step_id == "stubborn" else current_stop()).wait(30)
        raise LoadFailed("was told to end")

    began = time.monotonic()
    for name in ("well", "heeds", "program", "stubborn"):
        lanes.begin(step(name), work)
    found = {each.step_id: result for each, result in settled(lanes)}
    assert time.monotonic() - began < 5
    assert found.pop("well").outcome == "done"
    assert {name: type(result) for name, result in found.items()} == dict.fromkeys(
        ("heeds", "program", "stubborn"), StepTimedOut
    )
    assert "took longer than 0.2 s" in str(found["stubborn"])
    assert any(thread.name == "restore stubborn" for thread in threading.enumerate()), "it ended by itself"
    forever.set()


def test_to_end_all_but_what_changes_live_data():
    lanes = Lanes(60)

    def work(each, stop):
        if stop.wait(0.5):
            raise LoadFailed("ended")
        return record(each.step_id)

    lanes.begin(step("load"), work)
    lanes.begin(step("switch"), work)
    lanes.end(spare=lambda each: each.step_id == "switch")
    found = {each.step_id: result for each, result in settled(lanes)}
    assert isinstance(found["load"], LoadFailed)
    assert isinstance(found["switch"], StepRecord)
