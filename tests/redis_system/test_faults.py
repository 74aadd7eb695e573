"""What must not cost the target its data, or a backup its truth. Each fault is shown to have struck."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.redis_system.conftest import Captured, capture, client, restore
from tests.redis_system.proxy import Proxy

from drkeeper import clock
from drkeeper.errors import CaptureFailed, DrkeeperError, LoadFailed, Refused, SystemUnreachable, VerificationFailed
from drkeeper.facts import findings
from drkeeper.recovery_point import SystemRecord
from drkeeper.sandbox.redis import ValkeyServer
from drkeeper.systems.redis import Options, RedisSystem


@pytest.fixture
def pair(start_server, system_of, tmp_path) -> tuple[ValkeyServer, Captured]:
    """A target that holds old data, and a capture of another server's."""
    source, target = start_server(), start_server()
    with client(source) as into:
        into.mset({f"new{n}": os.urandom(500) for n in range(4000)})
    with client(target) as into:
        into.mset({f"old{n}": "x" for n in range(100)})
    return target, capture(system_of(source), tmp_path / "captured")


def holds_old_data(target: ValkeyServer, process_id: int) -> bool:
    with client(target) as look:
        alive = look.info("server")["process_id"] == process_id == target.process_id
        return alive and look.dbsize() == 100 and look.get("old7") == b"x" and look.info()["role"] == "master"


def damaged(captured: Captured, change: Callable[[bytearray], None]) -> None:
    path = captured.path("dump.rdb")
    raw = bytearray(path.read_bytes())
    change(raw)
    path.write_bytes(raw)


def flip(raw: bytearray) -> None:
    raw[len(raw) // 2] ^= 1


def shorten(raw: bytearray) -> None:
    del raw[-100:]


def too_new(raw: bytearray) -> None:
    """A sound RDB of a version that does not exist yet."""
    import anycrc

    raw[6:9] = b"099"
    raw[-8:] = anycrc.Model("CRC64-REDIS").calc(bytes(raw[:-8])).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("change", "told"),
    [(flip, "checksum"), (shorten, "not end like an RDB"), (too_new, "does not load RDB version 99")],
)
def test_a_bad_rdb_is_never_served(change, told, pair, system_of) -> None:
    target, captured = pair
    process_id = target.process_id
    damaged(captured, change)
    with pytest.raises((VerificationFailed, LoadFailed), match=told):
        restore(system_of(target), captured)
    assert holds_old_data(target, process_id)
    assert "REPLICAOF" not in (target.folder / "server.log").read_text()


def test_an_rdb_that_is_damaged_after_the_load_is_not_served(pair, system_of, tmp_path) -> None:
    target, captured = pair
    system = system_of(target)
    system.load(captured.record, captured, "s1")
    spool = next((tmp_path / "scratch").glob("*.rdb"))
    assert spool.stat().st_mode & 0o777 == 0o600
    raw = bytearray(spool.read_bytes())
    flip(raw)
    spool.write_bytes(raw)
    with pytest.raises(VerificationFailed, match="checksum"):
        system.switch(captured.record, "s1")
    assert holds_old_data(target, target.process_id)


def test_too_little_maxmemory_is_found_before_anything_changes(pair, system_of) -> None:
    target, captured = pair
    with client(target) as admin:
        admin.config_set("maxmemory", 2_000_000)
        admin.config_set("maxmemory-policy", "allkeys-lru")
    failed = findings(system_of(target).preflight(captured.record))
    assert [check.subject for check in failed] == ["maxmemory"]
    assert "evicted silently" in failed[0].detail
    assert holds_old_data(target, target.process_id)


def test_preflight_finds_versions_roles_and_space(pair, system_of, start_server) -> None:
    target, captured = pair
    assert not findings(system_of(target).preflight(captured.record))
    info = captured.record.facts.info | {"rdb_version": 81, "server": "valkey 10.0.0"}
    newer = captured.record.model_copy(update={"facts": captured.record.facts.model_copy(update={"info": info})})
    assert [c.subject for c in findings(system_of(target).preflight(newer))] == ["rdb_version"]
    ref = captured.record.streams[0].ref.model_copy(update={"size_bytes": 1 << 60})
    stream = captured.record.streams[0].model_copy(update={"ref": ref})
    huge = captured.record.model_copy(update={"streams": (stream,)})
    assert "scratch" in [c.subject for c in findings(system_of(target).preflight(huge))]
    follower = start_server(replicaof=f"127.0.0.1 {target.options['port']}")
    assert "role" in [c.subject for c in findings(system_of(follower).preflight(captured.record))]
    with pytest.raises(Refused, match="is a replica of"):
        restore(system_of(follower), captured)
    cluster = start_server(cluster_enabled="yes", cluster_port=str(_free_port()))
    assert "cluster" in [c.subject for c in findings(system_of(cluster).preflight(captured.record))]
    failed = SystemRecord(name="cache", kind="redis", status="failed", error="it broke")
    assert [c.subject for c in findings(system_of(target).preflight(failed))] == ["record"]


def test_a_source_that_is_cut_off_midway_gives_no_backup(start_server, system_of, tmp_path) -> None:
    source = start_server()
    with client(source) as into:
        into.mset({f"key{n}": os.urandom(1000) for n in range(5000)})
    with Proxy(int(source.options["port"]), cut_after_bytes=3_000_000) as proxy:
        system = system_of(source, port=proxy.port)
        received: list[int] = []
        with system.freeze() as view, pytest.raises(CaptureFailed, match="broke after"):
            received.extend(len(block) for stream in view.streams() for block in stream.chunks)
        assert proxy.cuts == 1
        assert 0 < sum(received) < 3_000_000


@pytest.mark.parametrize("mode", ["swapdb", "disabled"])
def test_a_target_that_is_cut_off_midway_keeps_its_old_data(mode, pair, system_of) -> None:
    target, captured = pair
    with client(target) as admin:
        admin.config_set("repl-diskless-load", mode)
    with Proxy(0, cut_after_bytes=1_000_000, backwards=True) as proxy:
        # The target comes to us by way of the proxy, which cuts the RDB off.
        taken = _free_port()
        proxy.aim(taken)
        system = system_of(target, listen_port=taken)
        with _advertised(proxy.port), pytest.raises(LoadFailed, match=r"100 keys \(as before\)"):
            restore(system, captured)
        assert proxy.cuts == 1
    assert holds_old_data(target, target.process_id)
    with client(target) as admin:
        assert admin.config_get("repl-diskless-load")["repl-diskless-load"] == mode
    restore(system_of(target), captured)
    with client(target) as look:
        assert look.dbsize() == 4000
        assert admin.config_get("repl-diskless-load")["repl-diskless-load"] == mode


def test_a_killed_switch_can_be_discarded_or_done_again(pair, system_of, tmp_path) -> None:
    target, captured = pair
    system = system_of(target)
    for last in (system.discard, lambda staging: system.switch(captured.record, staging)):
        system.load(captured.record, captured, "s1")
        with Proxy(0, stall_after_bytes=500_000, backwards=True) as proxy:
            taken = _free_port()
            proxy.aim(taken)
            options = {**target.options, "scratch": str(tmp_path / "scratch"), "listen_port": taken}
            child = multiprocessing.get_context("spawn").Process(
                target=_switch_elsewhere, args=(options, captured.record.model_dump_json(), proxy.port)
            )
            child.start()
            proxy.stalled.wait(30)
            assert proxy.stalled.is_set()
            os.kill(int(child.pid or 0), signal.SIGKILL)
            child.join(10)
            assert child.exitcode == -signal.SIGKILL
            with client(target) as look:
                assert look.info()["role"] == "slave"
        assert not [c for c in findings(system.preflight(captured.record)) if c.subject == "role"]
        last("s1")
        with client(target) as look:
            assert look.info()["role"] == "master"
            assert look.dbsize() == (100 if last == system.discard else 4000)
        assert not [path for path in (tmp_path / "scratch").iterdir() if path.stat().st_size]


def _switch_elsewhere(options: dict[str, Any], record: str, advertised_port: int) -> None:
    with _advertised(advertised_port):
        system = RedisSystem("cache", Options.model_validate(options))
        system.switch(SystemRecord.model_validate_json(record), "s1")


def test_strangers_are_turned_away_and_a_target_that_cannot_reach_us_is_explained(pair, system_of) -> None:
    target, captured = pair
    taken, other = _free_port(), _free_port()
    knocks = threading.Event()

    def knock() -> None:
        while not knocks.is_set():
            try:
                with socket.create_connection(("127.0.0.1", taken), timeout=1, source_address=("127.0.0.2", 0)) as sock:
                    sock.sendall(b"*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n")
                    assert sock.recv(1000) == b""
                    knocks.set()
            except OSError:
                clock.sleep(0.02)

    stranger = threading.Thread(target=knock)
    stranger.start()
    system = system_of(target, listen_port=taken, timeout_seconds=2)
    with _advertised(other), pytest.raises(LoadFailed, match="did not connect to us"):
        restore(system, captured)
    stranger.join(10)
    assert knocks.is_set()
    assert holds_old_data(target, target.process_id)


def test_wrong_password_unreachable_and_silent_hosts_are_told_apart(start_server, system_of) -> None:
    server = start_server()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cases = {
            "refused us: WRONGPASS": {"password": "not-the-password"},
            "cannot connect": {"port": _free_port()},
            "did not answer within 0.5 seconds": {"port": silent.getsockname()[1], "timeout_seconds": 0.5},
        }
        for told, options in cases.items():
            system = system_of(server, **options)
            with pytest.raises(SystemUnreachable, match=told), system.freeze():
                pass
            reachable = next(iter(system.probe()))
            assert (reachable.subject, reachable.verdict) == ("reachable", "failed")
            assert told in reachable.detail
            assert "not-the-password" not in reachable.detail


def test_a_server_that_speaks_another_protocol_is_recognised(system_of) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def talk() -> None:
            sock, _ = other.accept()
            with sock:
                sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        system = system_of({"host": "127.0.0.1", "port": other.getsockname()[1]})
        with pytest.raises(DrkeeperError, match="does not speak the Redis protocol"):
            system.is_empty()
        thread.join()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _advertised(port: int) -> Iterator[None]:
    """The target is told another port than the one on which we listen, as behind a proxy."""
    from drkeeper.systems._redis import target as module
    from drkeeper.systems._redis.resp import Connection

    whole = Connection.call

    def call(self: Connection, *arguments: Any) -> Any:
        if arguments[0] == "REPLICAOF" and arguments[1] != "NO":
            arguments = ("REPLICAOF", arguments[1], port)
        return whole(self, *arguments)

    mark = module.SwitchMark
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "call", call)
        patch.setattr(
            module, "SwitchMark", lambda **fields: mark(**{**fields, **({"port": port} if fields.get("port") else {})})
        )
        yield


def test_scratch_paths_stay_inside_the_folder(tmp_path: Path) -> None:
    from drkeeper.systems._redis.spool import scratch_for

    options = Options.model_validate({"host": "h", "scratch": tmp_path})
    assert scratch_for(options, "../a", "../../b").spool("dump.rdb").parent == tmp_path
