"""A drill measures, proves, cleans up, and cannot touch production."""

import base64
import json
from pathlib import Path


def drill(platform, *words, code=0):
    reports = platform.folder / "reports"
    platform.run("drill", "--report-dir", str(reports), *words, code=code)
    return json.loads(next(iter(reports.glob("*.json"))).read_text())


def processes():
    return {entry.name for entry in Path("/proc").glob("[0-9]*") if "sandbox" in _command(entry)}


def _command(entry):
    try:
        return (entry / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_a_drill_measures_rto_and_rpo_from_data_and_leaves_nothing(platform):
    platform.run("beat")
    platform.run("backup")
    before = platform.contents()
    record = drill(platform)
    assert record["error"] == ""
    assert {check["verdict"] for check in record["checks"]} == {"passed"}
    assert len(record["checks"]) > 5
    assert 0 < record["rto_seconds"] < 3600
    assert record["rto_forecast"]["basis"] == "no history"
    for system in record["systems"]:
        assert system["newest_beat"]["sequence"] == 1
        assert 0 < system["rpo_seconds"] < 600
    assert record["rpo_seconds"] == max(system["rpo_seconds"] for system in record["systems"])
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    assert list((platform.folder / "sandbox").iterdir()) == []
    assert platform.contents() == before
    files = {file.suffix for file in (platform.folder / "reports").iterdir()}
    assert files == {".json", ".md", ".html"}
    row = platform.json("points")[-1]
    assert (row["proof"], row["proof_regions"]) == ("restorable", ["here"])


def test_the_second_drill_forecasts_from_the_first_and_is_signed_after_it(platform):
    platform.run("key", "new", "--out", str(platform.folder / "evidence.pem"))
    platform.write_policy(more=f"evidence: {{key: '${{file:{platform.folder}/evidence.pem}}'}}\n")
    platform.run("beat")
    platform.run("backup")
    before = platform.json("drill")
    platform.run("drill", "--report-dir", str(platform.folder / "reports"))
    (page,), (envelope,) = ((platform.folder / "reports").glob(each) for each in ("*.html", "*.dsse.json"))
    found = platform.json("drill", "verify", str(page), "--key", str(platform.folder / "evidence.pem.pub"))
    verdicts = {check["subject"]: check["verdict"] for check in found["checks"]}
    assert [verdicts[each] for each in ("signature", "record.digest", "page")] == ["passed"] * 3
    signed = json.loads(base64.b64decode(json.loads(envelope.read_bytes())["payload"]))
    assert signed["predicate"]["previous"]["drill_id"] == before["drill_id"]
    assert {check["verdict"] for check in platform.json("audit", "verify")} == {"passed"}
    record = found["record"]
    assert record["rto_forecast"]["basis"] == "1 earlier run"
    assert (
        max(system["rto_forecast"]["p50_seconds"] for system in record["systems"])
        <= record["rto_forecast"]["p50_seconds"]
    )
    assert record["rto_seconds"] < record["rto_forecast"]["p90_seconds"]


def test_a_missed_objective_ends_with_its_own_exit_code(platform):
    platform.write_policy(rpo="1s")
    platform.run("beat")
    platform.run("backup")
    import time

    time.sleep(1.5)
    drill(platform, code=6)


def test_an_objective_that_cannot_be_measured_is_not_met(platform):
    platform.run("backup")
    record = drill(platform, code=6)
    assert record["rpo_seconds"] is None
    assert "no heartbeat" in record["systems"][0]["rpo_note"]


def test_a_drill_of_a_damaged_point_says_so_and_cleans_up(platform):
    platform.run("beat")
    platform.run("backup")
    for region in ("here", "there"):
        for frame in (platform.folder / "vault" / region / "frames").rglob("*.age"):
            frame.unlink()
    record = drill(platform, code=1)
    assert record["error"]
    assert record["rto_seconds"] is None
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    assert platform.json("points")[-1]["proof"] != "restorable"
