"""Every method of a store fails, fills up or stalls on its n-th call, in a whole cycle of work; nothing is half."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest

from drkeeper import catalog, clock, prune
from drkeeper.errors import DrkeeperError, LeaseLost, VaultFull, VaultUnreachable
from drkeeper.lease import hold
from drkeeper.retention import Rules
from drkeeper.vault.vault import Vault
from drkeeper.verify import verify_points
from vault_examples import FaultyStore, bytes_of, stream_of, write_point

MIB = 1 << 20
CALLS = {  # of a cycle: the first, the last, and some between; put and get are called more often, by chance of the cut
    "get": (1, 5, 10),
    "put": (1, 3, 5),
    "create": (1, 2, 3, 4, 5, 6),
    "list": (1, 4, 7, 9, 12, 16),
    "delete": (1, 2, 3, 4, 5, 6),
    "flush": (1, 2, 3, 4, 5),
}
WRITES = ("put", "create", "flush")  # a store that is full still reads, lists and deletes
FAULTS = {"fails": VaultUnreachable("away"), "fills up": VaultFull("full"), "stalls": None}
STALL_SECONDS = 0.3


def cycle(vault, *, ttl_seconds=60.0):
    """Lease, write, commit, look, verify, forget, sweep: all that is done to a vault."""
    store = vault.primary
    with hold(store, ttl_seconds=ttl_seconds) as lease:
        write_point(vault, {"dump": bytes_of(2, 8 * MIB)}, point_id="b00000000000", lease=lease, created_at=clock.now())
        catalog.find_point(vault, "latest")
        verify_points(vault, catalog.list_points(vault).points, level="intact")
        plan = prune.plan_prune(vault, Rules(keep_last=1), now=clock.now(), grace=timedelta(0))
        prune.carry_out(vault, plan, lease)


@contextmanager
def released(faulty, seconds):
    """A call that stalls goes on after so long."""
    over = threading.Event()

    def release():
        while not (faulty.stalled.wait(0.05) or over.is_set()):
            pass
        clock.sleep(0 if over.is_set() else seconds)
        faulty.go_on.set()

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def over(vault, store):
    return Vault(vault.header, type(vault.regions)({"near": store}, {}), ())


def assert_whole(vault):
    """Whatever the catalog names can be read to its end, and work goes on."""
    listing = catalog.list_points(vault)
    assert listing.damaged == {}
    for point in listing.points:
        for stream in point.systems[0].streams:
            assert sum(map(len, vault.read(stream.ref))) == stream.ref.size_bytes
    data = bytes_of(3, 3 * MIB)
    again = write_point(vault, {"dump": data}, point_id="c00000000000", created_at=clock.now())
    assert b"".join(vault.read(stream_of(again, "dump").ref)) == data


@pytest.fixture
def aged(vault):
    """A vault with something to forget."""
    write_point(vault, {"dump": bytes_of(1, 2 * MIB)}, created_at=clock.now() - timedelta(days=2))
    return vault


@pytest.mark.parametrize(
    ("method", "at", "fault"),
    [
        (method, at, fault)
        for method, calls in CALLS.items()
        for at in calls
        for fault in FAULTS
        if fault != "fills up" or method in WRITES
    ],
)
def test_a_fault_in_any_call_leaves_nothing_half(aged, local_regions, method, at, fault):
    faulty = FaultyStore(local_regions["near"], method, at, FAULTS[fault])
    with released(faulty, STALL_SECONDS):
        try:
            cycle(over(aged, faulty))
        except DrkeeperError:
            assert fault != "stalls", "who is only slow is waited for"
    assert faulty.struck == 1
    assert_whole(aged)


@pytest.mark.parametrize("fault", ["fails", "stalls"])
def test_a_fault_while_a_vault_is_made_leaves_it_to_a_second_try(local_regions, fault):
    faulty = FaultyStore(local_regions["near"], "head", 1, FAULTS[fault])
    with released(faulty, STALL_SECONDS):
        try:
            vault = Vault.create({"near": faulty})
        except VaultUnreachable:
            vault = Vault.create(local_regions)
    assert faulty.struck == 1
    assert_whole(vault)


def test_a_commit_that_stalls_for_longer_than_its_lease_publishes_nothing(aged, local_regions):
    faulty = FaultyStore(local_regions["near"], "flush", 2)  # the one before the point's record
    vault = over(aged, faulty)
    with released(faulty, 3), hold(local_regions["near"], ttl_seconds=60) as lease:
        lease._good_until = clock.monotonic_seconds() + 2
        lease.renew = lambda: None  # the store is away for renewals as well
        with pytest.raises(LeaseLost):
            write_point(vault, {"dump": bytes_of(2, 2 * MIB)}, point_id="b00000000000", lease=lease)
    assert faulty.struck == 1
    assert [point.point_id for point in catalog.list_points(aged).points] == ["a1b2c3d4e5f6"]
