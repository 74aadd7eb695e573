"""Features that runs and versions were made with, against Feast's registry."""

import pytest
from tests.mlflow_application.tracking import run_id_of

from drkeeper.feature_registry import registry_message

OPTIONS = {"registry": "feast-registry"}
TAGGED = {
    "feast.project": "churn",
    "feast.feature_service": "churn_service",
    "feast.feature_refs": "customer:recency,customer:frequency",
}


class Registry:
    """As a system of kind feast_registry gives it."""

    def __init__(self, data):
        self.data = data

    def registry(self):
        return self.data

    def feast_config(self):
        return {}, {}


@pytest.fixture(scope="module")
def data():
    message = registry_message()
    message.registry_schema_version = "1"
    message.version_id = "v"
    message.projects.add().spec.name = "churn"
    view = message.feature_views.add().spec
    view.name, view.project = "customer", "churn"
    for name in ("recency", "frequency"):
        view.features.add().name = name
    service = message.feature_services.add().spec
    service.name, service.project = "churn_service", "churn"
    return message.SerializeToString()


@pytest.fixture
def tagged(platform, data):
    """A run and the champion's version, both made with features that there are."""
    platform.others["feast-registry"] = Registry(data)
    platform.options |= OPTIONS
    for key, value in TAGGED.items():
        platform.sql("INSERT INTO tags (key, value, run_uuid) VALUES (%s, %s, %s)", key, value, run_id_of("first"))
    tag(platform, 2, "feast.feature_service", "churn_service")
    return platform


def tag(platform, number, key, value):
    platform.sql(
        "INSERT INTO model_version_tags (key, value, name, version) VALUES (%s, %s, 'churn', %s)", key, value, number
    )


def found(platform):
    return {each.subject: (each.severity, each.detail) for each in platform.findings()}


def test_tags_that_resolve_are_no_finding_and_stand_in_the_checks(tagged):
    checks = {each.subject: each for each in tagged.check(record=tagged.record())}
    assert checks["tags.runs"].detail == "1 with tags, all of which the registry knows"
    assert checks["tags.aliased-versions"].detail.startswith("1 with tags")
    assert found(tagged) == {}


def test_a_champion_whose_feature_service_is_gone_is_an_error(tagged):
    tagged.sql("UPDATE model_version_tags SET value = 'gone'")
    assert found(tagged) == {
        "tags.aliased-versions": (
            "error",
            "1 of 1 name features that the registry does not have: churn/2 (feature service gone)",
        )
    }


def test_what_other_versions_and_runs_name_is_a_warning(tagged):
    tag(tagged, 1, "feast.feature_service", "gone")
    tagged.sql("UPDATE tags SET value = 'customer:recency,customer:age' WHERE key = 'feast.feature_refs'")
    problems = found(tagged)
    assert problems["tags.versions"][0] == "warning"
    severity, detail = problems["tags.runs"]
    assert severity == "warning"
    assert detail.endswith(f"{run_id_of('first')} (feature customer:age)")
    assert len(problems) == 2


def test_a_project_that_is_gone_is_told_once(tagged):
    tagged.sql("UPDATE tags SET value = 'other' WHERE key = 'feast.project'")
    assert found(tagged)["tags.runs"][1].endswith("(project other)")


def test_references_that_were_cut_off_and_versions_of_views_are_understood(tagged):
    tagged.sql(
        "UPDATE tags SET value = 'customer@v2:recency, customer:freq...' WHERE key = 'feast.feature_refs'",
    )
    assert found(tagged) == {}


def test_a_registry_that_cannot_be_read_leaves_tags_unchecked(tagged):
    tagged.others["feast-registry"] = Registry(b"")
    checks = {each.subject: each for each in tagged.check()}
    assert checks["tags.features"].verdict == "not checked"
    assert "0 bytes" in checks["tags.features"].detail
    del tagged.others["feast-registry"]
    checks = {each.subject: each for each in tagged.check()}
    assert checks["tags.features"].detail == "feast-registry cannot be read as a registry"
