"""Leases: one holder at a time, with an end, whatever happens to the holder."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from drkeeper import clock
from drkeeper.errors import LeaseHeld, LeaseLost, VaultUnreachable
from drkeeper.lease import acquire, hold, latest
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault


@pytest.fixture
def store(tmp_path):
    store = open_store(StoreOptions(url=str(tmp_path / "store")))
    store.prepare()
    return store


class Away:
    """A store whose calls fail while `away` is set, and are counted."""

    def __init__(self, inner):
        self.inner, self.away, self.struck = inner, False, 0

    def __getattr__(self, name):
        def call(*args):
            if self.away:
                self.struck += 1
                raise VaultUnreachable("away")
            return getattr(self.inner, name)(*args)

        return call


def test_a_lease_is_held_by_one_and_free_afterwards(store):
    with hold(store, "write", holder="first"):
        with pytest.raises(LeaseHeld, match="first holds the lease write") as caught, hold(store, "write"):
            pass
        assert caught.value.exit_code == 11
    with hold(store, "write") as lease:
        lease.check()


def test_leases_of_other_names_do_not_matter(store):
    with hold(store, "write"), hold(store, "scheduler") as other:
        other.check(remaining_seconds=10)


def test_tokens_grow_with_each_holder(store):
    tokens = []
    for _ in range(3):
        with hold(store, "write") as lease:
            lease.renew()
            tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


def test_of_sixteen_racers_one_wins(store):
    start = threading.Barrier(16)

    def race(number):
        start.wait()
        try:
            return acquire(store, "write", ttl_seconds=60, holder=f"racer {number}")
        except LeaseHeld:
            return None

    for _ in range(5):
        with ThreadPoolExecutor(16) as pool:
            winners = [lease for lease in pool.map(race, range(16)) if lease]
        assert len(winners) == 1
        winners[0].check()
        winners[0].release()


def test_racers_never_work_at_the_same_time(store):
    """Holders that come and go leave gaps in the series of records; a slow racer must not slip into one."""
    inside, most, done = 0, 0, 0
    lock = threading.Lock()

    def work(number):
        nonlocal inside, most, done
        for _ in range(15):
            try:
                lease = acquire(store, "write", ttl_seconds=60, holder=f"racer {number}")
            except LeaseHeld:
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.001)
            with lock:
                inside -= 1
                done += 1
            lease.release()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert most == 1
    assert done >= 1


def test_a_dead_holders_lease_ends_by_itself(store):
    dead = acquire(store, "write", ttl_seconds=0.5, holder="dead")
    with pytest.raises(LeaseHeld):
        acquire(store, "write", ttl_seconds=60, holder="next")
    with hold(store, "write", wait_seconds=10) as lease:
        assert lease.token > dead.token
        with pytest.raises(LeaseLost):
            dead.check()
        with pytest.raises(LeaseLost):
            dead.renew()
        dead.release()
        lease.check()


def test_the_holder_stops_before_others_may_start(store):
    lease = acquire(store, "write", ttl_seconds=4, holder="slow")
    time.sleep(3.05)
    with pytest.raises(LeaseLost, match="expired, or is about to"):
        lease.check()
    with pytest.raises(LeaseHeld):
        acquire(store, "write", ttl_seconds=1, holder="next")


def test_a_lease_is_renewed_for_as_long_as_it_is_held(store):
    with hold(store, "write", ttl_seconds=1.5) as lease:
        for _ in range(8):
            time.sleep(0.25)
            lease.check()
        records = list(store.list("leases/write/"))
        assert len(records) <= 2, "old records are tidied up"


def test_a_store_that_is_away_for_a_moment_costs_no_lease_and_one_that_stays_away_does(store):
    away = Away(store)
    with hold(away, "write", ttl_seconds=4) as lease:
        away.away = True
        time.sleep(1.7)
        lease.check()
        away.away = False
        time.sleep(1.5)
        lease.check()
        assert away.struck >= 1
        away.away = True
        time.sleep(3.1)
        with pytest.raises(LeaseLost):
            lease.check()
        away.away = False


def test_remaining_time_that_is_asked_for_must_be_left(store):
    lease = acquire(store, "write", ttl_seconds=120, holder="us")
    lease.check(remaining_seconds=50)
    short = acquire(store, "other", ttl_seconds=4, holder="us")
    time.sleep(2.2)
    short.check()
    with pytest.raises(LeaseLost):
        short.check(remaining_seconds=10)


def test_a_lease_record_that_cannot_be_read_holds_for_a_while_and_says_so(store):
    store.put("leases/write/00000000000000000005.json", b"")
    with pytest.raises(LeaseHeld, match="cannot be read"):
        acquire(store, "write", ttl_seconds=60, holder="us")
    assert latest(store, "write").held_until() < clock.now() + timedelta(minutes=10)


PAUSED = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from vault_examples import bytes_of, blocks, make_point
    from drkeeper.errors import LeaseLost
    from drkeeper.lease import hold
    from drkeeper.vault.store import StoreOptions, open_store
    from drkeeper.vault.vault import Vault

    vault = Vault.open({"near": open_store(StoreOptions(url=sys.argv[1]))})
    with hold(vault.primary, "write", ttl_seconds=3, holder="the paused one") as lease:
        with vault.writing(lease) as writer:
            writer.write(blocks(bytes_of(1, 1 << 20)))
            print("ready", flush=True)
            sys.stdin.readline()
            for name, late in (
                ("write", lambda: writer.write(blocks(bytes_of(2, 1 << 20)))),
                ("commit", lambda: writer.commit(make_point())),
            ):
                try:
                    late()
                except LeaseLost:
                    print(name, "refused", flush=True)
                else:
                    print(name, "went through", flush=True)
"""


def test_a_process_that_was_paused_past_its_lease_writes_nothing_more(tmp_path):
    folder = str(tmp_path / "near")
    vault = Vault.create({"near": open_store(StoreOptions(url=folder))})
    helpers = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PAUSED), folder, helpers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().strip() == "ready"
        frames = {entry.key for entry in vault.primary.list("frames/")}
        process.send_signal(signal.SIGSTOP)
        with hold(vault.primary, "write", holder="the next one", wait_seconds=20) as lease:
            process.send_signal(signal.SIGCONT)
            answer, _ = process.communicate("go\n", timeout=30)
            assert answer.split("\n")[:2] == ["write refused", "commit refused"]
            lease.check()
        assert {entry.key for entry in vault.primary.list("frames/")} == frames
        assert list(vault.primary.list("points/")) == []
    finally:
        process.kill()
        process.wait()
