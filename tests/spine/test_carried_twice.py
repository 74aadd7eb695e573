"""What must not happen twice, late, or beside one another: restores of one vault, approvals, steps that were given up."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from tests.spine.test_carrying import KILLED, LEASE_SECONDS, damage, databases, meddle, newest, wait_for

from drkeeper import carrying, catalog, preparing, recovery, recovery_beside, restores
from drkeeper.errors import Aborted, LeaseHeld, LoadFailed, PointCorrupt, StepTimedOut, WorldChanged
from drkeeper.forecast import forecast_step
from drkeeper.journal import read_journals
from drkeeper.plan import Choice
from drkeeper.scenarios import BUILT_IN
from drkeeper.signing import new_key, public_of, public_text
from drkeeper.steps import FailOver
from drkeeper.throttle import current_stop, stopped_by
from drkeeper.wiring import open_vault


def test_a_corrupt_point_is_given_up_for_the_one_before_though_a_bucket_has_failed_over(platform, monkeypatch):
    """A fail-over takes nothing from the point, so it stands with whichever one is restored."""
    first = platform.json("backup")["point_id"]
    expected = platform.contents()
    platform.fill(seed=2)
    second = platform.json("backup")["point_id"]
    damage(platform, second, spared=first)
    platform.destroy()
    switched = []

    class Beside(carrying.BesideRestoring):
        def fail_over(self, system):
            switched.append(system)

    monkeypatch.setattr(carrying, "BesideRestoring", Beside)
    step = FailOver(
        step_id="fail-over:artifacts",
        system="artifacts",
        kind="objects",
        forecast=forecast_step("objects", "fail over", 0, ()),
    )

    def with_fail_over(prepared):
        plan = prepared.plan.model_copy(update={"steps": (step, *prepared.plan.steps)})
        again = lambda point_id: with_fail_over(prepared.again(point_id))  # noqa: E731
        return replace(prepared, plan=plan, scenario=BUILT_IN["everything-lost"], again=again)

    prepared = with_fail_over(recovery.prepare(platform.policy()))

    def load(system, *args):
        wait_for(lambda: switched)
        system.load(*args)

    meddle(prepared, "mlflow-db", load=load)
    outcome = recovery.restore(prepared)
    assert outcome.plan.point_id == first
    assert switched == ["artifacts", "artifacts"]
    assert platform.contents() == expected
    vault = open_vault(platform.policy())
    assert catalog.proof_of(vault, second).failed is not None
    assert [journal.entries[-1].event for journal in read_journals(vault)] == ["abandoned", "finished"]


def test_a_point_that_is_found_corrupt_by_a_resume_is_noted_too(platform):
    first = platform.json("backup")["point_id"]
    platform.fill(seed=2)
    second = platform.json("backup")["point_id"]
    platform.destroy()
    prepared = recovery.prepare(platform.policy())

    def load(*_):
        raise RuntimeError("the machine went down")

    meddle(prepared, "mlflow-db", load=load)
    with pytest.raises(RuntimeError):
        recovery.restore(prepared)
    damage(platform, second, spared=first)
    with pytest.raises(PointCorrupt):
        recovery.resume(platform.policy())
    assert newest(platform).over
    assert catalog.proof_of(open_vault(platform.policy()), second).failed is not None


def test_an_earlier_point_is_taken_only_for_what_was_agreed_to(platform):
    first = platform.json("backup")["point_id"]
    platform.fill(seed=2)
    second = platform.json("backup")["point_id"]
    damage(platform, second, spared=first)
    platform.destroy()
    prepared = recovery.prepare(platform.policy(), choice=Choice(overwrite=True))

    def load(system, *args):
        platform.cache().set("somebody", "is at work")  # what was empty is not any more
        system.load(*args)

    meddle(prepared, "mlflow-db", load=load)
    with pytest.raises(WorldChanged, match="would do something else than what was agreed to"):
        recovery.restore(prepared)
    assert platform.cache().get("somebody") == b"is at work"
    assert databases(platform) == set()


def test_a_step_whose_time_was_up_while_it_waited_does_nothing_when_its_turn_comes(platform, monkeypatch):
    platform.write_policy(more="recovery: {step_timeout: 1s}\n")
    platform.run("backup")
    platform.destroy()
    prepared = recovery.prepare(platform.policy())
    had_its_turn, switched = threading.Event(), []
    meddle(prepared, "online-store", switch=lambda *_: switched.append(True))
    inner = carrying._admission

    def admission(*args):
        admit = inner(*args)

        def slowly(step):
            admit(step)
            if step.step_id == "switch:online-store":
                time.sleep(2)  # a lock that somebody held, a server that took its time
                had_its_turn.set()

        return slowly

    monkeypatch.setattr(carrying, "_admission", admission)
    with pytest.raises(StepTimedOut):
        recovery.restore(prepared)
    assert had_its_turn.wait(10)
    time.sleep(0.2)
    assert not switched
    assert "switch:online-store" not in newest(platform).started
    recovery.give_up(platform.policy())


def test_a_region_that_is_taken_for_lost_and_answers_lets_nobody_restore_beside_and_words_are_heard(platform):
    """A scenario's plan asks the regions that are left alone; whoever asks the others finds it there."""
    platform.run("backup")
    platform.destroy()
    prepared = preparing.prepare_scenario(platform.policy(), "region-lost")
    assert set(prepared.vault.regions.stores) == {"there"}
    refused = []

    def load(system, *args):
        system.load(*args)
        policy = platform.policy()
        assert restores.find(policy, open_vault(policy)).state == "running"
        with pytest.raises(LeaseHeld):
            recovery.restore(recovery.prepare(policy))
        with pytest.raises(LeaseHeld):
            recovery.resume(policy)
        restores.say(policy, "abort", why="the region is back")
        refused.append(current_stop().wait(20))

    meddle(prepared, "mlflow-db", load=load)
    with pytest.raises(Aborted, match="the region is back"):
        recovery.restore(prepared)
    assert refused == [True]
    assert databases(platform) == set()


def test_an_approval_is_of_one_restore(platform, tmp_path):
    key = new_key()
    (tmp_path / "ada.pem").write_text(key)
    platform.write_policy(more=f"recovery: {{approval: {{keys: {{ada: '{public_text(public_of(key))}'}}}}}}\n")
    platform.run("backup")
    plan, signed = str(tmp_path / "p.json"), str(tmp_path / "p.json.approval")
    platform.run("plan", "--overwrite", "--out", plan)
    platform.run("approve", plan, "--key", str(tmp_path / "ada.pem"), "--as", "ada", "--yes")
    platform.run("restore", "--plan", plan, "--approve", signed, "--yes")
    platform.fill(seed=3)  # a day's work
    worked = platform.contents()
    again = platform.run("restore", "--plan", plan, "--approve", signed, "--yes", code=4).stderr
    assert "was used already" in again
    assert platform.contents() == worked


def test_who_gives_up_a_restore_that_was_killed_undoes_its_hooks(platform, tmp_path):
    log = tmp_path / "hooks"
    note = f"command: [sh, -c, 'cat >> {log}; echo >> {log}']"
    platform.write_policy(
        lease=f"{LEASE_SECONDS}s",
        more=f"hooks:\n  - {{around: restore, before: {{{note}}}, after: {{{note}}}}}\n",
    )
    platform.run("backup")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(platform.policy_file), "mlflow-db", "load"],
        env={**os.environ, **platform.environment},
        check=False,
    )
    assert killed.returncode == -9
    assert [line["phase"] for line in hooks_of(log)] == ["before"]
    time.sleep(LEASE_SECONDS + 0.2)
    recovery.give_up(platform.policy())
    assert [line["phase"] for line in hooks_of(log)] == ["before", "before", "after"]


def test_a_restore_goes_on_where_it_was_begun_and_nowhere_else(platform):
    platform.run("backup")
    platform.destroy()
    prepared = recovery.prepare(platform.policy())

    def switch(*_):
        raise LoadFailed("the server went down")

    meddle(prepared, "mlflow-db", switch=switch)
    with pytest.raises(LoadFailed):
        recovery.restore(prepared)
    former = platform.policy_file.read_text()
    platform.policy_file.write_text(former.replace("host: 127.0.0.1", "host: localhost"))
    with pytest.raises(WorldChanged, match=r"mlflow-db: 127\.0\.0\.1:\d+, now localhost"):
        recovery.resume(platform.policy())
    platform.policy_file.write_text(former)
    recovery.resume(platform.policy())


def hooks_of(log):
    return [json.loads(line) for line in log.read_text().splitlines() if line]


def test_what_is_done_beside_ends_with_its_step(monkeypatch):
    """A step whose time is up must not go on to rewrite rows, or to switch, when nobody waits for it any more."""
    given = []

    @contextmanager
    def prepare(*_):
        yield None

    def rebuild(_, *, stop, **__):
        given.append(stop)
        return SimpleNamespace(checks=())

    monkeypatch.setattr(recovery_beside, "rebuild", SimpleNamespace(prepare=prepare, rebuild=rebuild))
    policy = SimpleNamespace(vault=SimpleNamespace(lease=timedelta(seconds=1)))
    step = threading.Event()
    with stopped_by(step):
        recovery_beside.BesideRestoring(policy, None, BUILT_IN["everything-lost"]).rebuild("features")
    assert given == [step]
