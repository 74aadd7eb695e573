"""The replication stream byte by byte, from a source that does what no good server does."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import anycrc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.redis_system.conftest import capture

from drkeeper.errors import CaptureFailed
from drkeeper.systems import load_kind
from drkeeper.systems._redis.rdb import RdbCheck, RdbInvalid, Sizes, checked, first_sizes, newest_loadable
from drkeeper.systems.redis import Options, RedisSystem, open_system

MARK = b"0123456789abcdef0123456789abcdef01234567"


def sealed(body: bytes) -> bytes:
    raw = b"REDIS0011" + body + b"\xff"
    return raw + anycrc.Model("CRC64-REDIS").calc(raw).to_bytes(8, "little")


class Source:
    """Answers as a primary that has these pieces to send, and refuses everything else."""

    def __init__(self, pieces: list[bytes], *, refusal: bytes = b"", hold: bool = False) -> None:
        self.pieces, self.refusal, self.hold = pieces, refusal, hold
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.syncs = 0
        self.done = threading.Event()

    def serve(self) -> None:
        while not self.done.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            try:
                while line := lines.readline():
                    words = [lines.read(int(lines.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
                    if words[0] == b"PSYNC":
                        self.syncs += 1
                        sock.sendall(self.refusal or b"\n\n+FULLRESYNC 0 0\r\n\n\n")
                        for piece in () if self.refusal else self.pieces:
                            sock.sendall(piece)
                        if self.hold:
                            self.done.wait(30)
                        return
                    sock.sendall(b"+OK\r\n" if words[0] in {b"PING", b"REPLCONF"} else b"-NOPERM no\r\n")
            except OSError:
                return


@contextmanager
def source_of(*pieces: bytes, refusal: bytes = b"", hold: bool = False) -> Iterator[tuple[Source, RedisSystem]]:
    source = Source(list(pieces), refusal=refusal, hold=hold)
    threading.Thread(target=source.serve, daemon=True).start()
    options = Options.model_validate({"host": "127.0.0.1", "port": source.port, "timeout_seconds": 1})
    try:
        yield source, RedisSystem("cache", options)
    finally:
        source.done.set()
        source.listener.close()


def test_both_payload_forms_arrive_whole_however_they_are_cut_up(tmp_path) -> None:
    rdb = sealed(bytes(range(256)) * 9000)
    marked = b"$EOF:" + MARK + b"\r\n" + rdb + MARK
    counted = b"$%d\r\n" % len(rdb) + rdb
    for number, raw in enumerate((marked, counted)):
        for cuts in ([len(raw) - 20], [3, 30, 60, len(raw) - 41, len(raw) - 1], []):
            edges = [0, *cuts, len(raw)]
            pieces = [raw[a:b] for a, b in pairwise(edges)]
            # A source that keeps the link open after the mark must not keep us waiting.
            with source_of(*pieces, hold=True) as (source, system):
                captured = capture(system, tmp_path / f"{number}-{len(cuts)}")
                assert source.syncs == 1
            assert captured.path("dump.rdb").read_bytes() == rdb


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([b"$2000\r\n" + sealed(b"x" * 100)], "closed the connection"),
        ([b"$EOF:" + MARK + b"\r\n" + sealed(b"x" * 100)], "closed the connection"),
        ([b"$118\r\n" + b"REDIS0011" + b"x" * 100 + b"\xff" + b"\x01" * 8], "checksum"),
        ([b"$30\r\n" + b"HELLO, I AM NO RDB AT ALL, SIR"], "not begin like an RDB"),
        ([b"$0\r\n"], "not begin like an RDB"),
        ([b"*1\r\n$4\r\nPING\r\n"], "announced its RDB with"),
    ],
)
def test_a_source_that_sends_rubbish_gives_no_last_block(pieces, told) -> None:
    with source_of(*pieces) as (source, system), system.freeze() as view:
        received: list[bytes] = []
        with pytest.raises(CaptureFailed, match=told):
            received.extend(block for stream in view.streams() for block in stream.chunks)
        assert source.syncs == 1
        assert not received


def test_a_source_that_falls_silent_is_given_up() -> None:
    with source_of(b"$500\r\nREDIS0011", hold=True) as (source, system), system.freeze() as view:
        with pytest.raises(CaptureFailed, match="did not answer within 1 seconds") as caught:
            list(next(iter(view.streams())).chunks)
        assert source.syncs == 1
        assert "client-output-buffer-limit" in caught.value.hint


def test_a_source_that_cannot_sync_now_is_not_scanned() -> None:
    with source_of(refusal=b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n") as (source, system):
        with pytest.raises(CaptureFailed, match="cannot be captured now"), system.freeze():
            pass
        assert source.syncs == 1


def test_a_source_without_checksums_is_accepted_and_told(tmp_path) -> None:
    rdb = sealed(b"x" * 100)[:-8] + b"\0" * 8
    with source_of(b"$%d\r\n" % len(rdb) + rdb) as (_, system):
        captured = capture(system, tmp_path / "captured")
    assert captured.record.facts.info["rdb_checksum"] is False


def test_three_hundred_megabytes_pass_through_little_memory() -> None:
    size = 320 << 20
    block = b"\0" * (1 << 20)
    head, tail = b"$%d\r\nREDIS0011" % (9 + size + 9), b"\xff" + b"\0" * 8
    script = (
        "import re, sys\n"
        "from drkeeper.systems.redis import Options, RedisSystem\n"
        "system = RedisSystem('cache', Options(host='127.0.0.1', port=int(sys.argv[1])))\n"
        "with system.freeze() as view:\n"
        "    total = sum(len(b) for s in view.streams() for b in s.chunks)\n"
        "status = open('/proc/self/status').read()\n"  # ru_maxrss would begin with the memory of our parent
        "print(total, re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
    )
    with source_of(head, *[block] * (size >> 20), tail) as (source, _):
        outcome = subprocess.run(
            [sys.executable, "-c", script, str(source.port)], capture_output=True, text=True, check=True, timeout=60
        )
    total, peak_kib = map(int, outcome.stdout.split())
    assert total == size + 18
    assert peak_kib < 128 << 10


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=40))
def test_a_checked_rdb_passes_unchanged_in_any_blocks(body, sizes) -> None:
    raw, blocks = sealed(body), []
    rest = raw
    for size in sizes:
        blocks.append(rest[:size])
        rest = rest[size:]
    blocks = [block for block in [*blocks, rest] if block]
    assert b"".join(checked(blocks, RdbCheck())) == raw


@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_flipped_bit_is_found(body, data) -> None:
    raw = bytearray(sealed(body))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if raw[-8:] == b"\0" * 8:
        return
    with pytest.raises(RdbInvalid):
        list(checked([bytes(raw)], RdbCheck()))


def test_key_counts_are_read_from_the_header() -> None:
    head = b"VALKEY080" + b"\xfa\x0avalkey-ver\x059.1.2" + b"\xfa\x05ctime\xc2\x01\x02\x03\x04" + b"\xfe\x03"
    assert first_sizes(head + b"\xfb\x41\x00\x80\x00\x01\x00\x00") == Sizes(database=3, keys=256, expires=65536)
    assert first_sizes(head) is None
    assert first_sizes(b"REDIS0011\xff") is None


def test_who_loads_what() -> None:
    assert 80 in newest_loadable({"valkey_version": "9.1.2", "redis_version": "7.2.4"})
    assert 12 not in newest_loadable({"valkey_version": "9.1.2", "redis_version": "7.2.4"})
    assert max(newest_loadable({"valkey_version": "8.1.0", "redis_version": "7.2.4"})) == 11
    assert max(newest_loadable({"redis_version": "6.2.14"})) == 9
    assert max(newest_loadable({"redis_version": "7.0.15"})) == 10
    assert max(newest_loadable({"redis_version": "8.0.1"})) == 12
    assert newest_loadable({}) == ()


def test_the_kind_is_found_and_its_secrets_stay_secret() -> None:
    kind = load_kind("redis")
    options = kind.options.model_validate({"host": "h", "password": "hush"})
    assert open_system("cache", options).name == "cache"
    assert "hush" not in repr(options)
    assert all(field.description for field in kind.options.model_fields.values())
