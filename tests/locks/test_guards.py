"""Backups and restores take their turns among a registry's writers."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.feast_registry.examples import a_registry

import warm
from drkeeper import actions, carrying, catalog, recovery
from drkeeper.backup import Source, take_point
from drkeeper.cli.root import run
from drkeeper.errors import LeaseHeld, Refused
from drkeeper.feature_registry import parse
from drkeeper.lease import latest
from drkeeper.locks import hold_lock
from drkeeper.plan import Choice
from drkeeper.policy import load_policy
from drkeeper.progress import Silent
from drkeeper.restore import VaultStreams
from drkeeper.wiring import create_vault, guards, open_systems, open_vault

POLICY = """
version: 1
name: platform
systems:
  locked: {{kind: feast_registry, url: {folder}/locked.db, lock: writers, settle_seconds: 5}}
  other: {{kind: feast_registry, url: {folder}/other.db, settle_seconds: 5}}
vault:
  lease: 10s
  regions:
    here: {{url: {folder}/vault}}
"""


@pytest.fixture
def files(tmp_path):
    for name in ("locked", "other"):
        (tmp_path / f"{name}.db").write_bytes(a_registry("orders"))
    return tmp_path


@pytest.fixture
def policy(files):
    file = files / "drkeeper.yaml"
    file.write_text(POLICY.format(folder=files))
    return load_policy(file)


@pytest.fixture
def vault(policy):
    create_vault(policy)
    return open_vault(policy)


@pytest.fixture
def pool():
    with ThreadPoolExecutor() as running:
        yield running


def writer(vault, **more):
    return hold_lock(vault, "writers", ttl_seconds=30, holder="feast apply", **more)


def fields(data):
    return {feature.name for view in parse(data).message.feature_views for feature in view.spec.features}


def captured(vault, point, name):
    streams = VaultStreams(vault, point.system(name), Silent(), threading.Event())
    return b"".join(streams.read("registry.pb"))


def test_a_backup_waits_for_who_writes_and_has_what_was_written(policy, vault, files, pool):
    with writer(vault):
        backup = pool.submit(actions.back_up, policy)
        time.sleep(0.7)
        assert not backup.done()
        (files / "locked.db").write_bytes(a_registry("orders", "visits"))
    point = backup.result(timeout=20).point
    assert not point.partial
    assert fields(captured(vault, point, "locked")) == {"orders", "visits"}


def test_a_writer_that_does_not_end_costs_the_point_that_system_and_no_other(policy, vault, monkeypatch):
    monkeypatch.setattr(actions, "FREEZE_WAIT_SECONDS", 0.3)
    with writer(vault):
        point = actions.back_up(policy).point
    assert {system.name: system.status for system in point.systems} == {"locked": "failed", "other": "complete"}
    assert "feast apply holds the lease lock-writers since" in point.system("locked").error
    assert point.system("locked").as_of is None


def test_a_system_is_frozen_under_its_lock_and_streamed_without_it(policy, vault):
    seen = {}
    systems = open_systems(policy, ["locked"])
    system = systems["locked"]
    freeze = system.freeze

    def looking():
        seen["frozen"] = held(vault)
        return freeze()

    def witness(_views):
        seen["streamed"] = held(vault)
        return ()

    guard = guards(policy, vault, systems, wait_seconds=0)["locked"]
    with hold_lock(vault, "another", ttl_seconds=30), actions.hold(vault.primary) as lease, vault.writing(lease) as out:
        system.freeze = frozen_when_entered(looking)
        sources = {"locked": Source(system, guard=guard)}
        take_point(sources, policy="platform", writer=out, point_id="0" * 12, witness=witness)
    assert seen == {"frozen": True, "streamed": False}


class frozen_when_entered:  # noqa: N801 - stands in for a method
    """A freeze that looks around when it is entered, as real ones read then."""

    def __init__(self, freeze):
        self._freeze = freeze

    def __call__(self):
        return self

    def __enter__(self):
        self._frozen = self._freeze()
        return self._frozen.__enter__()

    def __exit__(self, *about):
        return self._frozen.__exit__(*about)


def held(vault):
    return latest(vault.primary, "lock-writers").held_until() is not None


def test_a_restore_waits_for_who_writes_and_its_undo_point_does_not_wait_for_itself(policy, vault, files, pool):
    point = actions.back_up(policy).point
    before = (files / "locked.db").read_bytes()
    (files / "locked.db").write_bytes(a_registry("visits"))
    prepared = recovery.prepare(policy, point.point_id, names=["locked"], choice=Choice(overwrite=True))
    restored = pool.submit(recovery.restore, prepared)
    restored.result(timeout=20)
    assert (files / "locked.db").read_bytes() == before
    undo = [each for each in catalog.list_points(vault).points if each.purpose == "undo"]
    assert fields(captured(vault, undo[0], "locked")) == {"visits"}

    (files / "locked.db").unlink()
    prepared = recovery.prepare(policy, point.point_id, names=["locked"])
    with writer(vault):
        restored = pool.submit(recovery.restore, prepared)
        time.sleep(0.7)
        assert not restored.done()
        assert not (files / "locked.db").exists()
    restored.result(timeout=20)
    assert (files / "locked.db").read_bytes() == before


def test_what_who_held_the_lock_put_into_an_empty_target_is_not_overwritten(policy, vault, files, pool):
    point = actions.back_up(policy).point
    (files / "locked.db").unlink()
    prepared = recovery.prepare(policy, point.point_id, names=["locked"])
    theirs = a_registry("visits")
    with writer(vault):
        restored = pool.submit(recovery.restore, prepared)
        time.sleep(0.5)
        (files / "locked.db").write_bytes(theirs)
    with pytest.raises(Refused, match="locked held nothing when this restore was planned"):
        restored.result(timeout=20)
    assert (files / "locked.db").read_bytes() == theirs


def test_a_restore_whose_turn_does_not_come_says_so_and_goes_on_when_it_is_resumed(policy, vault, files, monkeypatch):
    monkeypatch.setattr(carrying, "PATIENCE_SECONDS", -9.7)
    point = actions.back_up(policy).point
    before = (files / "locked.db").read_bytes()
    (files / "locked.db").unlink()
    prepared = recovery.prepare(policy, point.point_id, names=["locked"])
    with writer(vault):
        with pytest.raises(LeaseHeld, match="feast apply holds") as caught:
            recovery.restore(prepared)
        assert "restore --resume" in caught.value.hint
        assert not (files / "locked.db").exists()
    recovery.resume(policy)
    assert (files / "locked.db").read_bytes() == before


def drkeeper(files, *words):
    return warm.run(("--policy", files / "drkeeper.yaml", *words), env=dict(os.environ), timeout=60)


def test_a_backup_that_runs_under_the_lock_has_it_already(files, vault):
    inner = [sys.executable, "-m", "drkeeper", "--policy", str(files / "drkeeper.yaml"), "backup"]
    done = drkeeper(files, "lock", "writers", "--", *inner)
    assert done.returncode == 0, done.stderr


def test_the_word_of_a_holder_that_has_ended_counts_for_nothing(vault, monkeypatch):
    with writer(vault) as held:
        for name, value in held.environment.items():
            monkeypatch.setenv(name, value)
        with hold_lock(vault, "writers", ttl_seconds=30) as inherited:
            assert inherited.token == held.token
            inherited.check(remaining_seconds=10)
    with writer(vault) as anew:
        assert anew.token > held.token
        assert os.environ["DRKEEPER_FENCING_TOKEN"] == str(held.token)
        with pytest.raises(LeaseHeld), writer(vault):
            pass


def test_names_of_locks_complete_and_a_slip_is_noticed(files, vault):
    # The shell's words for completing the third one.
    environment = {"_DRKEEPER_COMPLETE": "bash_complete", "COMP_CWORD": "4"}
    words = f"drkeeper --policy {files / 'drkeeper.yaml'} lock w"
    asked = {**os.environ, **environment, "COMP_WORDS": words}
    shown = subprocess.run([sys.executable, "-m", "drkeeper"], env=asked, capture_output=True, text=True, check=False)
    assert "plain,writers" in shown.stdout
    done = drkeeper(files, "lock", "writer", "--", "true")
    assert done.returncode == 0
    assert '"did_you_mean": "writers"' in done.stderr
    assert drkeeper(files, "lock", "nightly", "--", "true").stderr == ""


def test_the_command_is_listed(capsys):
    assert run(["--help"]) == 0
    assert "lock " in capsys.readouterr().out
