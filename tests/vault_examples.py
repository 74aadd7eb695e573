"""What vault tests are made of: bytes, points, a lease that is never lost, and a store that fails on demand."""

import itertools
import random
import threading
from datetime import UTC, datetime

from drkeeper.recovery_point import RecoveryPoint, StreamRecord, SystemRecord
from drkeeper.vault.store import Entry

# Keys made for these tests and for nothing else.
TEST_RECIPIENT = "age1alz8rhm9ywtat4n80tq6lvt9gpsyty5wmcec7em735m8txx6zsuslzn3au"
TEST_IDENTITY = "AGE-SECRET-KEY-1GEXA86JGL089CJPNUVXJR67SU9ZXTQ8ADXF63WUHRLRKA9C8M3HS0Z5U4W"


class HeldLease:
    """A lease that is ours for ever; what a lease really does is tested in test_lease.py."""

    token = 7

    def check(self, *, remaining_seconds: float = 0) -> None:
        """Never raise."""


class FaultyStore:
    """Passes calls on, except that the n-th call of one method fails, or stalls until told.

    `struck` counts how often the fault was hit.
    """

    def __init__(self, inner, method, at, error=None, *, after=False, keep_on=False):
        self.inner = inner
        self.url = inner.url
        self.needs_flush = inner.needs_flush
        self.struck = 0
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self._method, self._at, self._error, self._after, self._keep_on = method, at, error, after, keep_on
        self._calls = itertools.count(1)

    def _call(self, method, *args):
        strikes = False
        if method == self._method:
            number = next(self._calls)
            strikes = number == self._at or (self._keep_on and number > self._at)
        if strikes:
            self.struck += 1
            if self._error is None:
                self.stalled.set()
                self.go_on.wait(30)
            elif self._after:
                getattr(self.inner, method)(*args)
                raise self._error
            else:
                raise self._error
        return getattr(self.inner, method)(*args)

    def prepare(self):
        return self._call("prepare")

    def get(self, key):
        return self._call("get", key)

    def put(self, key, data):
        return self._call("put", key, data)

    def create(self, key, data):
        return self._call("create", key, data)

    def head(self, key):
        return self._call("head", key)

    def list(self, prefix) -> list[Entry]:
        return self._call("list", prefix)

    def delete(self, keys):
        return self._call("delete", keys)

    def discard_unfinished(self, before):
        return self._call("discard_unfinished", before)

    def flush(self):
        return self._call("flush")


def bytes_of(seed: int, size: int) -> bytes:
    """Bytes that neither compress nor repeat."""
    return random.Random(seed).randbytes(size)


def golden_rows() -> bytes:
    """What the golden vaults hold: some frames that compress well."""
    return b"".join(b"%08d a row of a table that compresses well\n" % (number * 7919) for number in range(90_000))


def blocks(data: bytes, size: int = 1 << 20):
    return (data[at : at + size] for at in range(0, len(data), size))


def write_point(vault, streams, *, point_id="a1b2c3d4e5f6", lease=None, created_at=None, **changes):
    """Write streams (name -> bytes) and commit one point of them."""
    claim = lease or HeldLease()
    with vault.writing(claim) as writer:
        records = []
        for name, data in streams.items():
            ref, stored = writer.write(blocks(data))
            records.append(StreamRecord(name=name, ref=ref, stored_bytes=stored))
        return writer.commit(make_point(records, point_id=point_id, created_at=created_at, **changes))


def make_point(streams=(), *, point_id="a1b2c3d4e5f6", created_at=None, status="complete", **changes):
    system = SystemRecord(name="mlflow-db", kind="postgres", status=status, streams=tuple(streams))
    fields = {
        "point_id": point_id,
        "policy": "test",
        "created_at": created_at or datetime(2026, 3, 1, 2, 0, tzinfo=UTC),
        "elapsed_seconds": 1.0,
        "systems": (system,),
        "freeze_order": ("mlflow-db",),
        "skew_seconds": 0.0,
        "fencing_token": 0,
        "drkeeper_version": "0",
        **changes,
    }
    return RecoveryPoint(**fields)


def stream_of(point, name):
    return next(s for system in point.systems for s in system.streams if s.name == name)
