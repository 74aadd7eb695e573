"""A drill cannot reach production: it is given nothing that leads there, and nothing of it ever knocks."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType

import psycopg
import pytest
from pydantic import BaseModel, SecretStr

import walk
from drkeeper import rehearsals
from drkeeper.drill_apart import conclude, failed_record
from drkeeper.drill_places import living_in
from drkeeper.drill_wiring import drill_request, environment_of, exercise_of, order_of
from drkeeper.errors import Refused
from drkeeper.policy import find_policy, load_policy
from drkeeper.scenarios import BUILT_IN
from drkeeper.systems import kind_names, load_kind
from drkeeper.wiring import loss, open_systems
from inside import inside_of_drills
from vault_examples import make_point
from walk import everything_here

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


@pytest.fixture
def no_control_plane(monkeypatch):
    monkeypatch.setattr("drkeeper.drill_wiring.startable", lambda kind: kind != "kubernetes")


def request_of(policy):
    return drill_request(policy, make_point(policy="everything"), trigger="manual")


def test_the_policy_of_these_tests_does_lead_to_production(tmp_path):
    found = leads_to_production(policy_of_everything(tmp_path))
    assert {SECRET, "production-db", "production-cache", "/production/kubeconfig"} <= set(found)
    assert {"s3://production-artifacts", "https://production-s3", "production-access-key"} <= set(found)


@pytest.mark.usefixtures("no_control_plane")
def test_a_drill_is_given_nothing_that_leads_to_a_database_or_cache(tmp_path):
    policy = policy_of_everything(tmp_path)
    request = request_of(policy)
    assert set(request.fallbacks) == {"cluster"}
    assert leads_to_production(dataclasses.replace(request, fallbacks={})) == []
    assert request.carried["cluster"]["secrets"] is not None  # the key of what is restored is how, not where


@pytest.mark.usefixtures("no_control_plane")
@pytest.mark.parametrize("scenario", sorted(set(BUILT_IN) - {"registry-corrupted"}))  # no registry in this policy
def test_no_scenario_gives_a_drill_more_than_it_takes_away(tmp_path, scenario):
    policy = policy_of_everything(tmp_path, ENCRYPTED % RECIPIENT)
    lost, own = loss(policy, scenario)
    request = drill_request(policy, make_point(policy="everything"), exercise=exercise_of(policy, lost, own), own=own)
    assert leads_to_production(dataclasses.replace(request, fallbacks={})) == []
    assert set(request.carried) == set(lost.systems)
    assert set(request.fallbacks) <= set(lost.systems)


@pytest.mark.usefixtures("no_control_plane")
def test_with_a_scratch_cluster_a_drill_is_given_nothing_that_leads_to_production_at_all(tmp_path):
    policy = policy_of_everything(tmp_path, "sandbox: {cluster: {kubeconfig: /scratch/kubeconfig}}")
    request = request_of(policy)
    assert "/scratch/kubeconfig" in set(reachable(request.fallbacks))
    assert leads_to_production(request) == []


def test_where_a_control_plane_can_be_started_no_cluster_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("drkeeper.drill_wiring.startable", lambda _: True)
    assert request_of(policy_of_everything(tmp_path)).fallbacks == {}


@pytest.mark.usefixtures("no_control_plane")
def test_the_environment_of_a_drill_says_how_and_not_where(tmp_path):
    ours = {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_ALL": "C",
        "TZ": "UTC",
        "https_proxy": "http://proxy:1",
        "PGHOST": "db",
        "PG_ANY": "1",
        "REDIS_URL": "redis://cache",
        "USER_SERVICE_HOST": "10.0.0.3",
        "SECRET": "s",
        "AWS_SECRET_ACCESS_KEY": "k",
        "GOOGLE_API_KEY": "k",
        "KUBECONFIG": "/k",
        "DRKEEPER_POLICY": "/p",
    }
    how = {"PATH", "HOME", "LC_ALL", "TZ", "https_proxy", "PYDANTIC_DISABLE_PLUGINS"}
    policy = policy_of_everything(tmp_path)
    request = request_of(policy)
    assert set(environment_of(order_of(policy, request), ours)) == how
    far = policy.vault.regions["here"].model_copy(update={"url": "s3://vault"})
    vault = policy.vault.model_copy(update={"regions": {"here": far}})
    in_a_bucket = policy.model_copy(update={"vault": vault})
    assert set(environment_of(order_of(in_a_bucket, request), ours)) == how | {"AWS_SECRET_ACCESS_KEY"}
    unnamed = dataclasses.replace(request.fallbacks["cluster"], options={"kubeconfig": None})
    asking = dataclasses.replace(request, fallbacks={"cluster": unnamed})
    assert set(environment_of(order_of(policy, asking), ours)) == how | {"KUBECONFIG"}


@pytest.mark.usefixtures("no_control_plane")
def test_without_one_a_drill_may_ask_the_live_cluster_for_a_dry_run_and_for_nothing_else(tmp_path):
    request = request_of(policy_of_everything(tmp_path))
    fallback = request.fallbacks["cluster"]
    assert not fallback.scratch
    assert "https://production-git/manifests.git" not in set(reachable(fallback))
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
        said = platform.run("drill").stderr
        assert (database, cache) == ([], [])
        events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")]
        assert {"begin", "end", "step done"} <= set(events), "its process tells how it goes"
        platform.run("check", code=5)
        assert database
        assert cache


# --- whoever sits inside of a drill, and tries ---

# Each looks at its process when all servers of the sandbox are up, and goes on.
LOOK = """
import json, os, sys, time
sys.path.append(%(tests)r)
import drkeeper.drill
from walk import everything_here

class Intruder(drkeeper.drill.Restorer):
    def carry_out(self):
        found = {"process": os.getpid(), "texts": sorted(everything_here()), "modules": sorted(sys.modules)}
        with open(%(found)r, "w") as file:
            json.dump(found, file)
        while not os.path.exists(%(seen)r):
            time.sleep(0.02)
        return super().carry_out()

drkeeper.drill.Restorer = Intruder
"""
TRY = """
import json
import drkeeper.drill

def by_its_file():
    from drkeeper.policy import load_policy
    from drkeeper.wiring import open_systems
    return open_systems(load_policy(Path(%(policy)r)), ["mlflow-db"])

def by_the_usual_place():
    from drkeeper.policy import find_policy
    return find_policy()

def by_the_environment():
    import psycopg
    return psycopg.connect(dbname="shop", connect_timeout=5)

from pathlib import Path

class Intruder(drkeeper.drill.Restorer):
    def carry_out(self):
        tried = {}
        for way in (by_its_file, by_the_usual_place, by_the_environment):
            try:
                tried[way.__name__] = f"there: {way()}"
            except Exception as error:
                tried[way.__name__] = type(error).__name__
        Path(%(found)r).write_text(json.dumps(tried))
        return super().carry_out()

drkeeper.drill.Restorer = Intruder
"""
DIE = """
import os, signal
import drkeeper.drill

class Intruder(drkeeper.drill.Restorer):
    def carry_out(self):
        os.kill(os.getpid(), signal.SIGKILL)

drkeeper.drill.Restorer = Intruder
"""


def as_an_operator_has_it(platform, monkeypatch):
    """Production by name, and an environment that leads there by every usual word; what must not be found."""
    port = str(platform.postgres.port)
    variables = {
        **platform.environment,
        "DRKEEPER_POLICY": str(platform.policy_file),
        "PGHOST": "127.0.0.1",
        "PGPORT": port,
        "PGUSER": "postgres",
        "PGPASSWORD": platform.environment["DB_PASSWORD"],
        "REDIS_URL": f"redis://:{platform.environment['REDIS_PASSWORD']}@production-cache.example:{platform.valkey.port}",
        "MLFLOW_DB_SERVICE_HOST": "production-db.example",
        "AWS_SECRET_ACCESS_KEY": "production-secret-key",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = platform.policy_file.read_text()
    for there, name in ((platform.postgres.port, "production-db"), (platform.valkey.port, "production-cache")):
        host = f"host: 127.0.0.1\n    port: {there}"
        assert host in text
        text = text.replace(host, f"host: {name}.example\n    port: {there}")
    platform.policy_file.write_text(text)
    secrets = {platform.environment[name] for name in ("DB_PASSWORD", "REDIS_PASSWORD")}
    ports = {port, str(platform.valkey.port)}
    return {"production-db.example", "production-cache.example", "production-secret-key", *secrets}, ports


def leads(texts, marks, ports):
    """Which of them are in there."""
    joined = "\n".join(texts)
    said = {f"{before}{port}" for port in ports for before in (":", "port=")}
    return {mark for mark in marks | said if mark in joined}


def memory(process_id):
    """All that a process can write to, stacks and heaps among it."""
    for line in Path(f"/proc/{process_id}/maps").read_text().splitlines():
        place, rights = line.split()[:2]
        if rights.startswith("rw"):
            begin, end = (int(each, 16) for each in place.split("-"))
            with Path(f"/proc/{process_id}/mem").open("rb", 0) as opened, suppress(OSError):
                opened.seek(begin)
                yield opened.read(end - begin)


def in_memory(process_id, marks):
    return {mark for block in memory(process_id) for mark in marks if mark.encode() in block}


def test_nothing_in_the_process_of_a_drill_leads_to_production(platform, tmp_path, monkeypatch):
    platform.run("backup")
    marks, ports = as_an_operator_has_it(platform, monkeypatch)
    found, seen = tmp_path / "found.json", tmp_path / "seen"
    names = {"tests": str(Path(walk.__file__).parent), "found": str(found), "seen": str(seen)}
    inside_of_drills(monkeypatch, tmp_path / "inside", LOOK % names)
    policy = platform.policy()
    assert leads(everything_here(), marks, ports) >= marks | {f"port={port}" for port in ports}, "here they are"
    with ThreadPoolExecutor(1) as pool:
        drilled = pool.submit(rehearsals.drill, policy)
        while not found.exists() or not (text := found.read_text()).endswith("}"):
            assert not drilled.done(), drilled.result().error
            time.sleep(0.05)
        told = json.loads(text)
        remembered = in_memory(told["process"], marks | {platform.identity, "drkeeper-drill-"})
        seen.touch()
    assert drilled.result().error == ""
    assert told["process"] != os.getpid()
    assert leads(told["texts"], marks, ports) == set()
    assert remembered == {platform.identity, "drkeeper-drill-"}, "what it does need is found, and nothing else"
    assert leads(told["texts"], {platform.identity, f"{platform.folder}/sandbox/drkeeper-drill-"}, set())
    assert "drkeeper.drill" in told["modules"]
    assert not {"drkeeper.policy", "drkeeper.wiring"} & set(told["modules"])


def test_who_tries_to_open_production_from_inside_of_a_drill_cannot(platform, tmp_path, monkeypatch):
    platform.run("backup")
    as_an_operator_has_it(platform, monkeypatch)
    found = tmp_path / "found.json"
    inside_of_drills(monkeypatch, tmp_path / "inside", TRY % {"policy": str(platform.policy_file), "found": str(found)})
    assert rehearsals.drill(platform.policy()).error == ""
    assert json.loads(found.read_text()) == {
        "by_its_file": "PolicyInvalid",
        "by_the_usual_place": "PolicyInvalid",
        "by_the_environment": "OperationalError",
    }
    with psycopg.connect(dbname="shop", connect_timeout=5) as connection:
        assert connection.execute("SELECT count(*) FROM sale").fetchone()[0], "from here it is one word"
    assert find_policy() == platform.policy_file
    assert set(open_systems(load_policy(platform.policy_file), ["mlflow-db"])) == {"mlflow-db"}


def test_a_drill_whose_process_is_killed_is_a_failed_drill_and_leaves_nothing(platform, tmp_path, monkeypatch):
    platform.run("backup")
    inside_of_drills(monkeypatch, tmp_path / "inside", DIE)
    record = rehearsals.drill(platform.policy())
    assert "ended by SIGKILL" in record.error
    assert record.rto_seconds is None
    assert {check.subject: check.verdict for check in record.clean_up} == {
        "sandbox.processes": "passed",
        "sandbox.folder": "passed",
    }
    assert list((platform.folder / "sandbox").iterdir()) == []
    [row] = platform.json("drill", "list", "--all")
    assert row["drill_id"] == record.drill_id
    assert platform.json("points")[-1]["failed_proof"] is None, "it says nothing of the point"


def folders(platform):
    return list((platform.folder / "sandbox").glob("drkeeper-drill-*"))


def test_a_drill_that_is_told_to_end_ends_its_process_and_its_servers(platform):
    platform.run("backup")
    drilling = platform.start("drill", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up_at = time.monotonic() + 60
    while not (running := [each for each in folders(platform) if living_in(each)]) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    [folder] = running
    drilling.send_signal(signal.SIGTERM)
    assert drilling.wait(60) == 130
    assert living_in(folder) == []
    assert list((platform.folder / "sandbox").iterdir()) == []


def test_the_record_of_another_drill_is_none(tmp_path):
    request = request_of(policy_of_everything(tmp_path))
    own = failed_record(request, "it failed", began_at=datetime.now(UTC)).model_dump(mode="json")
    assert conclude({"record": own, "served": ["here"]}, request).served == {"here"}
    for wrong in ({"drill_id": "0"}, {"policy": "other"}, {"rto_seconds": "soon"}, {"more": 1}):
        with pytest.raises(ValueError, match=r"another drill|validation error"):
            conclude({"record": {**own, **wrong}, "served": []}, request)
