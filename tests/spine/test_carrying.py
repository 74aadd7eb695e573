"""A restore that is hung, paused, aborted, or given a corrupt point: what is done, what is left, and what is said."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from drkeeper import catalog, controls, recovery, restores
from drkeeper.errors import Aborted, LoadFailed, PointCorrupt, StepTimedOut
from drkeeper.journal import Journal, read_journals
from drkeeper.plan import Choice
from drkeeper.signing import new_key, public_of, public_text
from drkeeper.throttle import current_stop
from drkeeper.wiring import open_vault

LEASE_SECONDS = 2


class Meddled:
    """A system of which one verb does something before, or instead."""

    def __init__(self, system, **verbs):
        self._system = system
        self._verbs = verbs

    def __getattr__(self, name):
        return self._verbs.get(name) or getattr(self._system, name)


def meddle(prepared, name, **verbs):
    system = prepared.systems[name]
    prepared.systems[name] = Meddled(
        system, **{verb: lambda *args, do=do: do(system, *args) for verb, do in verbs.items()}
    )


def databases(platform):
    with platform.connect("postgres") as admin:
        return {row[0] for row in admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'shop%'")}


def newest(platform):
    return list(read_journals(open_vault(platform.policy())))[-1]


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_step_that_hangs_is_ended_the_rest_is_done_and_hooks_are_undone(platform, tmp_path):
    log = tmp_path / "hooks"
    note = f"command: [sh, -c, 'cat >> {log}; echo >> {log}']"
    platform.write_policy(
        more="recovery: {step_timeout: 1s}\nhooks:\n"
        f"  - {{around: restore, before: {{{note}}}, after: {{{note}}}}}\n"
        f"  - {{around: 'load:*', systems: [mlflow-db], before: {{{note}}}, after: {{{note}}}}}\n"
    )
    platform.run("backup")
    expected = platform.contents()
    platform.destroy()
    prepared = recovery.prepare(platform.policy())
    meddle(prepared, "mlflow-db", load=lambda *_: current_stop().wait(60))
    began = time.monotonic()
    with pytest.raises(StepTimedOut, match="load mlflow-db: took longer than 1 s") as failed:
        recovery.restore(prepared)
    assert time.monotonic() - began < 15
    assert "not run: switch:" in failed.value.hint
    assert "--resume" in failed.value.hint
    journal = newest(platform)
    assert set(journal.done) == {"load:online-store"}
    assert databases(platform) == set()
    told = [(line["around"], line["phase"]) for line in map(json.loads, filter(None, log.read_text().splitlines()))]
    assert told == [
        ("restore", "before"),
        ("load:mlflow-db", "before"),
        ("load:mlflow-db", "after"),
        ("restore", "after"),
    ]
    recovery.resume(platform.policy())
    assert platform.contents() == expected


@contextmanager
def running(prepared):
    """A restore in a thread; the block may command it, and its outcome or error is in the list afterwards."""
    ended = []

    def run():
        try:
            ended.append(recovery.restore(prepared))
        except Exception as error:  # noqa: BLE001
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield ended
    thread.join(60)
    assert not thread.is_alive()


def test_a_pause_holds_back_the_next_step_and_is_told_as_time_of_people(platform):
    platform.run("backup")
    expected = platform.contents()
    platform.destroy()
    prepared = recovery.prepare(platform.policy())
    vault, plan_id, loaded = open_vault(platform.policy()), prepared.plan.plan_id, threading.Event()

    def load(system, *args):
        system.load(*args)
        wait_for(lambda: any(entry.event == "paused" for entry in Journal.read(vault, plan_id).entries))
        loaded.set()

    meddle(prepared, "mlflow-db", load=load)
    with running(prepared) as ended:
        wait_for(lambda: vault.record_keys(f"journals/{plan_id}/"))
        platform.run("recovery", "pause", "--why", "a look at the network")
        wait_for(loaded.is_set)
        wait_for(lambda: {"load:online-store", "load:mlflow-db"} <= set(Journal.read(vault, plan_id).done))
        time.sleep(1)
        assert not any(step.startswith("switch") for step in Journal.read(vault, plan_id).started)
        assert restores.find(platform.policy(), vault).state == "paused"
        onlooker = platform.start("recovery", "watch", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = next(line for line in onlooker.stderr if "paused" in line)
        assert "a look at the network" in line
        controls.give(vault, plan_id, "continue", by="ada")
    [outcome] = ended
    said, seen = onlooker.communicate(timeout=60)
    assert onlooker.returncode == 0
    assert f"restore {plan_id} is finished" in said
    assert '"step": "verify:mlflow-db", "state": "done"' in seen
    assert platform.contents() == expected
    waited = {phase.name: phase.people_seconds for phase in outcome.phases}
    assert waited["restore"] > 1
    shown = platform.json("recovery", "show", plan_id[:4])
    assert shown["state"] == "finished"
    assert [event["event"] for event in shown["events"]] == ["paused", "continued"]
    assert shown["events"][0]["why"] == "a look at the network"
    assert {step["state"] for step in shown["steps"]} == {"done"}
    assert all(step["took_seconds"] is not None for step in shown["steps"])
    assert platform.run("recovery", "abort", code=4).stderr.startswith(f"error: restore {plan_id} is finished")


def test_an_abort_before_the_first_switch_leaves_nothing(platform):
    platform.run("backup")
    platform.fill(seed=2)
    before = platform.contents()
    prepared = recovery.prepare(platform.policy(), choice=Choice(overwrite=True))
    struck = []

    def load(system, *args):
        system.load(*args)
        controls.give(prepared.vault, prepared.plan.plan_id, "abort", by="ada", why="the region is back")
        struck.append(current_stop().wait(20))

    meddle(prepared, "mlflow-db", load=load)
    with pytest.raises(Aborted, match="aborted by ada: the region is back"):
        recovery.restore(prepared)
    assert struck == [True]
    assert newest(platform).over
    assert databases(platform) == {"shop"}
    assert platform.contents() == before
    assert restores.find(platform.policy(), prepared.vault).state == "given up"


def test_an_abort_after_a_switch_says_what_is_live_and_can_be_resumed(platform):
    platform.run("backup")
    expected = platform.contents()
    platform.fill(seed=2)
    prepared = recovery.prepare(platform.policy(), choice=Choice(overwrite=True))

    def switch(system, *args):
        controls.give(prepared.vault, prepared.plan.plan_id, "abort", by="ada")
        time.sleep(controls.POLL_SECONDS + 1)  # it is heard in the middle, and heeded at the end
        system.switch(*args)

    meddle(prepared, "online-store", switch=switch)
    with pytest.raises(Aborted, match="done or begun before: switch:online-store") as aborted:
        recovery.restore(prepared)
    assert "undo point" in aborted.value.hint
    journal = newest(platform)
    assert not journal.over
    assert "switch:online-store" in journal.done
    recovery.resume(platform.policy())  # what was said before it is not heeded again
    assert platform.contents() == expected


def damage(platform, point_id, *, spared):
    """A frame that only this point has, in both regions."""
    vault = open_vault(platform.policy())

    def frames(wanted):
        return {
            span.frame_id
            for stream in catalog.find_point(vault, wanted).system("mlflow-db").streams
            for span in vault.frames_of(stream.ref.index_id)
            if span.size_bytes > 100_000
        }

    frame = min(frames(point_id) - frames(spared))
    for region in ("here", "there"):
        file = platform.folder / "vault" / region / vault.frame_key(frame)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))
    return frame


def test_a_point_that_is_corrupt_midway_is_given_up_for_the_one_before(platform):
    first = platform.json("backup")["point_id"]
    expected = platform.contents()
    platform.fill(seed=2)
    second = platform.json("backup")["point_id"]
    frame = damage(platform, second, spared=first)
    platform.destroy()
    said = platform.run("restore", second, "--yes")
    assert f"an earlier point was restored: point {second} cannot be restored: mlflow-db" in said.stdout
    assert platform.contents() == expected
    vault = open_vault(platform.policy())
    proof = catalog.proof_of(vault, second).failed
    assert proof is not None
    assert frame[:12] in proof.findings[0].detail
    given_up, finished = read_journals(vault)
    assert (given_up.entries[-1].event, finished.entries[-1].event) == ("abandoned", "finished")
    assert finished.plan.point_id == first
    assert list(finished.plan.fell_back_from) == [second]
    assert databases(platform) == {"shop"}
    platform.destroy()
    platform.write_policy(more="recovery: {fall_back: 0}\n")
    refused = platform.run("restore", second, "--yes", code=5)
    assert "cannot be restored: mlflow-db" in refused.stderr
    assert newest(platform).over
    assert databases(platform) == set()


def test_where_a_switch_was_made_a_corrupt_point_is_a_failure_to_be_looked_at(platform):
    platform.run("backup")
    platform.destroy()
    prepared = recovery.prepare(platform.policy())

    def switch(system, *args):
        raise PointCorrupt("a frame is gone", system="online-store")

    meddle(prepared, "online-store", switch=switch)
    with pytest.raises(LoadFailed, match="a frame is gone; begun before: switch:online-store"):
        recovery.restore(prepared)
    assert not newest(platform).over
    said = platform.run("restore", "--give-up", "--yes").stdout
    assert "what it loaded is removed; done or begun before, and as that left it: switch:online-store" in said


def test_where_the_policy_asks_for_it_a_second_person_approves_the_very_plan(platform, tmp_path):
    key = new_key()
    (tmp_path / "ada.pem").write_text(key)
    approval = f"recovery: {{approval: {{keys: {{ada: '{public_text(public_of(key))}'}}}}}}\n"
    platform.write_policy(more=approval)
    platform.run("backup")
    expected = platform.contents()
    platform.destroy()
    plan, signed = tmp_path / "p.json", tmp_path / "p.json.approval"
    assert "nobody has" in platform.run("restore", "--yes", code=4).stderr
    platform.run("plan", "--out", str(plan))
    assert "nobody has" in platform.run("restore", "--plan", str(plan), "--yes", code=4).stderr
    environment, platform.environment = platform.environment, {}  # who approves holds no secret of the platform
    said = platform.run("approve", str(plan), "--key", str(tmp_path / "ada.pem"), "--as", "ada", "--yes")
    assert "load mlflow-db" in said.stderr
    platform.environment = environment
    only = platform.run("restore", "--system", "online-store", "--approve", str(signed), "--yes", code=4)
    assert "another plan" in only.stderr
    assert databases(platform) == set()
    done = platform.json(
        "restore", "--plan", str(plan), "--approve", str(signed), "--yes", "--lost-at", "2h", "--detected-at", "1h"
    )
    assert platform.contents() == expected
    phases = {phase["name"]: phase for phase in done["phases"]}
    assert 3500 < phases["detect"]["seconds"] < 3700
    assert 3500 < phases["decide"]["seconds"] < 3900
    assert 0 < phases["decide"]["people_seconds"] < 300
    assert platform.json("recovery", "show")["approved_by"] == ["ada"]


KILLED = """
import os, signal, sys
from pathlib import Path
from drkeeper import recovery
from drkeeper.plan import Choice
from drkeeper.policy import load_policy

name, verb = sys.argv[2:]
prepared = recovery.prepare(load_policy(Path(sys.argv[1])), choice=Choice(overwrite=True))
system = prepared.systems[name]

class Killed:
    def __getattr__(self, wanted):
        inner = getattr(system, wanted)
        def act(*args):
            if wanted != verb:
                return inner(*args)
            if verb in ("load", "switch"):
                inner(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        return act if wanted in ("load", "switch", "facts") else inner

prepared.systems[name] = Killed()
recovery.restore(prepared)
"""


def test_killed_in_any_phase_a_restore_is_resumed_to_the_same_end(platform):
    platform.write_policy(lease=f"{LEASE_SECONDS}s")
    platform.fill(rows=2000)
    platform.run("backup")
    expected = platform.contents()
    for verb, name, last_begun in (
        ("load", "online-store", "load:"),
        ("switch", "online-store", "switch:online-store"),
        ("switch", "mlflow-db", "switch:mlflow-db"),
        ("facts", "mlflow-db", "verify:"),
    ):
        platform.fill(seed=99, rows=1000)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(platform.policy_file), name, verb],
            env={**os.environ, **platform.environment},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert killed.returncode == -9, killed.stderr.decode()
        journal = newest(platform)
        assert not journal.over
        assert any(step.startswith(last_begun) for step in journal.started - set(journal.done)), (verb, name)
        time.sleep(LEASE_SECONDS + 0.2)
        outcome = recovery.resume(platform.policy())
        assert platform.contents() == expected, (verb, name)
        assert {phase.name for phase in outcome.phases if phase.people_seconds} == (
            {"verify"} if verb == "facts" else {"restore"}
        ), "the time in which it lay broken is time of people"
