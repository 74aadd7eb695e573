"""Scenarios are drilled, drawn, due and red: with a kind whose sandbox is a folder, so that each drill is a moment."""

import json
import threading
import time
from datetime import UTC, datetime

import pytest
from click.shell_completion import ShellComplete

from drkeeper.cli.root import root
from drkeeper.cli.settings import Settings
from drkeeper.errors import Interrupted
from drkeeper.jobs import jobs
from drkeeper.policy import load_policy
from drkeeper.throttle import current_stop


def spoil(cli, *regions):
    """Delete what the vault holds in these regions; records stay."""
    struck = 0
    for region in regions:
        for frame in (cli.folder / region / "frames").rglob("*.zst"):
            frame.unlink()
            struck += 1
    assert struck


def back_up_in_a_later_second(cli):
    """Records are named after the second of their time, and the newest is looked for by name."""
    now = datetime.now(UTC)
    time.sleep(1 - now.microsecond / 1e6)
    return cli.json("backup")["point_id"]


def standing(cli, code=0):
    return {row["scenario"]: row for row in cli.json("drill", "list", code=code)}


def test_a_drill_is_run_by_each_way_of_saying_so(drills):
    point_id = drills.json("points")[0]["point_id"]
    for words in (
        ("drill",),
        ("drill", point_id[:6]),
        ("drill", "run", point_id),
        ("drill", "--policy", str(drills.policy_file), "--quiet", point_id),
        ("drill", "-o", "wide"),
    ):
        drills.run(*words)
    assert {row["point_id"] for row in drills.json("drill", "list", "--all")} == {point_id}
    assert len(drills.json("drill", "--policy", str(drills.policy_file), "list", "--all")) == 5


def test_a_drill_record_names_what_an_auditor_asks_for(drills):
    drills.write_policy("drills: {lead: a.lead, observers: [b.observer], every: 30d}\nobjectives: {rto: 1h}\n")
    record = drills.json("drill", "run", "--scenario", "everything-lost")
    assert (record["lead"], record["observers"]) == ("a.lead", ["b.observer"])
    assert "processors" in record["environment"]
    assert record["assumptions"]
    assert "RTO within 1 h" in record["expected"]
    assert len(record["plan_digest"]) == 64
    assert [phase["name"] for phase in record["phases"]] == [
        "detect",
        "decide",
        "provision",
        "restore",
        "verify",
        "serve",
    ]
    known = {phase["name"]: phase["seconds"] for phase in record["phases"]}
    assert (known["detect"], known["serve"]) == (None, None)
    assert known["provision"] + known["restore"] + known["verify"] == pytest.approx(record["rto_seconds"], abs=0.01)
    assert record["next_due_at"] > record["ended_at"]
    assert "retest_by" not in record
    assert record["audit_head"].split()[0].isdigit()


def test_a_lost_region_is_not_read(drills):
    drills.run("replicate")
    spoil(drills, "there")
    drills.run("drill")
    failed = drills.json("drill", "run", "--scenario", "region-lost", code=1)
    assert failed["point"]["regions"] == ["there"]
    assert "missing" in failed["error"]
    spoil(drills, "here")
    drills.run("drill", code=1)


def test_what_is_left_of_the_vault_is_enough(drills):
    drills.run("replicate")
    spoil(drills, "here")
    record = drills.json("drill", "run", "--scenario", "region-lost")
    assert any("here is gone" in each for each in record["assumptions"])
    assert drills.json("points")[0]["proof_regions"] == ["there"]


def test_only_what_the_scenario_takes_away_is_restored_and_proves_nothing_of_the_rest(drills):
    drills.write_policy("scenarios: {half: {title: the first is gone, systems: [first], rto: 2h}}\n")
    record = drills.json("drill", "run", "--scenario", "half")
    assert [system["name"] for system in record["systems"]] == ["first"]
    assert record["scenario"] == "the first is gone"
    assert record["objectives"]["rto_seconds"] == 7200
    assert any(each.startswith("second is there") for each in record["assumptions"])
    [point] = drills.json("points")
    assert (point["proof"], point["failed_proof"]) == (None, None)


def test_a_scenario_that_nothing_comes_back_from_is_a_failed_drill_with_a_record(drills):
    drills.write_policy("scenarios: {none-left: {like: region-lost, regions: [here, there]}}\n")
    record = drills.json("drill", "run", "--scenario", "none-left", code=1)
    assert "no region of the vault is left" in record["error"]
    assert record["retest_by"] > record["ended_at"]
    assert drills.json("points")[0]["failed_proof"] is None


def test_a_region_that_is_left_without_the_point_brings_nothing_back(drills):
    for record in (drills.folder / "there/points").iterdir():
        record.unlink()
    record = drills.json("drill", "run", "--scenario", "region-lost", code=1)
    assert "nothing can come back" in record["error"]
    assert record["point"]["regions"] == ["here"]


def test_a_corrupt_point_is_answered_by_the_one_before_it_and_the_drill_stays_red(drills):
    [first] = drills.json("points")
    for name in ("first", "second"):
        (drills.folder / name / "data").write_bytes(bytes(range(256)) * 5000)
    before = set((drills.folder / "here/frames").rglob("*.zst"))
    newest = back_up_in_a_later_second(drills)
    added = set((drills.folder / "here/frames").rglob("*.zst")) - before
    assert added
    for region in ("here", "there"):
        for file in added:
            (drills.folder / region / file.relative_to(drills.folder / "here")).unlink()
    record = drills.json("drill", "run", "--scenario", "everything-lost", code=5)
    assert record["point"]["point_id"] == first["point_id"]
    assert [fell["point_id"] for fell in record["fell_back"]] == [newest]
    assert record["error"] == ""
    assert any(step["verb"] == "give up" for step in record["steps"])
    assert {check["verdict"] for check in record["checks"]} == {"passed"}
    points = {row["point_id"]: row for row in drills.json("points")}
    assert points[newest]["failed_proof"]["level"] in {"stored", "intact"}
    assert points[first["point_id"]]["proof"] == "restorable"
    assert standing(drills, code=5)["everything-lost"]["state"] == "red"


def test_without_an_earlier_point_to_take_a_corrupt_one_is_a_failed_restore(drills):
    drills.write_policy("recovery: {fall_back: 0}\n")
    drills.run("backup")
    spoil(drills, "here", "there")
    record = drills.json("drill", code=1)
    assert record["error"]
    assert "fell_back" not in record


def test_a_failed_drill_stays_red_until_it_was_repeated(drills):
    drills.run("drill", "run", "--scenario", "region-lost")
    (drills.folder / "first/wrong").touch()  # of production: no drill looks there
    drills.run("drill", "run", "--scenario", "region-lost")
    assert standing(drills)["region-lost"]["state"] == "well"
    drills.write_policy("objectives: {rpo: 1h}\n")
    drills.run("drill", "run", "--scenario", "region-lost", code=6)
    drills.write_policy()
    drills.run("drill", "run", "--scenario", "everything-lost")
    red = standing(drills, code=5)
    assert {name: row["state"] for name, row in red.items()} == {"region-lost": "red", "everything-lost": "well"}
    said = drills.run("drill", "list", code=5)
    assert "drkeeper drill run --scenario region-lost" in said.err
    drills.run("drill", "run", "--scenario", "region-lost")
    assert {row["state"] for row in standing(drills).values()} == {"well"}


def test_a_drill_record_that_is_damaged_keeps_no_other_from_being_kept_or_listed(drills):
    drills.run("drill")
    records = [record for region in ("here", "there") for record in (drills.folder / region / "drills").glob("*.json")]
    assert records
    for record in records:
        record.write_text("damaged")
    drills.run("drill", "run", "--scenario", "region-lost")
    assert standing(drills)["region-lost"]["state"] == "well"


def test_a_scenario_that_was_not_drilled_for_too_long_is_due(drills):
    drills.write_policy("drills: {every: 1s, scenarios: [region-lost]}\n")
    drills.run("drill", "run", "--scenario", "region-lost")
    time.sleep(1.1)
    assert standing(drills, code=6)["region-lost"]["state"] == "due"


def test_what_is_due_is_drilled_and_what_is_red_first(drills):
    def due(code=0):
        return [record["scenario_name"] for record in drills.json("drill", "due", code=code)]

    both = "drills: {scenarios: [everything-lost, region-lost]%s}\n"
    drills.write_policy(both % "")
    assert due() == ["everything-lost", "region-lost"]
    assert due() == ["everything-lost"], "nothing is due, and each run drills"
    drills.write_policy(both % "" + "objectives: {rpo: 1h}\n")
    drills.run("drill", "run", "--scenario", "everything-lost", code=6)
    drills.write_policy(both % ", surprise: true")
    [record] = drills.json("drill", "due")
    assert (record["scenario_name"], record["seed"] is None) == ("everything-lost", False)
    drills.write_policy(both % ", every: 1s")
    time.sleep(1)
    folder = drills.folder / "reports"
    said = drills.run("drill", "due", "--report-dir", str(folder))
    assert said.out.count("Outcome ") == 2
    assert len(list(folder.glob("*.html"))) == 2


def test_the_scheduled_drill_is_what_is_due(drills):
    drills.write_policy("drills: {scenarios: [region-lost]}\nschedules: {drill: '0 3 1 */3 *'}\n")
    jobs(load_policy(drills.policy_file))["drill"].action(threading.Event())
    [row] = drills.json("drill", "list", "--all")
    assert (row["scenario"], row["trigger"]) == ("region-lost", "schedule")


def test_a_surprise_keeps_its_seed_and_is_drawn_again_by_it(drills):
    for _ in range(3):
        drills.run("backup")
    record = drills.json("drill", "run", "--surprise")
    again = drills.json("drill", "run", "--seed", str(record["seed"]))
    for key in ("scenario_name", "seed"):
        assert again[key] == record[key]
    assert again["point"]["point_id"] == record["point"]["point_id"]
    drawn = [drills.json("drill", "run", "--seed", str(seed)) for seed in range(6)]
    assert len({each["point"]["point_id"] for each in drawn}) > 1
    assert len({each["scenario_name"] for each in drawn}) > 1


def test_a_drawn_point_is_lost_as_the_next_one_is_about_to_be_taken(drills):
    [first] = drills.json("points")
    back_up_in_a_later_second(drills)
    second = drills.json("points")[-1]
    records = (drills.json("drill", "run", "--seed", str(seed)) for seed in range(50))
    record = next(record for record in records if record["point"]["point_id"] == first["point_id"])
    assert record["disaster_at"] == second["created_at"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenario", "region-los"), "did you mean region-lost"),
        (("--scenario", "database-corrupted"), "does not fit the policy"),
        (("--scenario", "key-lost"), "not encrypted"),
        (("latest", "--seed", "x"), "not a valid"),
        (("--surprise", "--before", "1h"), "a surprise draws the recovery point"),
        (("--scenario", "region-lost", "--before", "2020-01-01"), "2020-01-01"),
        (("--before", "yesterday"), "how long ago"),
    ],
)
def test_what_cannot_be_drilled_is_refused_before_anything_is_started(drills, words, said):
    ended = drills.run("drill", "run", *words, code=2)
    assert said in ended.err
    assert drills.json("drill", "list", "--all") == []


def test_before_takes_the_newest_point_of_before_that_moment(drills):
    [first] = drills.json("points")
    back_up_in_a_later_second(drills)
    moment = drills.json("points")[-1]["created_at"]
    for words in (("--scenario", "everything-lost"), ()):
        record = drills.json("drill", "run", *words, "--before", moment)
        assert record["point"]["point_id"] == first["point_id"]
        assert record["disaster_at"] == moment


def test_one_drill_is_shown_again_in_each_form(drills):
    record = drills.json("drill")
    assert json.loads(drills.run("drill", "show", "latest", "-o", "json").out) == record
    assert "recovered" in drills.run("drill", "show", record["drill_id"][:4]).out
    assert drills.run("drill", "show", "-o", "md").out.startswith("# ")
    page = drills.folder / "drill.html"
    drills.run("drill", "show", "-o", "html", "--out", str(page))
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "no drills answer to zz" in drills.run("drill", "show", "zz", code=2).err


def test_a_step_that_hangs_is_ended_as_in_production_and_the_record_says_so(drills, monkeypatch):
    import drkeeper_file

    drills.write_policy("recovery: {step_timeout: 1s}\n")
    struck = threading.Event()

    def hang(system, record, streams, staging):
        del system, record, streams, staging
        struck.set()
        current_stop().wait(60)
        raise Interrupted("told to end")

    monkeypatch.setattr(drkeeper_file.FileSystem, "load", hang)
    record = drills.json("drill", code=1)
    assert struck.is_set()
    assert "longer than" in record["error"]
    assert {step["outcome"] for step in record["steps"] if step["verb"] == "switch"} == {"not run"}
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    proofs = [
        file for region in ("here", "there") for file in (drills.folder / region / "proofs").rglob("*restorable*")
    ]
    assert not proofs, "a machine that was too slow is no reason to pass the point over in an emergency"


def test_a_shell_completes_commands_points_and_scenarios(drills, monkeypatch):
    [point] = drills.json("points")
    [record] = [drills.json("drill")]

    def offered(*words):
        monkeypatch.setenv("DRKEEPER_POLICY", str(drills.policy_file))
        completing = ShellComplete(root(), {"obj": Settings()}, "drkeeper", "_DRKEEPER_COMPLETE")
        return {item.value for item in completing.get_completions(list(words[:-1]), words[-1])}

    assert {"run", "due", "list", "show", "game-day", "latest", point["point_id"]} <= offered("drill", "")
    assert offered("drill", "li") == {"list"}
    assert offered("drill", "show", record["drill_id"][:3]) == {record["drill_id"]}
    assert "region-lost" in offered("drill", "run", "--scenario", "region")
    assert "region-lost" in offered("drill", "game-day", "--scenario", "region")
