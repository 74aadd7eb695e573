"""Feast's configuration, made of what the policy says: nothing secret in it, and everything in the environment."""

from pathlib import Path
from typing import Any

import pytest

from drkeeper.applications._feast.repo import ONLINE_VARIABLE, connection_string, repo_config
from drkeeper.errors import PolicyInvalid
from drkeeper.systems import Endpoint
from drkeeper.systems.objects import Options as ObjectsOptions
from drkeeper.systems.objects import open_system as open_bucket
from drkeeper.systems.redis import Options as RedisOptions
from drkeeper.systems.redis import RedisSystem
from feast_application.conftest import application_of, registry_of


def systems(**more: Any) -> dict[str, Any]:
    reach = {"host": "cache.example", "port": 6390, "user": "reader", "password": "s3cret,word"}
    store = RedisSystem("online", RedisOptions.model_validate(reach))
    return {"registry": registry_of(Path("/nowhere/registry.db")), "online": store, **more}


def bucket(name: str, key: str) -> Any:
    options = {"url": f"s3://{name}/data", "endpoint": "https://s3.example", "access_key": key, "secret_key": "k" * 20}
    return open_bucket(name, ObjectsOptions.model_validate(options))


def test_an_address_that_feast_would_take_apart_is_refused():
    with pytest.raises(PolicyInvalid, match="cannot be told the address ::1"):
        connection_string(Endpoint("::1", 6379))


def test_secrets_stand_in_the_environment_only():
    config, environment = repo_config(application_of(repository="/srv/features").options, systems())
    assert config == {
        "project": "churn",
        "provider": "local",
        "registry": {"registry_type": "file", "path": "/nowhere/registry.db"},
        "online_store": {"type": "redis", "connection_string": f"${{{ONLINE_VARIABLE}}}"},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
        "repo_path": "/srv/features",
    }
    assert "s3cret" in environment[ONLINE_VARIABLE].get_secret_value()


def test_what_no_registry_knows_is_taken_from_the_policy():
    options = application_of(key_ttl_seconds=60, online_versions=True, offline={"type": "duckdb"}).options
    config, _ = repo_config(options, systems())
    assert config["online_store"]["key_ttl_seconds"] == 60
    assert config["registry"]["enable_online_feature_view_versioning"] is True
    assert config["offline_store"] == {"type": "duckdb"}


def test_sources_bring_their_endpoint_and_keys():
    options = application_of(sources=["lake"]).options
    assert options.systems == ("registry", "online", "lake")
    _, environment = repo_config(options, systems(lake=bucket("lake", "one")))
    assert environment["AWS_ACCESS_KEY_ID"].get_secret_value() == "one"


def test_two_accounts_do_not_fit_into_one_environment():
    options = application_of(sources=["lake", "pond"]).options
    with pytest.raises(PolicyInvalid, match="pond needs another AWS_ACCESS_KEY_ID"):
        repo_config(options, systems(lake=bucket("lake", "one"), pond=bucket("pond", "two")))


@pytest.mark.parametrize("name", ["registry", "online"])
def test_a_system_of_another_kind_is_refused(name):
    with pytest.raises(PolicyInvalid, match="lake"):
        repo_config(application_of(**{name: "lake"}).options, systems(lake=bucket("lake", "one")))
