"""A fail-over and a fail-back rewrite locations by themselves: models load from the bucket that is primary."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.buckets.conftest import far, near, replica, source
from tests.failover.listener import Program
from tests.failover.platform import Platform, let_a_second_pass, put
from tests.relocation.sdk import Sdk
from tests.relocation.tracking import digest, fill
from tests.test_docs import code_blocks

from drkeeper.buckets.listing import list_objects

__all__ = ["far", "near", "replica", "source"]

RUNBOOK = Path(__file__).parents[2] / "runbooks/bucket-region-lost.md"


class Tracked(Platform):
    """Two regions, and MLflow on a real database."""

    def __init__(self, folder, near, far, capfd, server, database):
        self.server, self.database, self.port = server, database, server.options["port"]
        super().__init__(folder, near, far, capfd)
        self.environment["DB_PASSWORD"] = server.options["password"]

    def write_policy(self, *hooks, **more):
        super().write_policy(*hooks, **more)
        policy = yaml.safe_load(self.policy_file.read_text())
        postgres = {"kind": "postgres", "host": self.server.options["host"], "port": self.port, "user": "postgres"}
        postgres |= {"password": "${env:DB_PASSWORD}", "databases": [self.database], "connect_timeout_seconds": 2}
        policy["systems"] = {"mlflow-db": postgres, **policy["systems"]}
        policy["applications"] = {"tracking": {"kind": "mlflow", "database": "mlflow-db", "artifacts": ["artifacts"]}}
        self.policy_file.write_text(yaml.safe_dump(policy, sort_keys=False))

    def policy(self):
        self.environment.setdefault("DB_PASSWORD", self.server.options["password"])
        return super().policy()

    def places(self, connection):
        """Bucket -> how many runs are there."""
        query = "SELECT substring(artifact_uri from 's3://[^/]*'), count(*) FROM runs GROUP BY 1"
        return dict(connection.execute(query).fetchall())

    def records(self):
        folder = self.folder / "vault/relocations"
        files = list(folder.iterdir()) if folder.exists() else []
        return sorted((json.loads(file.read_text())["record"] for file in files), key=lambda record: record["at"])


@pytest.fixture
def platform(tmp_path, near, far, capfd, monkeypatch, server, database):
    made = Tracked(tmp_path, near, far, capfd, server, database)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def filled(platform, connection):
    """Rows that lead to the source, and an object there."""
    fill(connection, platform.source.url)
    put(platform.source, models__a="a1")
    platform.replicate()
    return platform


def kinds(rows):
    return [step["kind"] for step in rows["steps"]]


# --- with the real SDK --------------------------------------------------------------------------------------


def test_models_load_from_the_replica_when_the_bucket_is_gone_and_from_the_bucket_when_it_is_back(platform, tmp_path):
    near, far = platform.near, platform.far
    location = f"{platform.source.url}/root/7"
    sdk = Sdk(platform.server.uri(platform.database), tmp_path)
    try:
        logged = sdk.ask("log", near, 10.0, location)
        assert logged["run"].startswith(f"{location}/")
        assert sdk.ask("load", near, "1") == [11.0, 12.0]
        platform.replicate()
        let_a_second_pass()
        client = near.client()
        remove_bucket(client, platform.source)
        assert "error" in sdk.try_to("load", near, "1")

        platform.fail_over("--reason", "region lost")
        assert sdk.ask("load", far, "1") == [11.0, 12.0]
        later = sdk.ask("log", far, 20.0, location)
        assert later["run"].startswith(f"{platform.replica.url}/root/7/")
        assert sdk.ask("load", far, "2") == [21.0, 22.0]

        client.create_bucket(Bucket=platform.source.name)
        client.put_bucket_versioning(Bucket=platform.source.name, VersioningConfiguration={"Status": "Enabled"})
        platform.fail_back("--allow-share", "1")
        remove_bucket(far.client(), platform.replica)
        assert sdk.ask("load", near, "1") == [11.0, 12.0]
        assert sdk.ask("load", near, "2") == [21.0, 22.0]
    finally:
        sdk.close()
    assert [each["verb"] for each in platform.records()] == ["failover", "failback"]
    assert platform.records()[0]["reason"] == "region lost"
    assert platform.json("relocate", "status")["state"] == "settled"


def remove_bucket(client, bucket):
    client.delete_bucket(Bucket=bucket.name)
    with pytest.raises(Exception, match=r"NoSuchBucket|404|does not exist"):
        list(list_objects(bucket))


def test_the_commands_of_the_runbook_work_as_they_stand(filled, connection):
    port, filled.port = filled.port, 1
    filled.write_policy()
    filled.fail_over()
    filled.port = port
    filled.write_policy()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code_blocks(RUNBOOK, "bash")[0]],
        cwd=filled.folder,
        env={**os.environ, **filled.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "settled" in done.stdout
    assert filled.places(connection) == {filled.replica.url: 3}


# --- steps --------------------------------------------------------------------------------------------------


def test_a_plan_counts_and_changes_nothing_and_a_test_is_a_dry_run(filled, connection):
    before = digest(connection)
    plan = filled.json("failover", "plan")
    assert kinds(plan)[-4:] == ["PutMark", "Relocate", "Tell", "Conclude"]
    words = f"rewrite 18 locations of tracking: {filled.source.url} becomes {filled.replica.url}"
    assert plan["steps"][-3]["does"] == words
    assert words in filled.run("failover", "plan").out
    checks = {each["subject"]: each for each in filled.json("failover", "test")["checks"]}
    assert "18 locations would be rewritten" in checks["relocation.tracking"]["detail"]
    assert digest(connection) == before


def test_consumers_are_told_when_locations_are_rewritten_already(filled, connection, tmp_path):
    program = Program(tmp_path / "program")
    filled.write_policy(program.hook)
    outcome = filled.json("failover", "run", "--yes")
    does = [step["does"] for step in outcome["steps"]]
    assert does.index(next(each for each in does if each.startswith("rewrite"))) < does.index(
        next(each for each in does if "after the switch" in each)
    )
    assert outcome["relocated"] == [
        {
            "application": "tracking",
            "old": filled.source.url,
            "new": filled.replica.url,
            "rows": 18,
            "later": "",
            "error": "",
        }
    ]
    assert filled.places(connection) == {filled.replica.url: 3}
    said = filled.fail_back()
    assert f"tracking: 18 locations lead to {filled.source.url} now" in said.out
    assert filled.places(connection) == {filled.source.url: 3}


def test_running_it_again_rewrites_what_was_written_since(filled, connection):
    filled.fail_over()
    assert "nothing to do" in filled.fail_over().err
    fill(connection, filled.source.url, runs=2, experiment=12)  # by a writer that does not know yet
    status = filled.json("failover", "status")
    assert f"12 locations of tracking lead to {filled.source.url} still" in status["state"]
    assert kinds(filled.json("failover", "plan")) == ["Relocate", "Conclude"]
    filled.fail_over()
    assert filled.places(connection) == {filled.replica.url: 5}
    assert filled.json("failover", "status")["state"] == "settled"


def test_a_database_that_is_lost_too_is_left_for_later(filled, connection):
    before, port = digest(connection), filled.port
    filled.port = 1
    filled.write_policy()
    plan = filled.json("failover", "plan")
    assert plan["steps"][-3]["does"] == "leave the locations of tracking for later: `drkeeper relocate run tracking`"
    assert any("once it is back, or restored" in words for words in plan["warnings"])
    said = filled.fail_over()
    assert "run `drkeeper relocate run tracking`" in said.out
    assert filled.roles().primary == "replica"
    assert "nothing to do" in filled.fail_over().err
    assert "the database of tracking does not answer" in filled.json("failover", "status")["state"]
    assert digest(connection) == before
    filled.port = port
    filled.write_policy()
    filled.run("relocate", "run", "tracking", "--yes")
    assert filled.places(connection) == {filled.replica.url: 3}


def test_one_that_is_refused_does_not_undo_the_switch_and_can_be_done_again(filled, connection, tmp_path):
    program = Program(tmp_path / "program")
    filled.write_policy(program.hook)
    connection.execute("ALTER TABLE runs ALTER COLUMN artifact_uri TYPE varchar(200)")
    connection.execute(
        "UPDATE experiments SET artifact_location = %s WHERE experiment_id = 1", (f"{filled.source.url}/1",)
    )
    connection.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                       " RAISE lock_not_available; END $$")  # fmt: skip
    connection.execute("CREATE TRIGGER no BEFORE UPDATE ON logged_models EXECUTE FUNCTION no()")
    before = digest(connection)
    said = filled.fail_over(code=3)
    assert "locations of tracking are not rewritten: somebody has held rows" in said.err
    assert (filled.roles().primary, program.phases()) == ("replica", ["before", "after"])
    assert (digest(connection), filled.records()) == (before, [])
    connection.execute("DROP TRIGGER no ON logged_models")
    filled.fail_over()
    assert filled.places(connection) == {filled.replica.url: 3}
    assert program.phases() == ["before", "after"]


def test_what_would_not_fit_is_told_before_the_switch(filled, connection):
    long = f"{filled.source.url}/{'x' * 100}"
    connection.execute("UPDATE runs SET artifact_uri = %s WHERE name = 'run 2'", (long,))
    connection.execute("UPDATE runs SET artifact_uri = %s WHERE name <> 'run 2'", (f"{filled.source.url}/1",))
    connection.execute(f"ALTER TABLE runs ALTER COLUMN artifact_uri TYPE varchar({len(long)})")
    policy = yaml.safe_load(filled.policy_file.read_text())
    policy["systems"]["artifacts"]["replica"]["url"] += "/a-longer-place"
    filled.policy_file.write_text(yaml.safe_dump(policy, sort_keys=False))
    plan = filled.json("failover", "plan")
    assert any(
        "locations of tracking would not be rewritten: 1 locations would not fit" in each for each in plan["warnings"]
    )
    checks = json.loads(filled.run("failover", "test", "-o", "json", code=5).out)[0]["checks"]
    assert {each["subject"]: each["verdict"] for each in checks}["relocation.tracking"] == "failed"
