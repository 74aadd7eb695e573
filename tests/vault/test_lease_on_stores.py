"""Leases on every kind of store."""

import threading
from concurrent.futures import ThreadPoolExecutor

from drkeeper.errors import LeaseHeld
from drkeeper.lease import acquire, hold


def test_of_eight_racers_for_a_lease_one_wins(any_store):
    start = threading.Barrier(8)

    def race(number):
        start.wait()
        try:
            return acquire(any_store, "write", ttl_seconds=60, holder=f"racer {number}")
        except LeaseHeld:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [lease for lease in pool.map(race, range(8)) if lease]
    assert len(winners) == 1
    winners[0].release()
    with hold(any_store, "write") as lease:
        lease.renew()
        assert lease.token > winners[0].token
