"""Whether the platform works, asked of what is live: by a policy, with a vault, on real servers."""

import json

import pytest
from tests.feast_registry.examples import a_registry
from tests.mlflow_application.tracking import EMPTY, connected

from drkeeper import actions, rehearsals, usable
from drkeeper.applications import Restored
from drkeeper.applications._mlflow.options import RecordedModel
from drkeeper.applications.feast import FeastApplication
from drkeeper.cli.rows import finding_rows
from drkeeper.drill_proofs import proof_of_use
from drkeeper.facts import Facts, findings
from drkeeper.policy import load_policy
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.wiring import create_vault, open_systems, open_vault

NOBODY = 1  # a port at which nothing listens


@pytest.fixture
def policy(owned, tmp_path):
    """Of an MLflow, and of the Feast whose features its models take; nobody asks the online store."""
    database = {name: owned.server.options[name] for name in ("host", "port", "user", "password")}
    bucket = owned.bucket.options
    secrets = {"PASSWORD": str(database.pop("password")), "SECRET_KEY": bucket.secret_key.get_secret_value()}
    keys = {"access_key": bucket.access_key, "secret_key": "${env:SECRET_KEY}"}
    artifacts = {"url": bucket.url, "endpoint": bucket.endpoint, "allow_http": True, **keys}
    (tmp_path / "registry.db").write_bytes(a_registry())
    systems = {
        "mlflow-db": {"kind": "postgres", **database, "password": "${env:PASSWORD}", "databases": [owned.database]},
        "artifacts": {"kind": "objects", **artifacts},
        "registry": {"kind": "feast_registry", "url": f"{tmp_path}/registry.db"},
        "online": {"kind": "redis", "host": "127.0.0.1", "port": NOBODY, "scratch": str(tmp_path)},
    }
    applications = {
        "tracking": {"kind": "mlflow", "database": "mlflow-db", "artifacts": ["artifacts"]},
        "features": {
            "kind": "feast",
            "project": "churn",
            "registry": "registry",
            "online": "online",
            "tracking": "tracking",
        },
    }
    file = tmp_path / "drkeeper.yaml"
    vault = {"regions": {"here": {"url": f"{tmp_path}/vault"}}}
    written = {"version": 1, "name": "ml", "systems": systems, "applications": applications, "vault": vault}
    file.write_text(json.dumps(written))
    made = load_policy(file, secrets)
    create_vault(made)
    return made


def take_point(policy):
    return actions.back_up(policy, names=["mlflow-db", "artifacts"]).point


def test_an_object_that_is_gone_from_the_bucket_is_found_though_the_inventory_has_it(owned, policy):
    point = take_point(policy)
    assert not list(findings(usable.prove_live(policy, ["tracking"], point_id=point.point_id)))

    owned.delete(owned.key("first", "MLmodel"))

    found = findings(usable.prove_live(policy, ["tracking"], point_id=point.point_id))
    assert {"tracking.versions.objects", "tracking.logged-models.objects"} <= {each.subject for each in found}


def test_after_a_restore_the_models_of_a_companion_are_asked_too(owned, policy):
    """What is said across MLflow and Feast needs the systems of both."""
    asked = {"model": "churn", "alias": "champion", "version": 99, "features": [], "rows": []}
    witness = ApplicationRecord(
        name="features", kind="feast", systems=("registry", "online"), samples={"project": "churn", "across": [asked]}
    )
    point = take_point(policy).model_copy(update={"applications": (witness,)})

    checks = {each.subject: each for each in usable.prove(policy, open_vault(policy), point, "features")}

    assert checks["features.across.churn@champion"].detail == "the alias names version 2; 99 was recorded"


def test_what_was_not_recorded_across_the_two_is_told_and_not_left_out(policy):
    named = policy.applications["tracking"].options.model_copy(update={"models": (RecordedModel(name="churn"),)})
    feast = FeastApplication("features", policy.applications["features"].options, named)
    why = Facts(unread={"across.churn@champion": "it took too long"})
    witness = ApplicationRecord(name="features", kind="feast", systems=("registry", "online"), facts=why)
    systems = open_systems(policy)

    for record, said in ((witness, "not read at backup: it took too long"), (None, "the point has no record of it")):
        checks = {each.subject: each for each in feast.check(Restored(systems, record=record))}
        across = checks["across.churn@champion"]
        assert (across.verdict, across.detail) == ("not checked", said)


def test_what_was_wrong_already_is_shown_with_the_point_as_after_a_restore_it_is_but_a_warning(owned, policy):
    owned.sql("UPDATE registered_model_aliases SET version = 7")
    point = take_point(policy)

    (shown,) = (row for row in finding_rows(point) if not row["subject"].startswith("artifacts."))

    assert (shown["subject"], shown["verdict"], shown["severity"]) == ("tracking.aliases.versions", "failed", "error")
    found = findings(usable.prove(policy, open_vault(policy), point, "tracking"))
    assert [(each.subject, each.severity) for each in found] == [("tracking.aliases.versions", "warning")]
    (record,) = point.applications
    silent = record.model_copy(update={"error": "no answer", "findings": (), "facts": Facts(unread={"runs": "gone"})})
    rows = finding_rows(point.model_copy(update={"applications": (silent,)}))
    assert [(row["subject"], row["detail"]) for row in rows if row["subject"].startswith("tracking.")] == [
        ("tracking.witness", "no answer"),
        ("tracking.runs", "gone"),
    ]


def test_without_a_witness_nobody_says_that_all_was_compared(owned):
    failed = owned.record().model_copy(update={"facts": Facts(), "error": "mlflow-db could not be frozen"})

    for record, said in ((failed, "there is none in the point: mlflow-db could not be frozen"), (None, "no recovery")):
        (unchecked,) = (each for each in owned.check(record=record) if each.verdict != "passed")
        assert (unchecked.subject, unchecked.verdict) == ("witness", "not checked")
        assert unchecked.detail.startswith(said)


def test_a_platform_of_which_nothing_was_used_yet_is_backed_up_and_fails_no_restore(owned, policy):
    """A server that was never started has no tables yet."""
    owned.close()
    with connected(owned.server, "postgres") as connection:
        connection.execute(f"DROP DATABASE {owned.database}")
        connection.execute(f"CREATE DATABASE {owned.database}")
    point = take_point(policy)
    assert [system.status for system in point.systems] == ["complete", "complete"]

    (check,) = usable.prove(policy, open_vault(policy), point, "tracking")

    assert (check.subject, check.verdict) == ("tracking.database", "not checked")
    assert check.detail.endswith("it was so when the point was taken")
    (check,) = usable.prove_live(policy, ["tracking"])
    assert check.verdict == "failed"


def test_a_platform_without_a_single_run_is_backed_up_and_holds(server, policy, owned):
    owned.close()
    with connected(owned.server, "postgres") as connection:
        connection.execute(f"DROP DATABASE {owned.database}")
        connection.execute(f"CREATE DATABASE {owned.database} TEMPLATE {EMPTY}")
    point = take_point(policy)

    checks = list(usable.prove(policy, open_vault(policy), point, "tracking"))

    assert [each for each in checks if each.verdict == "failed"] == []
    assert sum(each.verdict == "passed" for each in checks) > 20


def test_a_drill_that_lacks_systems_of_an_application_does_not_prove_it_usable(owned, policy):
    """Of what the point does not hold nobody can say that it works."""
    take_point(policy)

    record = rehearsals.drill(policy)

    assert not record.error
    unasked = [(each.subject, each.detail) for each in record.usable if each.subject.partition(".")[0] == "features"]
    assert unasked == [("features", "the drill did not restore registry, online, which the point lacks")]
    assert any(each.subject.startswith("tracking.") for each in record.usable)
    assert proof_of_use(record, {"here"}).verdict == "not checked"
