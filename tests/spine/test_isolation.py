"""A drill cannot reach production: it is given nothing that leads there, and nothing of it ever knocks."""

import dataclasses
import socket
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType

import pytest
from pydantic import BaseModel, SecretStr

from drkeeper import rehearsals
from drkeeper.drill_wiring import drill_request, exercise_of
from drkeeper.errors import Refused
from drkeeper.policy import load_policy
from drkeeper.restore import Restorer
from drkeeper.scenarios import BUILT_IN
from drkeeper.systems import kind_names, load_kind
from drkeeper.wiring import loss
from vault_examples import make_point

# Each word that leads to the protected servers says so.
POLICY = """\
version: 1
name: everything
systems:
  db:
    kind: postgres
    host: production-db
    port: 5432
    user: production-user
    password: ${env:SECRET}
    databases: [shop]
    tls: {mode: verify-full, ca: /production/ca.pem, cert: /production/cert.pem, key: /production/key.pem}
  cache:
    kind: redis
    host: production-cache
    user: production-user
    password: ${env:SECRET}
    replica: {host: production-replica}
    listen_host: production-listener
  cluster:
    kind: kubernetes
    kubeconfig: /production/kubeconfig
    context: production-context
    git: {url: "https://production-git/manifests.git", token: "${env:SECRET}"}
    secrets: {recipients: [%(recipient)s], identity: "${env:IDENTITY}", key: "${env:SEAL}"}
  artifacts:
    kind: objects
    url: s3://production-artifacts
    endpoint: https://production-s3
    access_key: production-access-key
    secret_key: ${env:SECRET}
    replica: {url: "s3://far-artifacts", endpoint: "https://far-s3", access_key: far-key, secret_key: "${env:FAR}"}
vault:
  regions:
    here: {url: %(folder)s/vault}
%(more)s
"""
ENCRYPTED = """\
  encryption: {recipients: [%s]}
scenarios: {key-lost: {identity: "${env:IDENTITY}"}}
"""
SECRET = "production-secret"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def policy_of_everything(folder, more=""):
    file = folder / "drkeeper.yaml"
    file.write_text(POLICY % {"folder": folder, "more": more, "recipient": RECIPIENT})
    environment = {
        "SECRET": SECRET,
        "IDENTITY": "AGE-SECRET-KEY-1" + "Q" * 58,
        "SEAL": "0123456789abcdef" * 4,
        "FAR": "far-secret",
    }
    return load_policy(file, environment)


def reachable(thing):
    """All text that can be got at from an object: fields, items, and what functions have closed over."""
    if isinstance(thing, SecretStr):
        yield thing.get_secret_value()
    elif isinstance(thing, BaseModel):
        yield from reachable(dict(thing))
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        yield from reachable({field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)})
    elif isinstance(thing, Mapping):
        for key, each in thing.items():
            yield from reachable(key)
            yield from reachable(each)
    elif isinstance(thing, FunctionType):
        yield from reachable([cell.cell_contents for cell in thing.__closure__ or ()])
        yield from reachable(thing.__defaults__ or ())
    elif isinstance(thing, list | tuple | set | frozenset):
        for each in thing:
            yield from reachable(each)
    else:
        yield str(thing)


def leads_to_production(thing):
    return sorted({text for text in reachable(thing) if "production" in text})


def request_of(policy):
    return drill_request(policy, make_point(policy="everything"), trigger="manual")


def test_the_policy_of_these_tests_does_lead_to_production(tmp_path):
    found = leads_to_production(policy_of_everything(tmp_path))
    assert {SECRET, "production-db", "production-cache", "/production/kubeconfig"} <= set(found)
    assert {"s3://production-artifacts", "https://production-s3", "production-access-key"} <= set(found)


def test_a_drill_is_given_nothing_that_leads_to_a_database_or_cache(tmp_path):
    policy = policy_of_everything(tmp_path)
    request = request_of(policy)
    assert set(request.fallbacks) == {"cluster"}
    assert leads_to_production(dataclasses.replace(request, fallbacks={})) == []
    assert request.carried["cluster"]["secrets"] is not None  # the key of what is restored is how, not where


@pytest.mark.parametrize("scenario", sorted(set(BUILT_IN) - {"registry-corrupted"}))  # no registry in this policy
def test_no_scenario_gives_a_drill_more_than_it_takes_away(tmp_path, scenario):
    policy = policy_of_everything(tmp_path, ENCRYPTED % RECIPIENT)
    lost, own = loss(policy, scenario)
    request = drill_request(policy, make_point(policy="everything"), exercise=exercise_of(policy, lost, own), own=own)
    assert leads_to_production(dataclasses.replace(request, fallbacks={})) == []
    assert set(request.carried) == set(lost.systems)
    assert set(request.fallbacks) <= set(lost.systems)


def test_with_a_scratch_cluster_a_drill_is_given_nothing_that_leads_to_production_at_all(tmp_path):
    policy = policy_of_everything(tmp_path, "sandbox: {cluster: {kubeconfig: /scratch/kubeconfig}}")
    request = request_of(policy)
    assert "/scratch/kubeconfig" in set(reachable(request.fallbacks))
    assert leads_to_production(request) == []


def test_without_one_a_drill_may_ask_the_live_cluster_for_a_dry_run_and_for_nothing_else(tmp_path):
    request = request_of(policy_of_everything(tmp_path))
    fallback = request.fallbacks["cluster"]
    assert fallback.clear is None
    assert "dry run" in fallback.words
    assert fallback.open()._options.dry_run


def test_a_drill_of_a_bucket_is_given_its_replica_which_it_can_only_read(tmp_path):
    carried = request_of(policy_of_everything(tmp_path)).carried["artifacts"]
    assert {"s3://far-artifacts", "far-secret"} <= set(reachable(carried))
    place = {"url": "s3://sandbox", "endpoint": "http://127.0.0.1:9", "allow_http": True, "throw_away": True}
    kind = load_kind("objects")
    system = kind.open_system("artifacts", kind.options.model_validate({**carried, **place}))
    assert leads_to_production(system._options) == []
    for method in ("PUT", "POST", "DELETE"):
        with pytest.raises(Refused, match="reading only"):
            system._places.replica.request(method, "key")


@pytest.mark.parametrize("kind", kind_names())
def test_what_a_kind_hands_on_to_drills_names_no_place_and_no_login(kind):
    options = load_kind(kind).options
    places = {"host", "port", "user", "password", "passfile", "url", "tls", "replica", "kubeconfig", "context", "git"}
    places |= {"endpoint", "access_key", "secret_key", "session_token", "native"}
    # The replica of a bucket is where its bytes come from, as those of the others come from the vault.
    sources = {"objects": {"replica"}}
    assert set(getattr(options, "SANDBOX_FIELDS", ())) <= set(options.model_fields) - places | sources.get(kind, set())


# --- a whole drill, in a process of its own ---


@contextmanager
def tripwire():
    """A port at which nobody serves, and who has knocked there."""
    knocks = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen():
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                knocks.append(address)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield listener.getsockname()[1], knocks
        listener.shutdown(socket.SHUT_RDWR)


def test_a_drill_never_knocks_at_production_and_needs_none_of_its_passwords(platform):
    platform.run("beat")
    platform.run("backup")
    with tripwire() as (database_port, database), tripwire() as (cache_port, cache):
        text = platform.policy_file.read_text()
        for port, instead in ((platform.postgres.port, database_port), (platform.valkey.port, cache_port)):
            assert f"port: {port}" in text
            text = text.replace(f"port: {port}", f"port: {instead}")
        platform.policy_file.write_text(text)
        platform.environment |= {"DB_PASSWORD": "not known here", "REDIS_PASSWORD": "not known here"}
        platform.run("drill")
        assert (database, cache) == ([], [])
        platform.run("check", code=5)
        assert database
        assert cache


# --- whoever sits inside of a drill, and tries ---


def everything_from(*roots):
    """All text and numbers that can be got at by any attribute, item, closure or bound object."""
    seen, waiting, texts = set(), list(roots), set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType):
            continue
        seen.add(id(thing))
        if isinstance(thing, str | bytes | int | float):
            texts.add(str(thing))
        elif isinstance(thing, SecretStr):
            texts.add(thing.get_secret_value())
        elif isinstance(thing, Mapping):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif isinstance(thing, FunctionType):
            waiting += [*(cell.cell_contents for cell in thing.__closure__ or ()), thing.__defaults__]
        elif isinstance(thing, MethodType):
            waiting.append(thing.__self__)
        waiting += getattr(thing, "__dict__", {}).values()
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names = [slots] if isinstance(slots, str) else slots
            waiting += [getattr(thing, name) for name in names if name[:2] != "__" and hasattr(thing, name)]
    return texts


def test_what_runs_inside_of_a_drill_and_tries_finds_no_way_to_production(platform, monkeypatch):
    platform.run("backup")
    policy = platform.policy()
    marks = {str(platform.postgres.port), str(platform.valkey.port), *platform.environment.values()}
    marks.discard(platform.identity)  # of the vault, which a drill must read
    assert marks <= everything_from(policy), "the walk does find them where they are"
    tried = []

    class Intruder(Restorer):
        def carry_out(self):
            tried.append(everything_from(self))
            return super().carry_out()

    monkeypatch.setattr("drkeeper.drill.Restorer", Intruder)
    record = rehearsals.drill(policy, scenario="everything-lost")
    assert record.error == ""
    (found,) = tried
    assert not marks & found
    sandbox = {str(system) for system in found if system.startswith(f"{platform.folder}/sandbox")}
    assert sandbox, "the walk went as far as the sandbox's servers"
