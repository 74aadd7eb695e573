"""People recover by hand on empty servers while the clock runs; neither production nor the vault is touched."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from drkeeper.policy import load_policy

WRITTEN_OUTSIDE = ("audit/", "drills/", "proofs/", "evidence/")
"""What a game day adds to the real vault: that it took place, and what it showed."""


@dataclass
class Game:
    """A game day that runs, and the policy that people work with."""

    process: subprocess.Popen
    environment: dict
    policy_file: Path

    def drkeeper(self, *words, code=0):
        """What one of the people types, in another terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "drkeeper", *words],
            env={**self.environment, "DRKEEPER_POLICY": str(self.policy_file)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def say(self, *lines):
        for line in lines:
            self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self, code=0):
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == code, out + err
        return json.loads(out)


@pytest.fixture
def sit_down(platform):
    """Start a game day of a scenario."""
    started = []

    def sit_down(scenario):
        environment = {**os.environ, **platform.environment}
        words = ("--participant", "A", "--participant", "B", "-o", "json")
        process = subprocess.Popen(
            platform.command("drill", "game-day", "--scenario", scenario, *words),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        said = ""
        while "export DRKEEPER_POLICY=" not in said:
            said = process.stderr.readline()
            assert said, "it ended before it began"
        return Game(process, environment, Path(said.strip().partition("=")[2]))

    yield sit_down
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def stored(platform):
    """What the real vault holds, less what says that a game day took place."""
    vault = platform.folder / "vault"
    files = (file.relative_to(vault) for file in vault.rglob("*") if file.is_file())
    return {str(file) for file in files if not str(file).partition("/")[2].startswith(WRITTEN_OUTSIDE)}


def test_people_bring_the_platform_back_and_the_clock_and_the_checks_are_drkeepers(platform, sit_down):
    platform.run("beat")
    platform.run("backup")
    before, vault = platform.contents(), stored(platform)
    game = sit_down("everything-lost")
    game.say("the pager rang", "", "", "")
    assert "mlflow-db" in game.drkeeper("runbook", "show", "everything-lost")
    game.drkeeper("restore", "--scenario", "everything-lost", "--yes")
    game.drkeeper("backup")  # a slip that would matter in the real vault
    game.say("", "a backup was taken by mistake", "", "")
    record = game.end()
    assert (record["exercise"], record["scenario_name"]) == ("game day", "everything-lost")
    assert record["participants"] == ["A", "B"]
    assert record["error"] == ""
    assert {check["verdict"] for check in record["checks"]} == {"passed"}
    assert {system["newest_beat"]["sequence"] for system in record["systems"]} == {1}
    phases = {phase["name"]: phase for phase in record["phases"]}
    assert phases["detect"]["note"] == "the pager rang"
    assert sum(phase["seconds"] for phase in phases.values()) == pytest.approx(record["rto_seconds"], abs=0.01)
    restore = phases["restore"]
    assert 0 < restore["people_seconds"] < restore["seconds"], "what the machine did is no waiting for people"
    assert any(step["verb"] == "switch" and step["outcome"] == "done" for step in record["steps"])
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    assert list((platform.folder / "sandbox").iterdir()) == []
    assert (platform.contents(), stored(platform)) == (before, vault)
    assert platform.json("points")[-1]["proof"] == "restorable"
    assert [row["exercise"] for row in platform.json("drill", "list", "--all")] == ["game day"]


def test_what_people_forget_is_found_and_giving_up_is_a_failed_exercise(platform, sit_down):
    platform.run("backup")
    game = sit_down("region-lost")
    policy = load_policy(game.policy_file, game.environment)
    assert not policy.vault.regions["here"].local_folder.exists(), "the region is as gone as after a disaster"
    assert game.drkeeper("points")
    options = policy.systems["mlflow-db"].options
    with psycopg.connect(
        host=options.host, port=options.port, user=options.user, password=options.password.get_secret_value(),
        dbname="postgres", autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute("CREATE DATABASE shop")  # by hand, and nothing in it
    game.say("", "", "", "", "we could not find the dump", "give up")
    record = game.end(code=5)
    assert record["rto_seconds"] is None
    assert "'verify'" in record["error"]
    assert record["phases"][-1]["note"] == "we could not find the dump"
    assert "failed" in {check["verdict"] for check in record["checks"]}
    assert record["retest_by"]
    standing = {row["scenario"]: row["state"] for row in platform.json("drill", "list", code=5)}
    assert standing["region-lost"] == "red"
