"""Scenarios on real servers: the plan that is shown, every reason against it, and the way back to its end."""

import json
import shutil
import time
from datetime import timedelta

import pyrage
import pytest

from drkeeper import actions, catalog, clock, preparing
from drkeeper.catalog import Proof
from drkeeper.plan import Choice
from drkeeper.scenario_plan import ScenarioRefused
from drkeeper.wiring import create_vault, open_vault


def let_a_second_pass():
    """Records are named after whole seconds."""
    time.sleep(1.05)


def test_a_database_that_is_wrong_since_a_moment_comes_back_from_before_it_and_nothing_else_is_touched(platform):
    good = actions.back_up(platform.policy()).point
    (sales, _) = platform.contents()
    let_a_second_pass()
    since = clock.now()
    with platform.connect() as shop:
        shop.execute("UPDATE sale SET note = 'wrong'")
    platform.cache().hset("customer:new", mapping={"spent": 1})
    actions.back_up(platform.policy())

    words = ("--scenario", "database-corrupted", "--before", since.isoformat())
    plan = platform.json("plan", *words)
    assert (plan["point_id"], plan["targets"][0]["system"], plan["overwrite"]) == (good.point_id, "mlflow-db", True)
    assert plan["steps"][0]["verb"] == "undo"
    said = platform.run("restore", *words, "--yes")
    assert "facts hold" in said.stdout
    assert platform.contents()[0] == sales
    assert platform.cache().exists("customer:new"), "the online store was not gone, and is as it was"
    undo = [each for each in catalog.list_points(open_vault(platform.policy())).points if each.purpose == "undo"]
    assert [each.systems[0].name for each in undo] == ["mlflow-db"]


def test_the_point_is_the_newest_one_that_no_verification_found_failing(platform):
    older = actions.back_up(platform.policy()).point
    let_a_second_pass()
    newer = actions.back_up(platform.policy()).point
    vault = open_vault(platform.policy())
    catalog.record_proof(vault, Proof(point_id=newer.point_id, level="intact", verdict="failed", at=clock.now()))
    prepared = preparing.prepare_scenario(platform.policy(), "database-corrupted")
    assert prepared.plan.point_id == older.point_id
    assert f"passed over: {newer.point_id} (a verification failed: intact)" in prepared.plan.point_why
    assert "say it with --before" in prepared.plan.point_why
    with pytest.raises(ScenarioRefused, match="hold no point of before"):
        preparing.prepare_scenario(platform.policy(), "database-corrupted", before=older.as_of - timedelta(seconds=5))


def test_a_lost_region_is_never_asked_and_the_platform_comes_back_from_the_one_that_is_left(platform):
    actions.back_up(platform.policy())
    before = platform.contents()
    refused = platform.run("plan", "--scenario", "region-lost", code=4)
    assert "mlflow-db, online-store already hold data" in refused.stderr
    assert "restore elsewhere" in refused.stderr
    shutil.rmtree(platform.folder / "vault/here")
    platform.destroy()
    saved = platform.folder / "plan.json"
    tree = platform.run("plan", "--scenario", "region-lost", "-o", "tree", "--out", str(saved)).stdout
    assert "- switch mlflow-db" in tree
    outcome = platform.json("restore", "--plan", str(saved), "--yes")
    assert {step["outcome"] for step in outcome["steps"]} == {"done"}
    assert platform.contents() == before
    assert not (platform.folder / "vault/here").exists()


def test_every_reason_is_told_at_once_and_nothing_is_changed(platform):
    actions.back_up(platform.policy())
    before = platform.contents()
    platform.write_policy(postgres_port=1)
    shutil.rmtree(platform.folder / "vault/there")
    with pytest.raises(ScenarioRefused) as refusal:
        preparing.prepare_scenario(platform.policy(), "everything-lost")
    assert "mlflow-db does not come back" in str(refusal.value)
    assert "port 1 failed" in str(refusal.value)
    assert "online-store already holds data" in str(refusal.value)
    partly = preparing.prepare_scenario(
        platform.policy(), "everything-lost", choice=Choice(overwrite=True, allow_partial=True)
    )
    assert [target.system for target in partly.plan.targets] == ["online-store"]
    assert "port 1 failed" in partly.plan.left_out["mlflow-db"]
    platform.write_policy()
    assert platform.contents() == before


def test_without_the_key_a_plan_is_refused_and_with_that_of_another_recipient_everything_comes_back(platform):
    spare = pyrage.x25519.Identity.generate()
    platform.recipient = f"{platform.recipient}, {spare.to_public()}"
    shutil.rmtree(platform.folder / "vault")
    platform.write_policy()
    create_vault(platform.policy())
    actions.back_up(platform.policy())
    before = platform.contents()
    platform.destroy()
    refused = platform.run("plan", "--scenario", "key-lost", code=4).stderr
    assert "no identity that opens the vault is there; without it nothing comes back" in refused
    assert "scenarios: {key-lost: {identity: ${file:PATH}}}" in refused

    (platform.folder / "spare.txt").write_text(f"{spare}\n")
    platform.write_policy(more="scenarios: {key-lost: {identity: '${file:spare.txt}'}}")
    platform.environment["AGE_IDENTITY"] = str(pyrage.x25519.Identity.generate())
    platform.run("restore", "--scenario", "key-lost", "--yes")
    assert platform.contents() == before


def test_scenarios_are_listed_with_what_brings_them_back_and_no_endpoint_is_asked(platform):
    actions.back_up(platform.policy())
    platform.write_policy(postgres_port=1, more="scenarios: {mine: {title: the shop is gone, systems: [mlflow-db]}}")
    rows = {row["name"]: row for row in json.loads(platform.run("scenarios", "-o", "json").stdout)}
    assert rows["mine"]["systems"] == ["mlflow-db"]
    assert rows["region-lost"]["regions"] == ["here"]
    assert rows["everything-lost"]["ways"] == {"online-store": "restore elsewhere", "mlflow-db": "restore elsewhere"}
    assert not rows["namespace-deleted"]["fits"]
    assert "no identity" in rows["key-lost"]["refused"]
    table = platform.run("scenarios").stdout
    assert "namespace-deleted" not in table
    assert "database-corrupted" in table
