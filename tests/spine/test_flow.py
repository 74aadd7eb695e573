"""The whole flow, as an operator runs it: backup, disaster, plan, restore, verify, drill."""

import json
import shutil
from datetime import timedelta

import pytest

from drkeeper import catalog
from drkeeper.actions import history
from drkeeper.wiring import open_vault


def newest(platform):
    return platform.json("points")[-1]


def test_a_platform_comes_back_after_its_data_are_gone(platform):
    platform.run("beat")
    before = platform.contents()
    backed = platform.json("backup")
    assert backed["partial"] is False
    platform.destroy()
    restored = platform.json("restore", "--yes")
    assert platform.contents() == before
    assert {check["verdict"] for check in restored["checks"]} == {"passed"}
    assert [step["outcome"] for step in restored["steps"]] == ["done"] * len(restored["steps"])
    learned = history(open_vault(platform.policy()))
    took = sorted((step["kind"], step["verb"], step["elapsed_seconds"]) for step in restored["steps"])
    assert sorted((run.kind, run.verb, run.elapsed_seconds) for run in learned) == took
    assert [run.count >= 20_000 for run in learned if (run.kind, run.verb) == ("postgres", "verify")] == [True], "rows"


def test_systems_are_frozen_in_reference_order_whatever_the_policy_lists_first(platform):
    platform.run("backup")
    shown = platform.json("points", "show", "latest")
    assert shown["freeze_order"] == ["mlflow-db", "online-store"]
    moments = {system["name"]: system["as_of"] for system in shown["systems"]}
    assert moments["mlflow-db"] <= moments["online-store"]
    assert 0 <= shown["skew_seconds"] < 10


def test_the_second_backup_of_unchanged_data_stores_nearly_nothing(platform):
    with platform.connect() as shop:  # enough for some frames: pg_dump writes the time into the first one
        shop.execute("INSERT INTO sale (note) SELECT md5(n::text) FROM generate_series(1, 300000) n")
    first = platform.json("backup")
    second = platform.json("backup")
    assert 0 < second["stored_bytes"] < first["stored_bytes"] / 4


def test_a_restore_over_data_is_refused_and_changes_nothing(platform):
    platform.run("backup")
    platform.fill(seed=2)
    before = platform.contents()
    refused = platform.run("restore", "--yes", code=4)
    assert "already hold data; nothing was changed" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert platform.contents() == before
    assert len(platform.json("points")) == 1


def test_without_a_terminal_and_without_yes_a_restore_is_refused(platform):
    platform.run("backup")
    platform.destroy()
    refused = platform.run("restore", code=4)
    assert "--yes" in refused.stderr
    with platform.connect("postgres") as admin:
        assert admin.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'shop%'").fetchone() == (0,)


def test_overwriting_takes_an_undo_point_that_brings_the_old_data_back(platform):
    first = platform.contents()
    platform.run("backup")
    platform.fill(seed=2)
    second = platform.contents()
    platform.run("restore", "--overwrite", "--yes")
    assert platform.contents() == first
    undo = [point for point in platform.json("points") if point["purpose"] == "undo"]
    assert len(undo) == 1
    platform.run("restore", undo[0]["point_id"], "--overwrite", "--yes")
    assert platform.contents() == second


def test_one_failed_system_makes_a_partial_point_that_latest_never_means(platform):
    complete = platform.json("backup")
    platform.write_policy(postgres_port=1)
    partial = platform.json("backup", code=3)
    assert partial["partial"] is True
    assert {system["name"]: system["status"] for system in partial["systems"]} == {
        "mlflow-db": "failed",
        "online-store": "complete",
    }
    platform.write_policy()
    platform.destroy()
    assert platform.json("plan")["point_id"] == complete["point_id"]
    refused = platform.run("restore", partial["point_id"], "--yes", code=4)
    assert "partial" in refused.stderr
    platform.run("restore", partial["point_id"], "--system", "online-store", "--yes")
    assert platform.cache().hget("customer:7", "spent") == b"7"


def test_when_every_system_fails_there_is_no_point(platform):
    platform.write_policy(postgres_port=1)
    failed = platform.run("backup", "--system", "mlflow-db", code=1)
    assert "nothing was committed" in failed.stderr
    assert platform.json("points") == []


def test_a_saved_plan_is_carried_out_as_it_was_shown(platform, tmp_path):
    before = platform.contents()
    platform.run("backup")
    platform.destroy()
    file = tmp_path / "plan.json"
    platform.run("plan", "--out", str(file))
    saved = json.loads(file.read_text())
    restored = platform.json("restore", "--plan", str(file), "--yes")
    assert len(restored["steps"]) == len(saved["steps"])
    assert platform.contents() == before


def test_a_saved_plan_is_refused_when_the_world_has_changed(platform, tmp_path):
    platform.run("backup")
    platform.destroy()
    file = tmp_path / "plan.json"
    platform.run("plan", "--out", str(file))
    platform.fill(seed=3)
    before = platform.contents()
    refused = platform.run("restore", "--plan", str(file), "--yes", code=4)
    assert "nothing was changed" in refused.stderr
    assert platform.contents() == before


def test_the_point_lies_in_both_regions_and_either_one_restores_alone(platform):
    before = platform.contents()
    point = platform.json("backup")
    assert sorted(point["regions"]) == ["here", "there"]
    platform.destroy()
    shutil.rmtree(platform.folder / "vault/here")
    platform.run("restore", "--yes")
    assert platform.contents() == before


def test_verify_proves_the_point_and_points_shows_it(platform):
    platform.run("backup")
    platform.run("verify", "latest", "--level", "intact")
    assert newest(platform)["proof"] == "intact"


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_damage_in_the_vault_is_found_named_and_healed_from_the_other_region(platform, damage):
    before = platform.contents()
    platform.run("backup")
    platform.run("verify", "latest", "--level", "intact")
    victim = max((platform.folder / "vault/here/frames").rglob("*.age"), key=lambda file: file.stat().st_size)
    if damage == "flip":
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(bytes(data))
    else:
        victim.unlink()
    found = platform.run("verify", "latest", "--level", "intact", code=5)
    assert victim.name.split(".")[0][:12] in found.stdout + found.stderr
    assert newest(platform)["proof"] != "intact"
    mended = platform.run("verify", "latest", "--level", "intact", "--heal")
    assert "copied back from a region that has it whole" in mended.stderr
    assert newest(platform)["proof"] == "intact"
    shutil.rmtree(platform.folder / "vault/there")
    platform.destroy()
    platform.run("restore", "--yes")
    assert platform.contents() == before


def largest_frame_of_all_points(platform):
    """The first frame of a dump carries its time; this is one that the next dump has too."""
    vault = open_vault(platform.policy())
    frames = [
        {
            span.frame_id
            for system in point.systems
            for stream in system.streams
            for span in vault.frames_of(stream.ref.index_id)
        }
        for point in catalog.list_points(vault).points
    ]
    files = list((platform.folder / "vault/here/frames").rglob("*.age"))
    common = [file for file in files if file.name.split(".")[0] in set.intersection(*frames)]
    return max(common, key=lambda file: file.stat().st_size).name


def test_a_frame_that_no_region_has_whole_is_stored_anew_by_the_next_backup(platform):
    with platform.connect() as shop:  # enough for frames that the next dump has too
        shop.execute("INSERT INTO sale (note) SELECT md5(n::text) FROM generate_series(1, 300000) n")
    before = platform.contents()
    platform.run("backup")
    platform.run("backup")
    victim = largest_frame_of_all_points(platform)
    for region in ("here", "there"):
        file = next((platform.folder / "vault" / region / "frames").rglob(victim))
        file.write_bytes(file.read_bytes()[:-1])
    lost = platform.run("verify", "latest", "--level", "intact", "--heal", code=5)
    assert "no region has it whole" in lost.stderr
    assert not any((platform.folder / "vault").rglob(victim))
    platform.run("backup")
    assert len(list((platform.folder / "vault").rglob(victim))) == 2
    platform.run("verify", "latest", "--level", "intact")
    platform.destroy()
    platform.run("restore", "--yes")
    assert platform.contents() == before


def test_prune_keeps_what_retention_wants_and_the_rest_goes(platform):
    for _ in range(5):
        platform.run("backup")
    shown = platform.json("prune", "--dry-run", "--grace", "0s")
    assert len(platform.json("points")) == 5
    platform.run("prune", "--grace", "0s", "--yes")
    left = platform.json("points")
    assert 3 <= len(left) <= 4
    assert shown
    platform.destroy()
    platform.run("restore", "--yes")


def test_a_missing_identity_is_said_with_its_own_exit_code(platform):
    platform.run("backup")
    platform.destroy()
    file = platform.policy_file
    file.write_text(file.read_text().replace("    identity: ${env:AGE_IDENTITY}\n", ""))
    refused = platform.run("restore", "--yes", code=12)
    assert "identity" in refused.stderr


def test_no_secret_is_in_any_output(platform):
    secrets = [platform.environment[name] for name in ("DB_PASSWORD", "REDIS_PASSWORD", "AGE_IDENTITY")]
    outputs = [
        platform.run(*words)
        for words in (
            ("check",),
            ("beat",),
            ("policy", "show"),
            ("backup", "--verbose"),
            ("points", "-o", "yaml"),
            ("drill",),
        )
    ]
    for done in outputs:
        assert not [secret for secret in secrets if secret in done.stdout + done.stderr]
    stored = b"".join(file.read_bytes() for file in (platform.folder / "vault").rglob("*") if file.is_file())
    assert not [secret for secret in secrets if secret.encode() in stored]


def test_of_two_points_of_one_second_the_later_one_is_the_latest(platform):
    """Names of records tell seconds only."""
    point = catalog.find_point(open_vault(platform.policy()), platform.json("backup")["point_id"])
    vault = open_vault(platform.policy())
    second = point.created_at.replace(microsecond=0)
    for point_id, microsecond in (("ffffffffffff", 1), ("aaaaaaaaaaaa", 900_000), ("cccccccccccc", 500_000)):
        moment = second + timedelta(days=1, microseconds=microsecond)
        twin = point.model_copy(update={"point_id": point_id, "created_at": moment})
        assert vault.create_record(catalog.key_of(twin), twin)
    assert catalog.find_point(vault, "latest").point_id == "aaaaaaaaaaaa"
