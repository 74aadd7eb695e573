"""Two processes with the real Feast SDK write one registry: what is lost without a lock, and nothing with one."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import seaweed
from drkeeper.locks import hold_lock
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault

from . import test_lock

TIMES = 15
SWAPPING = "drkeeper.feast_registry_store.CompareAndSwapRegistryStore"


class Writer:
    """One process that has imported Feast; `tests/locks/feast_writer.py`."""

    def __init__(self, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "locks.feast_writer"],
            env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[1]), "FEAST_USAGE": "False"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, what, *arguments, **named):
        """Not waiting for the answer."""
        names = {"change": ("name",), "apply": ("names",), "apply_in_turn": ("name", "vault"), "remove": ("name",)}
        names |= {"open": ("registry", "folder"), "materialised": ("name", "start", "end"), "intervals": ("name",)}
        line = [what, dict(zip(names.get(what, ()), arguments, strict=True)) | named]
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def answer(self):
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def ask(self, what, *arguments, **named):
        self.send(what, *arguments, **named)
        return self.answer()

    def ready(self):
        assert json.loads(self._process.stdout.readline()) == "ready"

    def end(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture(scope="module")
def processes(server):
    environment = {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "FEAST_S3_ENDPOINT_URL": server.endpoint,
    }
    writers = [Writer(environment) for _ in range(2)]
    try:
        for each in writers:
            each.ready()
        yield writers
    finally:
        for each in writers:
            each.end()


@pytest.fixture
def writers(processes, tmp_path):
    """Both with one registry open: `writers(registry)`."""

    def opened(registry):
        for number, each in enumerate(processes):
            each.ask("open", {"registry_type": "file", **registry}, str(tmp_path / str(number)))
        return processes

    return opened


@pytest.fixture(params=["a file", "S3"])
def swapping(request, server, tmp_path):
    """A registry under our store."""
    path = tmp_path / "registry.db" if request.param == "a file" else f"s3://{server.make_bucket()}/some/registry.db"
    return {"registry_store_type": SWAPPING, "path": str(path)}


def in_step(first, second, times=TIMES):
    """Each writer changes what it has read before the other one commits; the names of what was acknowledged."""
    acknowledged = []
    for number in range(times):
        for name, writer in (("first", first), ("second", second)):
            writer.ask("change", f"{name}_{number}")
        for name, writer in (("first", first), ("second", second)):
            writer.ask("commit")
            acknowledged.append(f"{name}_{number}")
    return sorted(acknowledged)


def views(writer):
    writer.ask("refresh")
    return writer.ask("views")


def test_without_a_lock_acknowledged_updates_of_a_file_are_lost(writers, tmp_path):
    first, second = writers({"path": str(tmp_path / "registry.db")})
    acknowledged = in_step(first, second)
    left = views(first)
    assert len(acknowledged) == 2 * TIMES
    assert set(left) < set(acknowledged)
    assert "first_0" not in left, "the second writer had read the registry before it was there"


def test_without_a_lock_acknowledged_updates_in_s3_are_lost(writers, server):
    first, second = writers({"path": f"s3://{server.make_bucket()}/registry.db"})
    acknowledged = in_step(first, second)
    assert set(views(first)) < set(acknowledged)


def test_under_a_lock_of_the_vault_nothing_is_lost(writers, tmp_path):
    vault = tmp_path / "vault"
    Vault.create({"near": open_store(StoreOptions(url=str(vault)))})
    both = writers({"path": str(tmp_path / "registry.db")})
    for number in range(TIMES):
        for name, writer in zip(("first", "second"), both, strict=True):
            writer.send("apply_in_turn", f"{name}_{number}", str(vault))
    tokens = [[writer.answer() for _ in range(TIMES)] for writer in both]
    assert all(each == sorted(set(each)) for each in tokens)
    assert len({*tokens[0], *tokens[1]}) == 2 * TIMES, "each apply had a turn, and a token, of its own"
    assert len(views(both[0])) == 2 * TIMES


def test_by_compare_and_swap_nothing_is_lost_though_every_commit_meets_another(writers, swapping):
    first, second = writers(swapping)
    acknowledged = in_step(first, second)
    assert views(first) == views(second) == acknowledged
    assert len(acknowledged) == 2 * TIMES


def test_by_compare_and_swap_nothing_is_lost_of_whole_applies_as_they_come(writers, swapping):
    """Both apply the same entity each time, which Feast writes anew with other times."""
    both = writers(swapping)
    for number in range(TIMES):
        for name, writer in zip(("first", "second"), both, strict=True):
            writer.send("apply", [f"{name}_{number}"])
    for writer in both:
        for _ in range(TIMES):
            writer.answer()
    assert len(views(both[0])) == 2 * TIMES


def test_materialised_intervals_of_one_view_are_united(writers, swapping):
    first, second = writers(swapping)
    first.ask("apply", ["orders"])
    second.ask("refresh")
    first.ask("materialised", "orders", 0, 100)
    second.ask("materialised", "orders", 100, 200)
    first.ask("materialised", "orders", 200, 300)
    second.ask("refresh")
    assert second.ask("intervals", "orders") == [[0, 100], [100, 200], [200, 300]]


def test_a_view_that_was_removed_stays_removed_when_another_writer_commits_what_it_read_before(writers, swapping):
    first, second = writers(swapping)
    first.ask("apply", ["orders", "visits"])
    second.ask("refresh")
    second.ask("change", "spending")
    first.ask("remove", "orders")
    first.ask("commit")
    second.ask("commit")
    assert views(first) == ["spending", "visits"]


def test_a_view_that_both_changed_differently_is_named_and_nothing_is_written(writers, swapping):
    first, second = writers(swapping)
    first.ask("apply", ["orders"])
    second.ask("refresh")
    first.ask("change", "orders", ttl_days=2)
    second.ask("change", "orders", ttl_days=3)
    second.ask("change", "visits")
    first.ask("commit")
    with pytest.raises(RuntimeError, match="RegistryConflict: feature view churn/orders was changed by two writers"):
        second.ask("commit")
    assert views(second) == ["orders"]
    second.ask("change", "visits")
    second.ask("commit")
    assert views(first) == ["orders", "visits"], "and after reading anew it goes on"


def test_a_write_whose_answer_was_lost_is_known_again_and_not_written_twice(writers, swapping):
    first, second = writers(swapping)
    first.ask("apply", ["visits"])
    first.ask("struck_by", fault="answers are lost")
    first.ask("change", "orders")
    first.ask("commit")
    assert first.ask("strikes") == 1
    assert views(second) == ["orders", "visits"]


def test_a_writer_that_never_comes_to_its_turn_says_so(writers, tmp_path):
    first, second = writers({"registry_store_type": SWAPPING, "path": str(tmp_path / "registry.db")})
    first.ask("apply", ["visits"])
    first.ask("struck_by", fault="others are faster")
    first.ask("change", "orders")
    with pytest.raises(RuntimeError, match=r"RegistryContended: .* was changed by others 15 times"):
        first.ask("commit")
    assert first.ask("strikes") == 15
    assert views(second) == ["visits"]


@pytest.mark.parametrize("damage", [b"", b"no registry at all"])
def test_a_registry_that_is_none_is_refused_and_left_as_it_is(writers, tmp_path, damage):
    file = tmp_path / "registry.db"
    file.write_bytes(damage)
    first, _ = writers({"registry_store_type": SWAPPING, "path": str(file)})
    with pytest.raises(RuntimeError, match=f"RegistryDamaged: .* holds {len(damage)} bytes"):
        first.ask("apply", ["orders"])
    assert file.read_bytes() == damage


def test_metadata_of_a_project_takes_nothing_from_what_feast_goes_on_with(writers, swapping):
    first, second = writers(swapping)
    first.ask("apply", ["orders"])
    second.ask("refresh")
    first.ask("apply", ["visits"])
    second.ask("note", key="owner", value="Ada")  # reads the registry anew, with the other view in it
    second.ask("change", "spending")
    second.ask("commit")
    assert views(first) == ["orders", "spending", "visits"]
    assert first.ask("noted", key="owner") == "Ada"


DEFINITIONS = """
    from datetime import timedelta
    from feast import Entity, FeatureView, Field, FileSource
    from feast.types import Int64, String
    from feast.value_type import ValueType

    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    orders = FeatureView(
        name="orders",
        entities=[customer],
        ttl=timedelta(days=1),
        schema=[Field(name="customer_id", dtype=String), Field(name="orders", dtype=Int64)],
        source=FileSource(name="source", path="/nowhere/orders.parquet", timestamp_field="at"),
    )
"""
STORE = """
    project: churn
    provider: local
    registry: registry.db
    online_store: {type: sqlite, path: online.db}
    offline_store: {type: file}
    entity_key_serialization_version: 3
"""


def test_feast_apply_itself_waits_for_its_turn(tmp_path, writers):
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "definitions.py").write_text(textwrap.dedent(DEFINITIONS))
    (repository / "feature_store.yaml").write_text(textwrap.dedent(STORE))
    vault = Vault.create({"here": open_store(StoreOptions(url=str(tmp_path / "here")))})
    policy = test_lock.write_policy(tmp_path, f"{{url: {tmp_path / 'here'}}}")
    apply = ["sh", "-c", f"exec {Path(sys.executable).with_name('feast')} -c {repository} apply"]
    with hold_lock(vault, "feast-registry", ttl_seconds=60):
        process = subprocess.Popen(test_lock.argv(policy, "feast-registry", "--", *apply), stderr=subprocess.PIPE)
        assert b"waiting for the lock" in process.stderr.readline()
        assert not (repository / "registry.db").exists()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    first, _ = writers({"path": str(repository / "registry.db")})
    assert first.ask("views") == ["orders"]
