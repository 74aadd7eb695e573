"""`drkeeper relocate`: what follows from who is primary, what is refused, what is recorded."""

import shutil
import threading

import pytest
from tests.relocation.platform import REPLICA, SOURCE, Operator, bucket
from tests.relocation.tracking import digest, fill, texts

from drkeeper import audit
from drkeeper.errors import Interrupted
from drkeeper.following import due
from drkeeper.lease import hold
from drkeeper.relocation import places, prepare_derived, relocate
from drkeeper.replicate import replicate_records
from drkeeper.throttle import stopped_by


@pytest.fixture
def operator(tmp_path, server, database, connection, capfd, monkeypatch):
    fill(connection, SOURCE)
    made = Operator(tmp_path, server, database, capfd)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def roots(connection):
    """Where locations begin, without the one that MLflow makes itself."""
    found = {
        value.removeprefix("see ").partition("/1")[0]
        for name, values in texts(connection).items()
        for value in values
        if not value.startswith(("s3://nowhere", "see "))
    }
    return sorted(found)


# --- what is moved ------------------------------------------------------------------------------------------


def test_a_bucket_that_was_never_switched_needs_nothing(operator, connection):
    before = digest(connection)
    assert operator.json("relocate", "plan", "tracking")["moves"] == []
    assert "nothing to do" in operator.run("relocate", "run", "tracking", "--yes").err
    assert (digest(connection), operator.records()) == (before, [])


def test_after_a_fail_over_locations_lead_to_the_replica_and_after_a_fail_back_they_lead_back(operator, connection):
    before = digest(connection)
    operator.switch("replica")
    plan = operator.json("relocate", "plan", "tracking")
    assert plan["moves"] == [{"from": SOURCE, "to": REPLICA}]
    assert (digest(connection), plan["rows"], plan["refusals"]) == (before, 18, [])
    done = operator.json("relocate", "run", "tracking", "--yes", "--reason", "region lost")
    assert (done["rows"], done["columns"]["runs.artifact_uri"], done["left"]) == (18, 3, 0)
    assert roots(connection) == [REPLICA]
    fill(connection, REPLICA, runs=2, experiment=12)
    operator.switch("source")
    done = operator.json("relocate", "run", "tracking", "--yes")
    assert (done["rows"], done["moves"]) == (18 + 12, [{"old": REPLICA, "new": SOURCE}])
    assert roots(connection) == [SOURCE]
    assert "nothing to do" in operator.run("relocate", "run", "tracking", "--yes").err


def test_places_that_no_policy_names_are_given(operator, connection):
    done = operator.run("relocate", "run", "tracking", "--from", f"{SOURCE}/", "--to", "gs://elsewhere", "--yes")
    assert "tracking: 18 locations lead to gs://elsewhere now" in done.out
    assert roots(connection) == ["gs://elsewhere"]


def test_what_went_to_the_replica_by_hand_is_derived_back(operator, connection):
    operator.run("relocate", "run", "tracking", "--from", SOURCE, "--to", REPLICA, "--yes")
    assert operator.json("relocate", "plan", "tracking")["moves"] == [{"from": REPLICA, "to": SOURCE}]
    operator.run("relocate", "run", "tracking", "--yes")
    assert operator.json("relocate", "plan", "tracking")["moves"] == []


def test_two_buckets_of_one_name_differ_in_their_endpoint_only(operator, connection):
    operator.write_policy(bucket(SOURCE, "near", replica=bucket(SOURCE, "far")))
    operator.switch("replica")
    before = digest(connection)
    said = operator.run("relocate", "run", "tracking", "--yes")
    assert (
        "artifacts: both urls are the same; only the endpoint differs: set MLFLOW_S3_ENDPOINT_URL=https://s3.far.example"
        in said.err
    )
    assert "nothing to do" in said.err
    assert operator.json("relocate", "status")[0]["state"] == "settled"
    assert digest(connection) == before


def test_only_the_buckets_that_were_switched_are_moved(operator, connection):
    other = {"kind": "objects", **bucket("s3://other", "near", replica=bucket("s3://other-west", "far"))}
    operator.write_policy(
        bucket(SOURCE, "near", replica=bucket(REPLICA, "far")), more={"other": other}, artifacts=["artifacts", "other"]
    )
    fill(connection, "s3://other", runs=1, experiment=12)
    operator.switch("replica", "other")
    operator.run("relocate", "run", "tracking", "--yes")
    assert roots(connection) == [SOURCE, "s3://other-west"]
    operator.switch("replica")
    operator.run("relocate", "run", "tracking", "--yes")
    assert roots(connection) == [REPLICA, "s3://other-west"]


# --- what is said -------------------------------------------------------------------------------------------


def test_a_plan_says_what_an_operator_has_to_do(operator, connection):
    fill(connection, REPLICA, runs=1, experiment=12)
    connection.execute(
        "INSERT INTO params (key, value, run_uuid) SELECT 'data', %s, run_uuid FROM runs", (f"{SOURCE}/x",)
    )
    connection.execute("INSERT INTO experiments (experiment_id, name, workspace, artifact_location)"
                       " VALUES (30, 'p', 'default', 'mlflow-artifacts:/30')")  # fmt: skip
    operator.switch("replica")
    plan = operator.json("relocate", "plan", "tracking")
    said = "\n".join(plan["notes"])
    for words in (
        "set MLFLOW_S3_ENDPOINT_URL=https://s3.far.example for the server and clients",
        f"start the server with --default-artifact-root {REPLICA}: new experiments were put below {SOURCE}",
        f"1 locations go through the server (mlflow-artifacts:/) and stay: start it with --artifacts-destination {REPLICA}",
        "7 locations are at the new place already",
        "locations elsewhere stay as they are: s3://nowhere (1)",
        "4 values of params.value begin with an old place, and stay",
    ):
        assert words in said
    shown = operator.run("relocate", "plan", "tracking")
    assert all(f"note: {words}" in shown.out for words in plan["notes"])
    assert f"{SOURCE}/1" in shown.out
    assert f"{REPLICA}/1" in shown.out
    assert "trace_tags.value" in shown.out


def test_what_does_not_fit_is_refused_by_name_with_nothing_changed(operator, connection):
    connection.execute("UPDATE runs SET artifact_uri = %s WHERE name = 'run 2'", (f"{SOURCE}/{'x' * 180}",))
    run_id = connection.execute("SELECT run_uuid FROM runs WHERE name = 'run 2'").fetchone()[0]
    operator.switch("replica")
    before = digest(connection)
    shown = operator.run("relocate", "plan", "tracking", code=4)
    assert (
        f"refused: 1 locations would not fit into runs.artifact_uri, of 200 characters: runs {run_id} (202 characters)"
        in shown.out
    )
    assert "Nothing was changed" in operator.run("relocate", "run", "tracking", "--yes", code=4).err
    assert (digest(connection), operator.records()) == (before, [])


def test_status_says_where_locations_lead(operator, connection):
    assert operator.json("relocate", "status")[0]["state"] == "settled"
    operator.switch("replica")
    row = operator.json("relocate", "status", "tracking")[0]
    assert (row["primary"], row["at_source"], row["at_replica"], row["settled"]) == ("replica", 18, 0, False)
    assert row["state"] == f"18 lead to {SOURCE} still: `drkeeper relocate run tracking`"
    operator.run("relocate", "run", "tracking", "--yes")
    row = operator.json("relocate", "status")[0]
    assert (row["at_source"], row["at_replica"], row["state"], row["last"]["verb"]) == (0, 18, "settled", "relocate")


def test_a_database_that_is_away_is_told_and_is_no_success(operator):
    operator.switch("replica")
    operator.write_policy(bucket(SOURCE, "near", replica=bucket(REPLICA, "far")), port=1)
    assert "gave an error" in operator.run("relocate", "run", "tracking", "--yes", code=1).err
    assert operator.json("relocate", "status")[0]["state"].startswith("not known: ")


def test_after_a_restore_it_is_said_what_has_to_follow_or_that_nobody_knows(operator):
    assert due(operator.policy(), ["mlflow-db"]) == []
    operator.switch("replica")
    (command,) = due(operator.policy(), ["mlflow-db"])
    assert command.startswith("`drkeeper relocate run tracking`: 18 locations lead to a bucket that is not primary")
    assert due(operator.policy(), ["artifacts"]) == []

    operator.write_policy(bucket(SOURCE, "near", replica=bucket(REPLICA, "far")), port=1)
    (command,) = due(operator.policy(), ["mlflow-db"])
    assert command.startswith("`drkeeper relocate plan tracking`: nobody knows where locations lead: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "nothing is no application that keeps locations"),
        (["tracking", "--from", "s3://a"], "give both --from and --to"),
        (["tracking", "--from", "s3://a", "--to", "b"], "no address"),
        (["tracking", "--from", "s3://a", "--to", "s3://a/b"], "lie within one another"),
    ],
)
def test_what_cannot_be_meant_is_refused(operator, words, said):
    assert said in operator.run("relocate", "plan", *words, code=2).err


def test_nobody_who_is_not_asked_goes_on(operator, connection):
    operator.switch("replica")
    before = digest(connection)
    assert "give --yes" in operator.run("relocate", "run", "tracking", code=4).err
    assert digest(connection) == before


# --- what is recorded ---------------------------------------------------------------------------------------


def test_a_relocation_is_recorded_in_every_region_and_without_a_secret(
    operator, tmp_path, server, database, connection, capfd
):
    (tmp_path / "two").mkdir()
    operator = Operator(tmp_path / "two", server, database, capfd, regions=("here", "there"))
    operator.switch("replica")
    operator.run("relocate", "run", "tracking", "--yes", "--reason", "region lost")
    record = operator.records()[0]
    assert (record["application"], record["verb"], record["reason"]) == ("tracking", "relocate", "region lost")
    assert record["moves"] == [{"old": SOURCE, "new": REPLICA}]
    assert sum(record["rows"].values()) == 18
    assert record["database"].endswith(f"/{operator.database}")
    assert operator.server.options["password"] not in str(record)
    assert operator.records("there") == operator.records("here")
    shutil.rmtree(operator.folder / "vault-there/relocations")
    replicate_records(operator.vault)
    assert operator.records("there") == operator.records("here")


def test_two_at_once_are_one_after_the_other(operator, connection):
    operator.switch("replica")
    with hold(operator.vault.primary, "relocate-tracking"):
        assert "relocate-tracking" in operator.run("relocate", "run", "tracking", "--yes", code=11).err
    operator.run("relocate", "run", "tracking", "--yes")
    refused, done = [
        link for link in audit.links(operator.vault) if (link.command, link.event) == ("relocate", "ended")
    ]
    assert (refused.exit_code, done.outcome) == (11, "ok")
    assert done.detail["rows"] > 0


def test_told_to_stop_before_the_commit_it_has_done_nothing(operator, connection):
    operator.switch("replica")
    before, stop = digest(connection), threading.Event()
    prepared = prepare_derived(places(operator.policy())[0], operator.vault)
    stop.set()
    with stopped_by(stop), pytest.raises(Interrupted, match="no location was rewritten"):
        relocate(prepared, operator.vault)
    assert (digest(connection), operator.records()) == (before, [])


STRIKE = """
import os, signal, sys
from drkeeper.applications._mlflow import relocation
from drkeeper.cli.root import run

rewritten = relocation._rewritten

def struck(connection, plan):
    written = rewritten(connection, plan)
    open(sys.argv[1] + ".struck", "w").write(repr(written))
    os.kill(os.getpid(), signal.SIGKILL)

relocation._rewritten = struck
sys.exit(run(["--policy", sys.argv[1], "relocate", "run", "tracking", "--yes"]))
"""


def test_killed_within_the_transaction_it_has_done_nothing_and_can_be_done_again(operator, connection):
    operator.switch("replica")
    before = digest(connection)
    process = operator.start(STRIKE)
    said = process.communicate(timeout=60)
    assert process.returncode == -9, said
    assert "'runs.artifact_uri': 3" in (operator.folder / "drkeeper.yaml.struck").read_text()
    assert digest(connection) == before
    for file in (operator.folder / "vault-here/leases/relocate-tracking").iterdir():
        file.unlink()  # as if that of the process that was killed had expired
    operator.run("relocate", "run", "tracking", "--yes")
    assert roots(connection) == [REPLICA]
