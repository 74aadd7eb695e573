"""Feast's own configuration of a project, made of what the policy says about its systems: no feature_store.yaml."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from drkeeper.applications._feast.options import Options
from drkeeper.errors import PolicyInvalid
from drkeeper.systems import Browsing, Endpoint, Keeping, Registering, System

ONLINE_VARIABLE = "DRKEEPER_FEAST_ONLINE_STORE"


def repo_config(options: Options, systems: Mapping[str, System]) -> tuple[dict[str, Any], dict[str, SecretStr]]:
    """Keyword arguments of Feast's `RepoConfig`, and what its process finds in its environment.

    Strings of the form `${NAME}` stand for a variable of that environment: the online store's address has its
    password in it.

    Raises:
        PolicyInvalid: A system is not there, or is of a kind that Feast cannot use so.
    """
    registry, store = systems.get(options.registry), systems.get(options.online)
    if not isinstance(registry, Registering):
        raise PolicyInvalid(f"{options.registry} is no Feast registry", hint="name a system of kind feast_registry")
    if not isinstance(store, Keeping):
        raise PolicyInvalid(f"{options.online} is no online store", hint="name a system of kind redis")
    registry_config, environment = registry.feast_config()
    environment = {**environment, **_source_environment(options, systems, environment)}
    environment[ONLINE_VARIABLE] = SecretStr(connection_string(store.endpoint))
    config: dict[str, Any] = {
        "project": options.project,
        "provider": "local",
        "registry": dict(registry_config),
        "online_store": {"type": "redis", "connection_string": f"${{{ONLINE_VARIABLE}}}"},
        "offline_store": dict(options.offline),
        "entity_key_serialization_version": 3,
    }
    if options.key_ttl_seconds is not None:
        config["online_store"]["key_ttl_seconds"] = options.key_ttl_seconds
    if options.online_versions:
        config["registry"]["enable_online_feature_view_versioning"] = True
    if options.repository is not None:
        config["repo_path"] = str(options.repository)
    return config, environment


def connection_string(endpoint: Endpoint) -> str:
    """Where Redis is, as Feast reads it: `host:port,name=value,…`, each value as JSON, in which no comma may stand.

    Raises:
        PolicyInvalid: An IPv6 address, which Feast takes for a host and a port.
    """
    if ":" in endpoint.host:
        raise PolicyInvalid(
            f"Feast cannot be told the address {endpoint.host}", hint="name the server by its host name in the policy"
        )
    settings: dict[str, str | bool] = {}
    if endpoint.user:
        settings["username"] = endpoint.user
    if endpoint.password is not None:
        settings["password"] = endpoint.password.get_secret_value()
    if endpoint.tls:
        settings["ssl"] = True
    if endpoint.ca is not None:
        settings["ssl_ca_certs"] = str(endpoint.ca)
    told = [f"{name}={json.dumps(value).replace(',', chr(92) + 'u002c')}" for name, value in settings.items()]
    return ",".join((f"{endpoint.host}:{endpoint.port}", *told))


def _source_environment(
    options: Options, systems: Mapping[str, System], known: Mapping[str, SecretStr]
) -> dict[str, SecretStr]:
    """What finds the buckets of the offline sources.

    Raises:
        PolicyInvalid: They, or they and the registry, need different keys; one process has but one environment.
    """
    environment: dict[str, SecretStr] = {}
    for name in options.sources:
        system = systems.get(name)
        if not isinstance(system, Browsing):
            raise PolicyInvalid(f"{name} holds no objects", hint="name systems of kind objects as `sources`")
        for variable, value in system.sdk_environment().items():
            if {**known, **environment}.get(variable, value) != value:
                raise PolicyInvalid(
                    f"{name} needs another {variable} than the registry or another source",
                    hint="give the policy one account that may read registry and sources",
                )
            environment[variable] = value
    return environment
