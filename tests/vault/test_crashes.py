"""kill -9 at any instant, and streams larger than memory."""

import random
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from drkeeper import catalog
from drkeeper.lease import hold
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from drkeeper.verify import verify_points
from vault_examples import HeldLease, write_point

HELPERS = str(Path(__file__).parents[1])
KILLS = 8

WRITING = """
    import itertools, secrets, sys
    from datetime import UTC, datetime
    sys.path.insert(0, sys.argv[2])
    from vault_examples import bytes_of, write_point
    from drkeeper.lease import hold
    from drkeeper.vault.store import StoreOptions, open_store
    from drkeeper.vault.vault import Vault

    vault = Vault.open({"near": open_store(StoreOptions(url=sys.argv[1]))})
    with hold(vault.primary, "write", ttl_seconds=2, wait_seconds=30) as lease:
        print("begun", flush=True)
        for number in itertools.count():
            data = bytes_of(number % 5, 3 << 20) + bytes_of(secrets.randbits(32), 1 << 20)
            point = write_point(
                vault, {"a": data, "b": data[::-1]}, point_id=secrets.token_hex(6), lease=lease, created_at=datetime.now(UTC)
            )
            print("committed", point.point_id, flush=True)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_whatever_was_committed_is_intact_wherever_a_writer_is_killed(tmp_path):
    folder = tmp_path / "near"
    vault = Vault.create({"near": open_store(StoreOptions(url=str(folder)))})
    instants = random.Random(11)
    said = []
    for _ in range(KILLS):
        process = start(WRITING, folder, HELPERS)
        try:
            assert process.stdout.readline() == "begun\n"
            time.sleep(instants.uniform(0.0, 0.7))
        finally:
            process.kill()
            rest = process.communicate()[0]
        assert process.returncode == -9, "it was still at work"
        said += re.findall(r"committed (\w+)\n", rest)
    listing = catalog.list_points(vault)
    assert listing.damaged == {}
    assert said, "some were committed before the kill"
    assert set(said) <= {point.point_id for point in listing.points}
    assert verify_points(vault, listing.points, level="intact").findings == ()
    with hold(vault.primary, "write", wait_seconds=30) as lease:
        after = write_point(vault, {"a": b"and it goes on"}, point_id="af0000000000", lease=lease)
    assert verify_points(vault, [after], level="intact").verdict == "passed"


LARGE = r"""
    import re, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from vault_examples import HeldLease
    from drkeeper.vault.store import StoreOptions, open_store
    from drkeeper.vault.vault import Vault

    def chunks():
        row = b"%016x\tmetric_%d\t1700000000\t0.5\n"
        for block in range(1024):
            base = block << 20
            text = b"".join(row % ((base + n) * 0x9E3779B97F4A7C15 % 2**64, n % 9) for n in range(0, 1 << 20, 256))
            yield (text * ((1 << 20) // len(text) + 1))[: 1 << 20]

    vault = Vault.open({"near": open_store(StoreOptions(url=sys.argv[1]))}, identities=sys.argv[3:])
    with vault.writing(HeldLease()) as writer:
        ref, stored = writer.write(chunks())
    size = sum(map(len, vault.read(ref)))
    # Not ru_maxrss: that starts with what the process that started us had.
    print(size, int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_a_stream_of_a_gibibyte_needs_a_quarter_of_one_at_most(tmp_path):
    Vault.create({"near": open_store(StoreOptions(url=str(tmp_path / "near")))})
    process = start(LARGE, tmp_path / "near", HELPERS)
    said = process.communicate(timeout=240)[0]
    size, peak_mebibytes = map(int, said.split())
    assert size == 1 << 30
    assert peak_mebibytes < 256


def test_a_session_that_ends_leaves_no_thread_behind(tmp_path):
    vault = Vault.create({"near": open_store(StoreOptions(url=str(tmp_path / "near")))})
    before = threading.active_count()
    with vault.writing(HeldLease()) as writer:
        ref, _ = writer.write([b"x" * 100_000])
    reading = vault.read(ref)
    next(reading)
    reading.close()
    assert threading.active_count() == before
