"""What an alias names, with what version and run say of its features, and its files."""

from pathlib import Path

import pytest
from tests.mlflow_application.tracking import run_id_of

from drkeeper.applications._across.champion import ChampionMissing, opened_champion
from drkeeper.applications._mlflow.options import RecordedModel
from drkeeper.errors import DrkeeperError

CHURN = RecordedModel(name="churn")


def opened(platform, model=CHURN, **more):
    return opened_champion(platform.application(model_seconds=30, **more).options, platform.systems, model)


def tag_run(platform, key, value):
    query = "INSERT INTO tags (key, value, run_uuid) VALUES (%s, %s, %s)"
    platform.sql(query, key, value, run_id_of("first"))


def tag_version(platform, number, key, value):
    query = "INSERT INTO model_version_tags (key, value, name, version) VALUES (%s, %s, 'churn', %s)"
    platform.sql(query, key, value, number)


def test_a_champion_comes_with_its_files_and_its_tags_about_features(platform):
    tag_run(platform, "feast.project", "shop")
    tag_run(platform, "feast.feature_service", "older")
    tag_run(platform, "mlflow.user", "somebody")
    tag_version(platform, 2, "feast.feature_service", "churn")
    tag_version(platform, 1, "feast.feature_refs", "of:another")
    with opened(platform) as champion:
        assert (champion.name, champion.alias, champion.version) == ("churn", "champion", 2)
        assert champion.tags == {"feast.project": "shop", "feast.feature_service": "churn"}
        assert {"MLmodel", "model.pkl"} <= {path.name for path in Path(champion.folder).iterdir()}
        assert champion.limits.seconds == 30
        folder = champion.folder
    assert not Path(folder).exists()


def test_a_frozen_view_of_the_database_says_whom_the_alias_named_then(platform):
    systems = platform.systems
    with systems["mlflow-db"].freeze() as view:
        platform.sql("UPDATE registered_model_aliases SET version = 1 WHERE name = 'churn'")
        with opened_champion(platform.application().options, {**systems, "mlflow-db": view}, CHURN) as champion:
            assert champion.version == 2
    with opened(platform) as champion:
        assert champion.version == 1


def test_an_alias_that_nobody_gave_is_told(platform):
    with (
        pytest.raises(ChampionMissing, match="no version of churn has the alias shadow"),
        opened(platform, RecordedModel(name="churn", alias="shadow")),
    ):
        pass


def test_a_model_larger_than_may_be_fetched_is_not_fetched(platform):
    with pytest.raises(DrkeeperError, match="of 10 that may be fetched"), opened(platform, model_bytes=10):
        pass
