"""The audit log and signed drills, as an operator and an auditor meet them."""

import json
import threading

import pytest

from drkeeper.cli.root import run
from drkeeper.jobs import jobs
from drkeeper.policy import load_policy


def logged(cli, *words):
    """Command and outcome of what the log holds, in its order."""
    return [(row["command"], row["outcome"]) for row in cli.json("audit", "list", *words)]


@pytest.fixture
def signing(drills):
    """A policy that signs its drills; the public key in a file."""
    drills.run("key", "new", "--out", str(drills.folder / "evidence.pem"))
    drills.write_policy(f"evidence: {{key: '${{file:{drills.folder}/evidence.pem}}'}}\nobjectives: {{rto: 1h}}\n")
    drills.public = drills.folder / "evidence.pem.pub"
    return drills


def drilled(cli, folder):
    """Run a drill; its report's folder holds nothing else."""
    cli.run("drill", "--report-dir", str(folder))
    return next(folder.glob("*.html")), next(folder.glob("*.dsse.json"))


def test_every_command_that_changes_something_is_in_the_log(drills):
    point_id = drills.json("points")[0]["point_id"]
    drills.run("verify")
    drills.run("points", "pin", point_id, "--reason", "before the migration")
    drills.run("points", "unpin", point_id)
    drills.run("replicate")
    drills.run("drill")
    (drills.folder / "first/data").write_text("another one")
    drills.run("backup")
    drills.run("points", "forget", point_id, "--yes")
    drills.run("prune", "--grace", "0s", "--yes")
    drills.run("release", "--yes")
    drills.lose()
    drills.run("restore", "--yes")
    drills.run("restore", "--yes", code=4)
    drills.run("restore", "--overwrite", "--yes")
    drills.run("beat")
    drills.run("plan", "--overwrite")
    drills.run("points")
    assert logged(drills) == [
        ("init", "ok"),
        ("backup", "ok"),
        ("verify", "ok"),
        ("points pin", "ok"),
        ("points unpin", "ok"),
        ("replicate", "ok"),
        ("drill", "ok"),
        ("backup", "ok"),
        ("points forget", "ok"),
        ("prune", "ok"),
        ("release", "ok"),
        ("restore", "ok"),
        ("restore", "ok"),
        ("backup", "ok"),
    ]
    restore, undo = drills.json("audit", "list")[-2:]
    assert (undo["detail"]["purpose"], undo["detail"]["status.first"]) == ("undo", "complete")
    shown = drills.json("audit", "show", restore["run"][:6])
    assert [link["event"] for link in shown["links"]] == ["began", "ended"]
    assert shown["detail"]["systems"].split() == ["first", "second"]
    assert "restore" in drills.run("audit", "show", restore["run"]).out
    assert {check["verdict"] for check in drills.json("audit", "verify")} == {"passed"}


def test_what_goes_wrong_is_in_the_log_with_its_exit_code(cli):
    cli.lose("second")
    cli.run("backup", code=3)
    row = cli.json("audit", "list", "--command", "backup")[0]
    assert (row["outcome"], row["exit_code"]) == ("failed", 3)
    assert (row["detail"]["partial"], row["detail"]["status.second"]) == (True, "failed")
    assert row["trigger"] == "manual"


def test_what_the_daemon_does_is_in_the_log_as_scheduled(cli):
    cli.write_policy("schedules: {backup: '0 2 * * *', prune: '0 5 * * *', verify: '0 4 * * *'}\n")
    work = jobs(load_policy(cli.policy_file))
    for name in ("backup", "verify", "prune"):
        work[name].action(threading.Event())
    rows = cli.json("audit", "list")[1:]
    assert [(row["command"], row["trigger"]) for row in rows] == [
        ("backup", "schedule"),
        ("verify", "schedule"),
        ("prune", "schedule"),
    ]


def test_a_removed_link_is_found(cli):
    cli.run("backup")
    for region in ("here", "there"):
        (cli.folder / region / "audit/00000003-here.json").unlink()
    said = cli.run("audit", "verify", code=5)
    assert "link 3 is in no region: cut out" in said.out


def test_an_auditor_verifies_a_report_without_vault_and_policy(signing, tmp_path, capfd, monkeypatch):
    page, envelope = drilled(signing, tmp_path / "reports")
    before, _ = page, envelope
    page, envelope = drilled(signing, tmp_path / "second")
    away = tmp_path / "auditor"
    away.mkdir()
    monkeypatch.chdir(away)
    key = signing.public.read_text()
    for file in (page, envelope):
        capfd.readouterr()
        assert run(["drill", "verify", str(file), "--key", key, "--previous", str(before), "-o", "json"]) == 0
        said = json.loads(capfd.readouterr().out)
        verdicts = {check["subject"]: check["verdict"] for check in said["checks"]}
        assert verdicts.pop("recovery point") == "not checked"
        assert set(verdicts.values()) == {"passed"}
        assert said["record"]["policy"] == "files"
    (changed := away / "changed.html").write_text(page.read_text().replace("1 h", "2 h"))
    assert run(["drill", "verify", str(changed), "--key", str(signing.public)]) == 5
    assert "differs from what the signed record says" in capfd.readouterr().err
    assert run(["drill", "verify", str(page)]) == 5
    assert "nothing is proven without the public key" in capfd.readouterr().err
    assert run(["drill", "verify", str(envelope), "--key", key, "--render", "true.html"]) == 0
    assert (away / "true.html").read_bytes() == page.read_bytes()


def test_a_wrong_key_and_a_broken_chain_end_with_5(signing, tmp_path):
    _, first = drilled(signing, tmp_path / "1")
    _, _ = drilled(signing, tmp_path / "2")
    _, third = drilled(signing, tmp_path / "3")
    signing.run("key", "new", "--out", str(tmp_path / "other.pem"))
    said = signing.run("drill", "verify", str(third), "--key", str(tmp_path / "other.pem.pub"), code=5)
    assert "the signature does not hold" in said.err
    said = signing.run("drill", "verify", str(third), "--previous", str(first), code=5)
    assert "it names evidence 2" in said.err


def test_the_key_of_the_policy_is_taken_where_none_is_given(signing, tmp_path):
    page, _ = drilled(signing, tmp_path / "reports")
    assert "passed" in signing.run("drill", "verify", str(page)).out
    assert signing.run("drill", "show", "-o", "html").out == page.read_text()


def test_whoever_cuts_the_end_of_everything_is_found_by_a_report_kept_elsewhere(signing, tmp_path):
    page, _ = drilled(signing, tmp_path / "reports")
    assert {check["verdict"] for check in signing.json("audit", "verify")} == {"passed"}
    for region in ("here", "there"):
        for part in ("evidence", "drills"):
            for file in (signing.folder / region / part).glob("*"):
                file.unlink()
        newest = sorted((signing.folder / region / "audit").iterdir())[-3:]
        for file in newest:
            file.unlink()
    signing.run("audit", "verify")
    said = signing.run("audit", "verify", "--evidence", str(page), code=5)
    assert "its end was cut off" in said.err


def test_without_a_key_the_report_says_that_it_is_not_signed(drills, tmp_path):
    drills.run("drill", "--report-dir", str(tmp_path / "reports"))
    assert sorted(file.suffix for file in (tmp_path / "reports").iterdir()) == [".html", ".json", ".md"]
    assert "Not signed" in next((tmp_path / "reports").glob("*.html")).read_text()


def test_a_key_that_cannot_sign_is_told_before_the_drill(drills):
    (drills.folder / "wrong.pem").write_text("no key\n")
    drills.write_policy(f"evidence: {{key: '${{file:{drills.folder}/wrong.pem}}'}}\n")
    assert "no private key in PEM" in drills.run("drill", code=2).err
    assert drills.json("drill", "list", "--all") == []
