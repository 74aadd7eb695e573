"""`drkeeper report` and `drkeeper findings`, over a vault of files."""

import hashlib
import json
import re
import shlex
import subprocess
from datetime import UTC, datetime

import pytest

from drkeeper.facts import Check
from drkeeper.quarter import Quarter
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.vault.records import pack, unpack

NOW = Quarter.of(datetime.now(UTC)).name
BEFORE = Quarter.of(datetime.now(UTC)).previous.name


def test_what_a_drill_finds_is_a_finding_that_people_answer_for(cli):
    cli.write_policy("drills: {lead: Ines Marthaler, finding_due: 10d}\n")
    cli.run("backup")
    cli.run("drill", code=1)
    [found] = [row for row in cli.json("findings") if row["subject"] == "scenario everything-lost: restore"]
    assert (found["state"], found["owner"], found["seen"]) == ("open", "Ines Marthaler", 1)
    assert "there is no sandbox" in cli.json("findings", "show", found["finding_id"][:5])["detail"]
    cli.run("findings", "assign", found["finding_id"], "--to", "R. Okafor", "--due", "2031-01-01")
    assert "R. Okafor" in cli.run("findings").out
    assert "2031-01-01" in cli.run("findings").out
    assert (
        "in the past" in cli.run("findings", "accept", found["finding_id"], "--until", "1d", "--why", "x", code=2).err
    )
    cli.run("findings", "close", found["finding_id"], "--why", "a sandbox comes")
    assert found["finding_id"] not in cli.run("findings").out
    assert found["finding_id"] in cli.run("findings", "list", "--all").out
    cli.run("drill", code=1)
    again = cli.json("findings", "show", found["finding_id"])
    assert (again["state"], again["returned"], again["seen"]) == ("open", 1, 2)
    commands = [row["command"] for row in cli.json("audit", "list")]
    assert {"findings assign", "findings close"} <= set(commands)
    report = cli.run("report").out
    assert "scenario everything-lost: restore" in report
    assert "Failed and not repeated with success: everything-lost." in report


def test_a_damaged_frame_is_a_finding_until_it_is_mended(cli):
    point_id = cli.json("backup")["point_id"]
    frame = next((cli.folder / "here/frames").rglob("*.zst"))
    frame.write_bytes(b"rot" + frame.read_bytes()[3:])
    cli.run("verify", "latest", "--level", "intact", code=5)
    [found] = cli.json("findings")
    assert found["subject"] == f"recovery point {point_id}: intact"
    cli.run("verify", "latest", "--level", "intact", "--heal")
    assert cli.json("findings") == []
    [closed] = cli.json("findings", "list", "--all")
    assert (closed["state"], closed["closed_by"].split()[:2]) == ("closed", ["verify", "intact"])


def test_a_quarter_is_reported_in_every_form_and_its_digest_can_be_computed_again(cli):
    cli.write_policy("schedules: {backup: '* * * * *'}\nobjectives: {rto: 4h, rpo: 24h}\n")
    cli.run("backup")
    cli.run("verify", "latest", "--level", "intact")
    out = cli.folder / "out"
    said = cli.run("report", "--quarter", NOW, "--out", str(out))
    files = sorted(file.name for file in out.iterdir())
    assert files == [f"quarter-files-{NOW}.{form}" for form in ("html", "json", "md", "pdf")]
    assert said.out.count("report: ") == 4
    assert (out / files[3]).read_bytes().startswith(b"%PDF-1.")
    page = (out / files[0]).read_text()
    digest = hashlib.sha256((out / files[1]).read_bytes().rstrip(b"\n")).hexdigest()
    assert digest in page
    assert digest in (out / files[2]).read_text()
    line = re.search(r"^    (python3 -c .*)$", (out / files[2]).read_text(), re.MULTILINE)[1]
    computed = subprocess.run(["sh", "-c", line], cwd=out, capture_output=True, text=True, timeout=30, check=True)
    assert computed.stdout.strip() == digest
    assert shlex.split(line)[-1] == files[1]
    record = json.loads((out / files[1]).read_bytes())
    assert (record["backups"]["made"], record["newest_level"]) == (1, "intact")
    assert record["audit"]["links"] >= 4
    assert [system["name"] for system in record["systems"] if system["teeth"]] == ["second", "first"]


def test_a_record_that_is_kept_is_named_by_the_next_quarters(cli):
    cli.run("backup")
    kept = cli.run("report", "--quarter", "previous", "-o", "json", "--keep").out
    record = json.loads(cli.run("report", "-o", "json").out)
    assert record["previous_digest"] == hashlib.sha256(kept.encode().rstrip(b"\n")).hexdigest()
    assert list((cli.folder / "here/reports/files").glob(f"{BEFORE}-*.json"))
    assert cli.json("audit", "list")[-1]["command"] == "report"


def test_what_another_policy_keeps_in_the_same_vault_is_not_counted(cli):
    own = cli.json("backup")["point_id"]
    for region in ("here", "there"):  # as of a time when a vault could be of two policies
        (kept,) = (cli.folder / region / "points").iterdir()
        hash_key = bytes.fromhex(json.loads((cli.folder / region / "vault.json").read_text())["record"]["hash_key"])
        theirs, _ = unpack(kept.read_bytes(), RecoveryPoint, hash_key, "")
        theirs = theirs.model_copy(update={"policy": "others", "point_id": "0" * 12})
        kept.with_name(kept.name.replace(own, theirs.point_id)).write_bytes(pack(theirs, hash_key))
    cli.run("points", "pin", theirs.point_id, "--reason", "theirs")
    cli.run("verify", theirs.point_id)
    record = json.loads(cli.run("report", "-o", "json").out)
    assert (record["points"]["kept"], record["points"]["pinned"], record["points"]["newest_id"]) == (1, 0, own)
    assert record["points"]["copies"] == {"here": 1, "there": 1}
    assert sum(line["passed"] for line in record["proofs"]) == 0


def test_a_backup_of_one_system_is_none_of_the_platform(cli):
    cli.run("backup", "--system", "first")
    cli.run("backup", "--system", "first", "--system", "second")
    assert [row["detail"].get("selected") for row in cli.json("audit", "list") if row["command"] == "backup"] == [
        "first", None,
    ]  # fmt: skip
    assert json.loads(cli.run("report", "-o", "json").out)["backups"]["tried"] == 1


def test_a_link_that_was_cut_out_of_the_audit_log_is_in_the_report(cli):
    for _ in range(2):
        cli.run("backup")
    link = sorted(file.name for file in (cli.folder / "here/audit").iterdir())[2]
    for region in ("here", "there"):
        (cli.folder / region / "audit" / link).unlink(missing_ok=True)
    said = cli.run("report").out
    assert "The audit log does not hold together" in said
    assert json.loads(cli.run("report", "-o", "json").out)["audit"]["verdict"] == "failed"


@pytest.mark.parametrize(("severity", "verdict"), [("warning", "passed"), ("error", "failed")])
def test_what_audit_verify_only_warns_of_breaks_no_report(cli, monkeypatch, severity, verdict):
    cli.run("backup")
    odd = Check(subject="audit.3", verdict="failed", severity=severity, detail="the log went on in here alone")
    whole = Check(subject="audit.chain", verdict="passed", detail="4 links")
    monkeypatch.setattr("drkeeper.audit.verify_chain", lambda *_: [whole, odd])
    found = json.loads(cli.run("report", "-o", "json").out)["audit"]
    assert (found["verdict"], found["detail"].partition(";")[0]) == (verdict, odd.detail)


def test_what_cannot_be_reported_is_said_before_anything_is_written(cli):
    assert "is no quarter" in cli.run("report", "--quarter", "2026Q9", code=2).err
    assert "has not begun" in cli.run("report", "--quarter", "2099Q1", code=2).err
    assert "name one with --out" in cli.run("report", "-o", "md", "-o", "html", code=2).err
    assert "cannot be written" in cli.run("report", "-o", "md", "--out", f"{cli.policy_file}/x", code=1).err
    assert "no finding abc" in cli.run("findings", "show", "abc", code=2).err
    assert "nothing to say" in cli.run("findings", "assign", "abc", code=2).err


def test_the_report_is_made_from_the_region_that_is_left(cli):
    cli.run("backup")
    before = json.loads(cli.run("report", "-o", "json").out)
    (cli.folder / "here").rename(cli.folder / "gone")
    after = json.loads(cli.run("report", "-o", "json").out)
    assert after["points"]["kept"] == before["points"]["kept"] == 1
    assert after["points"]["copies"] == {"here": 0, "there": 1}
    assert after["audit"]["verdict"] == "not checked"
    assert "region here is away" in after["audit"]["detail"]
