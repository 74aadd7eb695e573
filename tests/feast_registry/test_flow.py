"""The whole way through the command line: backup, diff, loss, restore, drill."""

import json

import pytest
from tests.feast_registry.examples import UNTIL, a_registry

from drkeeper.cli.root import run

POLICY = """
version: 1
name: features
systems:
  feast-registry:
    kind: feast_registry
    url: {file}
    lock: feast
    settle_seconds: 0.5
vault:
  regions:
    here: {{url: {vault}}}
"""


class CommandLine:
    def __init__(self, folder, capfd):
        self.file = folder / "registry.db"
        self.policy = folder / "drkeeper.yaml"
        self.policy.write_text(POLICY.format(file=self.file, vault=folder / "vault"))
        self._capfd = capfd

    def run(self, *words: str, code: int = 0) -> str:
        got = run(["--policy", str(self.policy), "--quiet", *words])
        out, err = self._capfd.readouterr()
        assert got == code, f"{words} ended with {got}: {err}"
        return out if code == 0 else out + err


@pytest.fixture
def cli(tmp_path, capfd):
    line = CommandLine(tmp_path, capfd)
    line.file.write_bytes(a_registry("orders"))
    line.run("init")
    return line


def test_what_changed_between_two_points_is_said_in_words(cli):
    cli.run("backup")
    first = json.loads(cli.run("points", "-o", "json"))[0]["point_id"]
    cli.file.write_bytes(a_registry("orders", "days_since_last", until=UNTIL.replace(hour=4)))
    cli.run("backup")

    assert json.loads(cli.run("points", "diff", first, "latest", "-o", "json")) == [
        {
            "name": "feast-registry",
            "kind": "feast_registry",
            "changes": [
                "feature view churn: field days_since_last added",
                "feature view churn: materialised until 2026-03-01T04:00:00+00:00 instead of 2026-03-01T02:00:00+00:00",
            ],
        }
    ]
    assert "feast-registry  feature view churn: field days_since_last added" in cli.run("points", "diff", first)
    assert "nothing changed" in cli.run("points", "diff", first, first)
    cli.file.write_bytes(a_registry("orders", "days_since_last", until=UNTIL.replace(hour=4)))
    cli.run("backup")
    second = json.loads(cli.run("points", "-o", "json"))[1]["point_id"]
    assert "written again, with the same objects" in cli.run("points", "diff", second)
    assert "no recovery point" in cli.run("points", "diff", "ffff", code=2).lower()


def test_a_registry_that_was_damaged_is_restored_and_a_drill_proves_it(cli):
    cli.run("beat")
    cli.run("backup")
    whole = cli.file.read_bytes()
    cli.file.write_bytes(b"")  # as Feast leaves it that died between truncating and writing
    assert "0 bytes" in cli.run("backup", code=1)
    assert "0 bytes" in cli.run("check", code=5)

    (good,) = [row["point_id"] for row in json.loads(cli.run("points", "-o", "json"))]
    cli.run("restore", good, "--yes")

    assert cli.file.read_bytes() == whole
    cli.file.write_bytes(a_registry("other"))
    assert "~ feature view churn: field other removed" in cli.run("plan", good, "--overwrite", "--diff")
    cli.run("restore", good, "--overwrite", "--yes")
    assert cli.file.read_bytes() == whole
    record = json.loads(cli.run("drill", "run", good, "--scenario", "registry-corrupted", "-o", "json"))
    assert record["error"] == ""
    assert record["rpo_seconds"] is not None, "the heartbeat beside the registry was not restored"
    assert {check["verdict"] for check in record["checks"]} == {"passed"}
    assert not [check for check in record["clean_up"] if check["verdict"] != "passed"]
