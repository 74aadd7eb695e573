"""The real SDK: models that it logged are loaded again, and `mlflow gc` is found out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mlflow_application import tracking as made
from tests.mlflow_application.conftest import new_part
from tests.objects_system.restoring import capture

PROGRAM = Path(__file__).with_name("sdk_program.py")
SUBJECT = "models.churn@champion"
pytestmark = pytest.mark.slow


def asked(platform, task):
    environment = {
        name: value.get_secret_value() for name, value in platform.systems["artifacts"].sdk_environment().items()
    }
    where = made.uri(platform.server, platform.database)
    settings = {"MLFLOW_TRACKING_URI": where, "TEST_ARTIFACTS": platform.url("churn"), "GIT_PYTHON_REFRESH": "quiet"}
    argv = [sys.executable, "-W", "ignore", str(PROGRAM), task]
    done = subprocess.run(
        argv, env={**made.QUIET, **environment, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def trained(server, objects):
    platform = made.Platform(server, new_part(objects), options={"models": [{"name": "churn"}]})
    asked(platform, "train")
    yield platform
    platform.close()


@pytest.fixture(scope="module")
def record(trained):
    return trained.record()


def model_file(platform, number):
    query = "SELECT storage_location FROM model_versions WHERE version = %s"
    location = platform.sql(query, number)[0][0]
    return f"{location.removeprefix(platform.bucket.url + '/')}/python_model.pkl"


def of_model(checks):
    return {each.subject.removeprefix(SUBJECT + "."): each for each in checks if each.subject.startswith(SUBJECT)}


def test_a_prediction_is_recorded_with_the_models_own_example(record):
    (sample,) = record.samples["models"]
    assert (sample["name"], sample["alias"], sample["version"]) == ("churn", "champion", 2)
    assert sample["input"]["dataframe_split"]["columns"] == ["recency", "frequency"]
    assert len(sample["prediction"]) == 3
    assert all(0 < chance < 1 for chance in sample["prediction"])
    assert {"MLmodel", "python_model.pkl"} < set(sample["files"])
    assert record.facts.info["mlflow.version"].startswith("3.")
    assert record.findings == ()


def test_what_the_sdk_wrote_is_whole_and_predicts_the_same(trained, record):
    checks = trained.check(record=record)
    assert [each for each in checks if each.verdict != "passed" and not each.subject.startswith("keys.")] == []
    assert {name: each.verdict for name, each in of_model(checks).items()} == {
        "files": "passed",
        "prediction": "passed",
    }


def test_a_model_that_loads_and_predicts_otherwise_shows_both(trained, record):
    bucket = trained.systems["artifacts"]
    mine, other = model_file(trained, 2), model_file(trained, 1)
    before = b"".join(bucket.fetch(mine))
    trained.put(mine, b"".join(bucket.fetch(other)))
    try:
        found = of_model(trained.findings(record=record))
    finally:
        trained.put(mine, before)
    assert found["files"].detail.endswith("are not those of the point: python_model.pkl")
    detail = found["prediction"].detail
    (sample,) = record.samples["models"]
    assert detail.startswith("loads, and predicts otherwise: [0] is ")
    assert f"and was {sample['prediction'][0]}" in detail
    assert (found["files"].severity, found["prediction"].severity) == ("error", "error")


def test_a_model_that_does_not_load_is_told_in_its_own_words(trained, record):
    mine = model_file(trained, 2)
    before = b"".join(trained.systems["artifacts"].fetch(mine))
    trained.put(mine, b"no pickle")
    try:
        found = of_model(trained.findings(record=record))
    finally:
        trained.put(mine, before)
    assert found["prediction"].detail.startswith("does not load: predict: ")


def test_files_that_a_drill_did_not_fetch_leave_the_model_unchecked(trained, record):
    inventory = capture(trained.systems["artifacts"])
    mine = model_file(trained, 2)
    before = b"".join(trained.systems["artifacts"].fetch(mine))
    trained.delete(mine)
    try:
        checks = of_model(trained.check(record=record, streams={"artifacts": inventory}))
    finally:
        trained.put(mine, before)
    assert checks["prediction"].verdict == "not checked"
    assert "1 of its 7 files were not fetched (python_model.pkl)" in checks["prediction"].detail


def test_an_alias_that_names_another_version_is_found(trained, record):
    copy = trained.copy()
    copy.sql("UPDATE registered_model_aliases SET version = 1")
    found = of_model(copy.findings(record=record))
    copy.close()
    assert found["prediction"].detail == "the alias champion names version 1, and named version 2"


def test_what_cannot_be_recorded_is_unread_and_later_not_checked(trained):
    record = trained.record(models=[{"name": "nothing"}], model_bytes=10)
    subject = "models.nothing@champion.prediction"
    assert record.facts.unread[subject] == "no version of nothing has the alias champion"
    large = trained.record(model_bytes=10)
    assert "of 10 that may be fetched" in large.facts.unread[f"{SUBJECT}.prediction"]
    checks = [each for each in trained.check(record=large) if each.subject == f"{SUBJECT}.prediction"]
    assert [each.verdict for each in checks] == ["not checked"]


def test_gc_between_the_database_and_the_objects_is_found(trained):
    """Last of all: what it removes stays removed."""
    frozen = trained.copy()
    said = asked(trained, "collect")
    assert said["exit_code"] == 0, said
    found = {
        each.subject: each for each in frozen.findings(streams={"artifacts": capture(trained.systems["artifacts"])})
    }
    frozen.close()
    assert {name: each.severity for name, each in found.items()} == {
        "versions.objects": "error",
        "logged-models.objects": "error",
    }
    assert found["versions.objects"].detail.startswith("1 of 2 versions that are READY have no object")
    assert "churn/1" in found["versions.objects"].detail
