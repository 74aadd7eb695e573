"""Each reference of the database is followed to its object, without asking for any object by itself."""

import pytest
from tests.buckets.regions import bucket_at
from tests.mlflow_application.tracking import MLMODEL, run_id_of
from tests.objects_system.restoring import capture

from drkeeper.applications._mlflow.places import Places

ID = "0" * 32


def found(platform, **how):
    return [(each.subject, each.severity) for each in platform.findings(**how)]


def named(checks, subject):
    (check,) = [each for each in checks if each.subject == subject]
    return check


# --- what is missing -------------------------------------------------------------------------------------


def test_a_version_whose_mlmodel_is_gone_is_found_with_its_place(owned):
    owned.delete(owned.key("first", "MLmodel"))
    checks = owned.check()
    assert found(owned) == [("versions.objects", "error"), ("logged-models.objects", "error")]
    detail = named(checks, "versions.objects").detail
    assert detail == (
        f"1 of 3 versions that are READY have no object, or an empty one: churn/1 ({owned.folder('first')}/MLmodel)"
    )


def test_an_empty_mlmodel_is_none(owned):
    owned.put(owned.key("second", "MLmodel"), b"")
    assert found(owned) == [("versions.objects", "error"), ("logged-models.objects", "error")]


def test_a_version_from_before_mlflow_3_is_followed_to_its_absolute_source(owned):
    owned.delete(f"root/1/{run_id_of('first')}/artifacts/old/MLmodel")
    (finding,) = owned.findings()
    assert finding.subject == "versions.objects"
    assert "older/1" in finding.detail


def test_a_version_that_names_a_path_of_a_run_is_followed_there(owned):
    source = f"runs:/{run_id_of('first')}/old"
    owned.sql("UPDATE model_versions SET source = %s, storage_location = %s WHERE name = 'older'", source, source)
    assert found(owned) == []
    owned.delete(f"root/1/{run_id_of('first')}/artifacts/old/MLmodel")
    assert found(owned) == [("versions.objects", "error")]


def test_versions_that_are_not_ready_promise_nothing(owned):
    owned.delete(owned.key("first", "MLmodel"))
    owned.sql("UPDATE model_versions SET status = 'PENDING_REGISTRATION' WHERE name = 'churn' AND version = 1")
    owned.sql("UPDATE logged_models SET status = 1 WHERE name = 'first'")
    assert found(owned) == []


def test_a_trace_whose_spans_are_gone_is_a_warning_and_one_whose_spans_are_rows_is_none(owned):
    owned.delete("root/1/traces/tr-bucket/artifacts/traces.json")
    assert found(owned) == [("traces.objects", "warning")]


def test_of_very_many_traces_a_sample_is_looked_for_and_said_to_be_one(owned, monkeypatch):
    """Memory must not grow with them: of a million traces it took 600 MiB."""
    monkeypatch.setattr("drkeeper.applications._mlflow.claims.MOST_TRACES", 100)
    owned.sql(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " SELECT 'tr-' || n, 1, 1, 'OK' FROM generate_series(1, 999) n"
    )
    owned.sql(
        "INSERT INTO trace_tags SELECT 'mlflow.artifactLocation', %s, 'tr-' || n FROM generate_series(1, 999) n",
        owned.url("root/1/traces/none/artifacts"),
    )

    (check,) = (each for each in owned.check() if each.subject == "traces.objects")

    assert check.verdict == "failed"
    assert "(10 % of all: a sample)" in check.detail
    assert 40 < int(check.detail.split()[0]) < 200


def test_an_archived_trace_is_looked_for_where_the_archive_is(owned):
    archive = {"mlflow.trace.spansLocation": "ARCHIVE_REPO", "mlflow.trace.archiveLocation": owned.url("archive/1")}
    owned.trace("tr-archived", **archive)
    assert found(owned) == [("traces.objects", "warning")]
    owned.put("archive/1/traces.pb")
    assert found(owned) == []


def test_what_gc_removed_before_the_freeze_is_a_warning_and_what_it_removed_between_is_an_error(owned):
    """The row of a run says when: gone with its objects, or still there as they went."""
    run_id = owned.run("collected")
    where = f"root/1/{run_id}/artifacts/model"
    owned.version(3, source=owned.url(where), run="collected")
    assert found(owned) == [("versions.objects", "error")]
    for table in ("metrics", "latest_metrics", "runs"):
        owned.sql(f"DELETE FROM {table} WHERE run_uuid = %s", run_id)
    owned.delete(f"root/1/{run_id}/artifacts/training.json")
    assert found(owned) == [("versions.runs", "warning"), ("versions.collected", "warning")]


# --- what a model is made of ---------------------------------------------------------------------------------


def test_a_model_with_an_mlmodel_and_nothing_else_is_found(owned):
    owned.delete(owned.key("first", "model.pkl"))
    assert found(owned) == [("versions.files", "error"), ("logged-models.files", "error")]
    assert "churn/1 (model.pkl)" in named(owned.check(), "versions.files").detail


def test_an_mlmodel_that_does_not_parse_is_found(owned):
    owned.put(owned.key("second", "MLmodel"), "flavors: [")
    assert found(owned) == [("versions.recipes", "error")]
    owned.put(owned.key("second", "MLmodel"), "a: b")
    assert "churn/2: it names no flavours" in named(owned.check(), "versions.recipes").detail


def test_an_mlmodel_of_another_model_is_found(owned):
    owned.put(owned.key("second", "MLmodel"), MLMODEL.format(location="x", model_id=f"m-{ID}"))
    assert found(owned) == [("versions.recipes", "error")]


def test_a_bounded_number_is_read_the_aliased_first(owned):
    for model in ("first", "second"):
        owned.put(owned.key(model, "MLmodel"), "a: b")
    detail = named(owned.check(recipes=1), "versions.recipes").detail
    assert detail.startswith("1 of what 1 MLmodel files say is not so: churn/2")


# --- orphans ---------------------------------------------------------------------------------------------------


def test_objects_without_a_row_are_counted(owned):
    owned.put(f"root/1/{ID}/artifacts/model.pkl")
    owned.put(f"root/1/models/m-{ID}/artifacts/MLmodel")
    owned.put("elsewhere/than/experiments")
    (finding,) = owned.findings()
    assert (finding.subject, finding.severity) == ("orphans.artifacts", "warning")
    assert finding.detail == (
        "2 objects (10 bytes) below experiments' roots have no row: "
        f"root/1/{ID}/artifacts, root/1/models/m-{ID}/artifacts"
    )


def test_objects_of_deleted_runs_are_none_as_long_as_there_is_a_row(owned):
    owned.sql("UPDATE runs SET lifecycle_stage = 'deleted'")
    owned.sql("UPDATE logged_models SET lifecycle_stage = 'deleted' WHERE name = 'agent'")
    assert found(owned) == []


# --- inventories, other places -------------------------------------------------------------------------------


def test_of_a_point_its_inventory_is_taken_and_files_that_a_drill_did_not_fetch_are_not_checked(owned):
    inventory = capture(owned.systems["artifacts"])
    owned.delete(*(owned.key(model, file) for model in ("first", "second") for file in ("MLmodel", "model.pkl")))
    owned.delete(f"root/1/{run_id_of('first')}/artifacts/old/MLmodel")
    checks = owned.check(streams={"artifacts": inventory})
    assert [each.subject for each in checks if each.verdict == "failed"] == []
    assert named(checks, "versions.objects").verdict == "passed"
    recipes = named(checks, "versions.recipes")
    assert recipes.verdict == "not checked"
    assert recipes.detail.startswith("3 could not be read")


def test_what_the_inventory_lacks_is_missing_whatever_is_in_the_bucket(owned):
    body = owned.key("first", "MLmodel")
    owned.delete(body)
    inventory = capture(owned.systems["artifacts"])
    owned.put(body)
    assert ("versions.objects", "error") in found(owned, streams={"artifacts": inventory})


def test_a_platform_that_was_moved_is_followed_where_its_objects_are_now(owned, objects):
    running, _ = objects
    there = bucket_at(running)
    for key, _ in owned.systems["artifacts"].entries():
        body = b"".join(owned.systems["artifacts"].fetch(key))
        there.request("PUT", f"moved/{key}", body=body)
    moved = bucket_at(running, f"{there.name}/moved")
    record = owned.record()
    owned.delete(owned.key("first", "MLmodel"))
    systems = {**owned.systems, "artifacts": type(owned.systems["artifacts"])("artifacts", _as_system(moved))}
    assert found(owned, systems=systems, elsewhere={owned.bucket.url: moved.url}, record=record) == []
    assert {each.verdict for each in owned.check(systems=systems) if each.subject == "versions.outside"} == {
        "not checked"
    }


def _as_system(bucket):
    from drkeeper.systems.objects import Options

    return Options(**bucket.options.model_dump())


def test_locations_in_no_system_are_not_checked_and_say_why(platform):
    for number, location in enumerate(("gs://lake/a", "file:///mlruns/b", "mlflow-artifacts:/c", "/mnt/d"), 3):
        platform.version(number, source=location)
    outside = [each for each in platform.check() if each.subject == "versions.outside"]
    assert {each.verdict for each in outside} == {"not checked"}
    said = " ".join(each.detail for each in outside)
    assert "no system of this application holds gs://lake" in said
    assert "2 of the versions that are READY are elsewhere (churn/4, churn/6)" in said
    assert "say which in artifacts_destination" in said
    assert named(platform.check(), "versions.objects").verdict == "passed"


def test_locations_behind_a_proxy_are_followed_to_the_servers_destination(owned):
    owned.put("proxied/1/MLmodel", MLMODEL.format(location="x", model_id=""))
    owned.put("proxied/1/model.pkl")
    owned.version(3, source="mlflow-artifacts:/1")
    owned.version(4, source="mlflow-artifacts://mlflow:5000/2")
    (finding,) = owned.findings(artifacts_destination=owned.url("proxied"))
    assert finding.subject == "versions.objects"
    assert "churn/4 (mlflow-artifacts://mlflow:5000/2/MLmodel)" in finding.detail


def test_a_bucket_that_cannot_be_listed_is_told(platform):
    wrong = platform.systems["artifacts"]
    options = wrong._options.model_copy(update={"url": "s3://there-is-no-such-bucket"})
    systems = {**platform.systems, "artifacts": type(wrong)("artifacts", options)}
    check = named(platform.check(systems=systems), "objects")
    assert check.verdict == "not checked"
    assert "could not be listed" in check.detail


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("s3://models/a/b", ("models", "a/b")),
        ("s3a://models/a/b/", ("models", "a/b")),
        ("s3://models", ("models", "")),
        ("s3://models-old/a", None),
        ("s3://models/deep/a", ("deep", "a")),
        ("s3://west/x/a", ("models", "x/a")),
        ("mlflow-artifacts:/1/a", ("deep", "1/a")),
        ("mlflow-artifacts://host:5000/1/a", ("deep", "1/a")),
        ("file:///mlruns/1", ("models", "local/1")),
        ("s3://old/1", ("models", "1")),
        ("s3://old/stayed/1", ("stayed", "1")),
        ("dbfs:/models/a", None),
        ("", None),
    ],
)
def test_a_location_is_in_the_system_with_the_longest_url_that_fits(location, place):
    places = Places(
        {"models": "s3://models", "deep": "s3://models/deep", "stayed": "s3://old/stayed"},
        {"s3://west": "s3://models", "s3://old": "s3://models", "file:///mlruns": "s3://models/local"},
        "s3://models/deep",
    )
    assert places.find(location) == place
