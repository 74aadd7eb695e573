"""Each command, on a vault of two regions and systems that are files: what it prints, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from drkeeper.facts import Check


def test_a_backup_says_what_it_took_and_where_it_lies(cli):
    backed = cli.json("backup")
    assert (backed["partial"], backed["durable"], backed["state"]) == (False, True, "complete")
    assert backed["regions"] == ["here", "there"]
    assert [system["name"] for system in backed["systems"]] == ["first", "second"]
    assert backed["size_bytes"] == 13_000
    assert backed["lacking"] == {}


def test_a_backup_reads_well(cli):
    said = cli.run("backup", "-q")
    assert "complete" in said.out
    assert "SYSTEM  KIND  STATUS    AS OF" in said.out
    assert said.err == ""


def test_progress_goes_to_stderr_as_json_lines(cli):
    events = [json.loads(line) for line in cli.run("backup").err.splitlines()]
    ended = {event["task"]: event["outcome"] for event in events if event.get("event") == "end"}
    assert "done" in ended.values()
    assert any("first" in task for task in ended)


def test_a_dry_run_shows_the_order_and_takes_nothing(cli):
    rows = cli.json("backup", "--dry-run", "--rate", "2MB/s")
    assert [(row["order"], row["system"]) for row in rows] == [(1, "first"), (2, "second")]
    assert {row["rate_bytes_per_second"] for row in rows} == {2_000_000}
    assert cli.json("points") == []


def test_one_failed_system_is_exit_code_3_and_is_named(cli):
    cli.lose("second")
    said = cli.run("backup", "-o", "json", code=3)
    assert json.loads(said.out)["partial"] is True
    assert json.loads(said.err.splitlines()[-1])["exit_code"] == 3
    assert "second failed: no data in second" in said.err
    assert cli.json("points")[0]["state"] == "partial"


def test_a_system_that_the_policy_does_not_have_is_usage(cli):
    assert "no system third in policy files" in cli.run("backup", "--system", "third", code=2).err


def test_one_system_alone_can_be_backed_up(cli):
    assert cli.json("backup", "--system", "second")["system_names"] == ["second"]


# --- points ----------------------------------------------------------------------------------------------


def test_points_are_listed_oldest_first_in_every_form(cli):
    ids = [cli.json("backup")["point_id"] for _ in range(2)]
    assert [row["point_id"] for row in cli.json("points")] == ids
    assert [row["point_id"] for row in cli.json("points", "list")] == ids
    assert [row["point_id"] for row in YAML(typ="safe").load(cli.run("points", "-o", "yaml").out)] == ids
    table = cli.run("points").out.splitlines()
    assert table[0].split()[:5] == ["ID", "CREATED", "AGE", "STATE", "SIZE"]
    assert [line.split()[0] for line in table[1:]] == ids
    wide = cli.run("points", "-o", "wide").out
    assert "here, there" in wide
    assert "first, second" in wide


def test_a_point_is_shown_by_the_beginning_of_its_id(cli):
    point_id = cli.json("backup")["point_id"]
    shown = cli.json("points", "show", point_id[:6])
    assert shown["point_id"] == point_id
    assert shown["freeze_order"] == ["first", "second"]
    assert shown["systems"][0]["facts"]["exact"] == {"size": 6000}
    assert shown["proofs"] == []
    assert point_id in cli.run("points", "show").out


def test_an_unknown_point_is_usage_with_a_hint(cli):
    cli.run("backup")
    said = cli.run("points", "show", "zzzz", code=2)
    assert "no recovery point zzzz" in said.err
    assert "hint:" in said.err


def test_a_pinned_point_is_not_forgotten_until_it_is_unpinned(cli):
    point_id = cli.json("backup")["point_id"]
    cli.run("points", "pin", "latest", "--reason", "before the migration")
    [row] = cli.json("points")
    assert (row["pinned"], row["pin_reason"]) == (True, "before the migration")
    assert "is pinned; nothing was changed" in cli.run("points", "forget", point_id, "--yes", code=4).err
    cli.run("points", "unpin", point_id)
    assert cli.json("points")[0]["pinned"] is False
    assert "give --yes" in cli.run("points", "forget", point_id, code=4).err
    assert len(cli.json("points")) == 1
    cli.run("points", "forget", point_id, "--yes")
    assert cli.json("points") == []
    assert not list((cli.folder / "here/points").glob("*.json"))
    assert not list((cli.folder / "there/points").glob("*.json"))


def test_a_damaged_record_is_a_warning_and_hides_no_other(cli):
    for _ in range(2):
        cli.run("backup")
    victim = min((cli.folder / "here/points").glob("*.json"))
    for region in ("here", "there"):
        (cli.folder / region / "points" / victim.name).write_text("{}")
    said = cli.run("points", "-o", "json")
    assert len(json.loads(said.out)) == 1
    assert "warning:" in said.err
    assert victim.name in said.err


def test_ids_complete_from_the_vault(cli):
    point_id = cli.json("backup")["point_id"]
    words = {
        "_DRKEEPER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"drkeeper --policy {cli.policy_file} plan ",
        "COMP_CWORD": "4",
    }
    shown = subprocess.run(
        [sys.executable, "-m", "drkeeper"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.stdout.split() == ["plain,latest", f"plain,{point_id}"]


# --- verify ----------------------------------------------------------------------------------------------


def frames(cli, region="here"):
    return [file for file in (cli.folder / region / "frames").rglob("*") if file.is_file()]


def test_verify_raises_the_level_and_a_missing_frame_lowers_it(cli):
    cli.run("backup")
    [proof] = cli.json("verify", "--level", "intact")
    assert (proof["level"], proof["verdict"]) == ("intact", "passed")
    assert cli.json("points")[0]["proof"] == "intact"
    victim = frames(cli)[0]
    victim.unlink()
    said = cli.run("verify", code=5)
    assert victim.name.split(".")[0] in said.out
    assert "1 of 1 points did not pass" in said.err
    row = cli.json("points")[0]
    assert row["proof"] is None
    assert row["failed_proof"]["level"] == "stored"


def test_a_region_that_could_not_be_checked_is_told_and_the_level_is_held_in_the_other(cli):
    cli.run("backup")
    (cli.folder / "there").rename(cli.folder / "away")
    said = cli.run("verify", "--level", "intact", code=5)
    assert "here, there: not checked" in said.out
    assert "not every point could be checked in every region" in said.err
    (cli.folder / "away").rename(cli.folder / "there")
    assert "intact (1 of 2 regions)" in cli.run("points").out
    row = cli.json("points")[0]
    assert (row["proof"], row["proof_regions"]) == ("intact", ["here"])
    [proof] = cli.json("verify", "--level", "intact")
    assert proof["verdicts"] == {"here": "passed", "there": "passed"}
    assert "intact (" not in cli.run("points").out


def test_all_points_are_verified_with_a_sample_that_can_be_repeated(cli):
    for _ in range(2):
        cli.run("backup")
    proofs = cli.json("verify", "--all", "--level", "intact", "--sample", "50%", "--seed", "7")
    assert [(proof["sample"], proof["seed"]) for proof in proofs] == [(0.5, 7)] * 2


@pytest.mark.parametrize(
    "words", [("latest", "--all"), ("--sample", "0%"), ("--sample", "200%"), ("--level", "usable")]
)
def test_a_verify_that_makes_no_sense_is_usage(cli, words):
    cli.run("verify", *words, code=2)


# --- plan and restore ------------------------------------------------------------------------------------


def test_what_was_lost_comes_back(cli):
    cli.run("backup")
    before = cli.data("first"), cli.data("second")
    cli.lose()
    said = cli.run("restore", "--yes", "-o", "json")
    done = json.loads(said.out)
    assert {step["outcome"] for step in done["steps"]} == {"done"}
    assert {check["verdict"] for check in done["checks"]} == {"passed"}
    assert (cli.data("first"), cli.data("second")) == before
    assert "load first" in said.err


def test_a_restore_reads_well(cli):
    cli.run("backup")
    cli.lose()
    said = cli.run("restore", "-y", "-q")
    assert "4 of 4 facts hold" in said.out
    assert said.err == ""


def test_data_that_are_there_are_not_replaced_unless_told(cli):
    cli.run("backup")
    (cli.folder / "first/data").write_text("newer")
    assert "--overwrite" in cli.run("restore", "--yes", code=4).err
    assert cli.data("first") == "newer"
    cli.run("restore", "--yes", "--overwrite")
    assert cli.data("first").startswith("first ")
    assert [row["purpose"] for row in cli.json("points")] == ["backup", "undo"]


def test_facts_that_do_not_hold_after_a_restore_are_exit_code_5(cli):
    cli.run("backup")
    cli.lose()
    (cli.folder / "first/wrong").touch()
    said = cli.run("restore", "--yes", code=5)
    assert "expected 6000, found -1" in said.err
    assert "failed" in said.out


def test_a_plan_is_shown_saved_and_carried_out(cli, tmp_path):
    point_id = cli.json("backup")["point_id"]
    cli.lose()
    file = tmp_path / "p.json"
    shown = cli.json("plan", "latest", "--out", str(file))
    assert shown["point_id"] == json.loads(file.read_text())["point_id"] == point_id
    assert "load first" in cli.run("plan").out
    assert not (cli.folder / "first/data").exists()
    cli.run("restore", "--plan", str(file), "--yes")
    assert cli.data("first").startswith("first ")


def test_a_plan_that_cannot_be_written_says_so(cli):
    cli.run("backup")
    cli.lose()
    assert "cannot be written to" in cli.run("plan", "--out", "/no/such/folder/p.json", code=4).err


@pytest.mark.parametrize(
    "words",
    [
        ("latest", "--resume"),
        ("--plan", "p.json", "--overwrite"),
        ("--resume", "--give-up"),
        ("--plan", "x", "--resume"),
    ],
)
def test_a_restore_that_makes_no_sense_is_usage(cli, words):
    cli.run("restore", *words, "--yes", code=2)


def test_a_restore_that_broke_is_resumed_or_given_up(cli):
    cli.run("backup")
    before = cli.data("first")
    cli.lose()
    cli.run("restore", "--yes")
    earlier = [entry for region in ("here", "there") for entry in (cli.folder / region).glob("journals/*/000001.json")]
    assert earlier
    for entry in earlier:
        entry.write_text("damaged")  # which is no reason not to go on with another one
    cli.lose()
    (cli.folder / "first/full").touch()
    said = cli.run("restore", "--yes", code=1)
    assert "the disk is full" in said.err
    assert "--resume" in said.err
    assert not (cli.folder / "first/data").exists()

    assert "give --yes" in cli.run("restore", "--give-up", code=4).err
    (cli.folder / "first/full").unlink()
    cli.run("restore", "--resume", "--yes")
    assert cli.data("first") == before
    assert "no restore was left unfinished" in cli.run("restore", "--resume", "--yes", code=2).err


def test_a_restore_that_is_given_up_leaves_nothing(cli):
    cli.run("backup")
    cli.lose()
    (cli.folder / "first/full").touch()
    cli.run("restore", "--yes", code=1)
    assert "nothing of it is left" in cli.run("restore", "--give-up", "--yes").out
    assert [file.name for file in (cli.folder / "second").iterdir()] == []


# --- beat, check, prune, drill, run ----------------------------------------------------------------------


def test_heartbeats_count_up(cli):
    cli.run("beat")
    assert {(row["system"], row["sequence"]) for row in cli.json("beat")} == {("first", 2), ("second", 2)}


def test_a_system_that_takes_no_heartbeat_is_exit_code_3(cli):
    cli.lose("second")
    (cli.folder / "second").rmdir()
    assert "no folder second" in cli.run("beat", code=3).err
    assert (cli.folder / "first/beat").exists()


def test_check_shows_every_probe_and_what_failed_first(cli):
    rows = cli.json("check")
    assert {row["verdict"] for row in rows} == {"passed"}
    assert {"vault.here", "vault.there"} <= {row["subject"] for row in rows}
    cli.lose("second")
    (cli.folder / "second").rmdir()
    said = cli.run("check", code=5)
    assert said.out.splitlines()[1].split()[:2] == ["failed", "second.folder"]
    assert "make it" in said.out
    assert "1 of 4 checks failed: second.folder" in said.err


def test_prune_shows_asks_and_keeps_what_retention_wants(cli):
    cli.write_policy("retention: {keep_last: 1}\n")
    ids = [cli.json("backup")["point_id"] for _ in range(3)]
    plan = cli.json("prune", "--dry-run")
    assert [(row["point_id"], row["keep"]) for row in plan["points"]] == [
        (ids[0], False),
        (ids[1], False),
        (ids[2], True),
    ]
    assert plan["dry_run"] is True
    assert "give --yes" in cli.run("prune", code=4).err
    assert len(cli.json("points")) == 3
    cli.run("prune", "--grace", "0s", "--yes")
    assert [row["point_id"] for row in cli.json("points")] == ids[2:]
    cli.lose()
    cli.run("restore", "--yes")


def test_without_retention_every_point_stays(cli):
    for _ in range(2):
        cli.run("backup")
    cli.run("prune", "--grace", "0s")
    assert len(cli.json("points")) == 2


def test_a_drill_that_cannot_be_done_writes_its_report_and_fails(cli, tmp_path):
    cli.run("backup")
    folder = tmp_path / "deep/reports"
    said = cli.run("drill", "--report-dir", str(folder), code=1)
    assert "there is no sandbox for systems of kind file" in said.err
    assert sorted(file.suffix for file in folder.iterdir()) == [".html", ".json", ".md"]
    assert re.search(r"^Outcome +restore failed$", said.out, re.MULTILINE)
    assert re.search(r"^RTO +not measured", said.out, re.MULTILINE)
    assert cli.json("drill", code=1)["error"]


def test_reports_go_to_a_folder_that_can_be_made_or_nothing_is_done(cli):
    cli.run("backup")
    assert "cannot be made" in cli.run("drill", "--report-dir", f"{cli.policy_file}/x", code=2).err


def test_a_daemon_without_schedules_has_nothing_to_do(cli):
    assert "schedules nothing" in cli.run("run", code=2).err


def test_a_daemon_runs_until_sigterm(cli):
    cli.write_policy("schedules: {backup: '0 2 1 1 *'}\n")
    command = [sys.executable, "-m", "drkeeper", "--policy", str(cli.policy_file), "run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert "job scheduled" in line, line
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 0, rest
        assert "scheduler stopped" in rest


def test_a_lease_that_is_held_is_exit_code_11_and_can_be_waited_for(cli):
    from drkeeper.lease import WRITE, hold
    from drkeeper.policy import load_policy
    from drkeeper.wiring import open_vault

    vault = open_vault(load_policy(cli.policy_file))
    with hold(vault.primary, WRITE, ttl_seconds=5, holder="somebody else"):
        assert "somebody else" in cli.run("backup", code=11).err
        cli.run("prune", "--wait", "0.2s", "--yes", code=11)
    cli.run("backup", "--wait", "5s")


@pytest.mark.parametrize("words", [("points",), ("backup",), ("verify",), ("prune", "--yes")])
def test_without_a_vault_every_command_says_how_to_make_one(cli, words):
    import shutil

    for region in ("here", "there"):
        shutil.rmtree(cli.folder / region)
    assert "drkeeper init" in cli.run(*words, code=10).err


# --- systems that can do more ------------------------------------------------------------------------------


def notice(cli, severity):
    check = Check(subject="part", verdict="failed", severity=severity, detail="it was not read", remedy="allow it")
    (cli.folder / "first" / "noticed").write_text(check.model_dump_json())


def test_what_was_noticed_while_capturing_is_shown_and_kept(cli):
    notice(cli, "warning")
    said = cli.run("backup", "-q")
    assert "first.part" in said.out
    assert "allow it" in said.out
    assert "first.part" in cli.run("points", "show", "latest").out
    assert cli.json("points")[0]["state"] == "complete"


def test_a_part_that_was_not_read_makes_the_point_partial_and_is_named(cli):
    notice(cli, "error")
    said = cli.run("backup", "-q", code=3)
    assert "first is partial: part: it was not read" in said.err
    assert cli.json("points")[0]["state"] == "partial"
    cli.lose()
    assert "partial: first partial" in cli.run("restore", "--yes", cli.json("points")[0]["point_id"], code=4).err
    assert cli.json("restore", "--yes", "--allow-partial")["checks"]


def test_what_a_restore_leaves_held_is_released_at_its_end_or_by_hand(cli):
    cli.run("backup", "-q")
    for name in ("kept", "released"):
        cli.lose()
        (cli.folder / "first" / "hold").touch()
        flags = ["--keep-held"] if name == "kept" else []
        steps = cli.json("restore", "--yes", *flags)["steps"]
        assert ("release first" in [step["name"] for step in steps]) is (name == "released")
        assert (cli.folder / "first" / "hold").exists() is (name == "kept")
        if name == "kept":
            assert {row["system"] for row in cli.json("release", "--yes")} == {"first", "second"}
            assert not (cli.folder / "first" / "hold").exists()


def test_a_saved_plan_that_keeps_things_held_keeps_them_held(cli, tmp_path):
    cli.run("backup", "-q")
    cli.lose()
    (cli.folder / "first" / "hold").touch()
    cli.run("plan", "--keep-held", "--out", str(tmp_path / "p.json"))
    cli.run("restore", "--plan", str(tmp_path / "p.json"), "--yes")
    assert (cli.folder / "first" / "hold").exists()


def test_a_system_compares_more_than_facts_after_a_restore(cli):
    cli.run("backup", "-q")
    cli.lose()
    assert "first.bytes" in {check["subject"] for check in cli.json("restore", "--yes")["checks"]}


def test_a_plan_shows_what_a_system_says_it_would_change(cli):
    cli.run("backup", "-q")
    cli.lose()
    assert cli.run("plan", "--diff").out.splitlines() == ["-0", "+6000", "-0", "+7000"]


def test_new_ids_stand_beside_former_ones(cli):
    cli.run("backup", "-q")
    assert cli.json("ids")[0] == {"system": "first", "former": "1", "present": "2", "path": "data"}


def test_what_could_not_be_sent_is_sent_before_the_next_backup_and_once_only(cli):
    first = cli.folder / "first"
    for marker in ("send", "away"):
        (first / marker).touch()
    cli.run("backup", "-q")
    cli.run("backup", "-q")
    assert not (first / "sent").exists()
    delivered = cli.json("replicate")["delivered"]
    assert [each["error"] for each in delivered] == ["the other side is away"]
    (first / "away").unlink()
    sent = cli.json("replicate")["delivered"]
    assert [(each["system"], each["outcome"]) for each in sent] == [("first", "sent")] * 2
    (first / "send").unlink()
    cli.run("backup", "-q")
    assert (first / "sent").read_bytes().split() == [b"first"] * 2
    assert cli.json("replicate")["delivered"] == []


def test_a_region_that_was_away_gets_its_points_by_replicate(cli):
    there = cli.folder / "there"
    there.rename(cli.folder / "elsewhere")
    there.write_text("in the way")
    cli.run("backup", "-q", code=3)
    there.unlink()
    (cli.folder / "elsewhere").rename(there)
    brought = cli.json("replicate")["regions"]
    assert [(each["region"], len(each["points"]), each["error"]) for each in brought] == [("there", 1, "")]
    assert cli.json("points")[0]["durable"] is True
