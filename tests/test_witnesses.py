"""What applications remember lies in the vault as sealed as the data it came from, and for as long as the point."""

from datetime import UTC, datetime, timedelta

import pytest

from drkeeper import catalog
from drkeeper.backup import Source, take_point
from drkeeper.errors import KeyMissing
from drkeeper.facts import Facts
from drkeeper.prune import carry_out, plan_prune
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.replicate import replicate, scattered_points
from drkeeper.retention import Rules
from drkeeper.sandbox import start_sandbox
from drkeeper.systems import load_kind
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from drkeeper.verify import verify_points
from drkeeper.witnesses import witness_of
from vault_examples import TEST_IDENTITY, TEST_RECIPIENT, HeldLease

SECRET = "customer 4711 spends 12.5"
SAMPLES = {"entities": [{"customer": SECRET}]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    server = start_sandbox("redis", tmp_path_factory.mktemp("valkey") / "server")
    kind = load_kind("redis")
    yield kind.open_system("store", kind.options.model_validate(server.options))
    server.kill()


@pytest.fixture
def regions(tmp_path):
    return {name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")}


def opened(regions, *, identities=(TEST_IDENTITY,)):
    return Vault.open(regions, identities=identities, recipients=(TEST_RECIPIENT,))


@pytest.fixture
def point(store, regions):
    vault = Vault.create(regions, recipients=(TEST_RECIPIENT,))
    record = ApplicationRecord(
        name="features", kind="feast", systems=("store",), facts=Facts(exact={"views": 3}), samples=SAMPLES
    )
    with vault.writing(HeldLease()) as writer:
        return take_point(
            {"store": Source(store)}, policy="p", writer=writer, point_id="a" * 12, witness=lambda _: (record,)
        )


def test_values_of_a_witness_are_read_back_and_stand_nowhere_in_the_clear(point, regions, tmp_path):
    vault = opened(regions)
    kept = catalog.find_point(vault, point.point_id)
    assert witness_of(vault, kept, "features").samples == SAMPLES
    assert kept.application("features").facts.exact == {"views": 3}
    assert kept.application("features").samples == {}
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(held) > 3
    assert not [path for path in held if SECRET.encode() in path.read_bytes()]


def test_without_a_key_nobody_reads_it(point, regions):
    sealed = opened(regions, identities=())
    with pytest.raises(KeyMissing):
        witness_of(sealed, catalog.find_point(sealed, point.point_id), "features")


def test_a_prune_and_a_copy_take_it_along_and_a_verification_sees_that_it_is_gone(point, regions, tmp_path):
    vault = opened(regions)
    later = datetime.now(UTC) + timedelta(days=30)
    carry_out(vault, plan_prune(vault, Rules(), now=later, grace=timedelta(0)), HeldLease())
    replicate(vault, scattered_points(vault), HeldLease())
    far = opened({"far": regions["far"]})
    assert witness_of(far, catalog.find_point(far, point.point_id), "features").samples == SAMPLES

    index_id = point.application("features").witness.ref.index_id
    [span] = vault.frames_of(index_id)
    [file] = (tmp_path / "far/frames").rglob(f"{span.frame_id}*")
    file.unlink()
    found = verify_points(far, [point]).findings
    assert [check.subject for check in found] == [f"far.{point.point_id}.features.witness.json"]


def test_one_that_is_damaged_everywhere_costs_no_restore_its_end(point, regions, tmp_path):
    vault = opened(regions)
    [span] = vault.frames_of(point.application("features").witness.ref.index_id)
    files = list(tmp_path.rglob(f"{span.frame_id}*"))
    assert files
    for file in files:
        file.unlink()

    found = witness_of(opened(regions), point, "features")

    assert found.error.startswith("it is damaged in the vault: ")
    assert (found.samples, found.facts.exact) == ({}, {"views": 3})


def test_an_application_that_no_point_knows_remembers_nothing(point, regions):
    assert witness_of(opened(regions), point, "tracking") is None
