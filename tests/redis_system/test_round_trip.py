"""What goes in comes out: all types, all databases, both payload forms, and while others write."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from tests.redis_system.conftest import capture, client, contents, restore

from drkeeper import clock
from drkeeper.facts import compare, findings
from drkeeper.sandbox.redis import ValkeyServer


def fill(server: ValkeyServer) -> None:
    with client(server) as db0, client(server, db=3) as db3:
        db0.set(b"string", b"\x00\xff\r\nbinary")
        db0.set("number", 12345)
        db0.set("empty", "")
        db0.set(b"\x00\x01\xfekey", "binary key")
        db0.set("big", b"0123456789abcdef" * 100_000)
        db0.set("expiring", "x", px=7_200_000)
        db0.rpush("list", *range(500))
        db0.sadd("intset", *range(100))
        db0.sadd("set", *(f"member-{n}" for n in range(700)))
        db0.zadd("zset", {f"m{n}": n / 3 for n in range(300)})
        db0.hset("hash", mapping={f"field{n}": b"\x00" * n for n in range(200)})
        db0.xadd("stream", {"a": 1}, id="1-1")
        db0.xadd("stream", {"b": 2}, id="1-2")
        db0.xgroup_create("stream", "group", id="0")
        db0.xreadgroup("group", "consumer", {"stream": ">"}, count=1)
        db0.pfadd("hll", *range(1000))
        db0.hset("fading", mapping={"stays": 1, "goes": 2})
        db0.execute_command("HPEXPIRE", "fading", 7_200_000, "FIELDS", 1, "goes")
        db3.set("other database", "yes")
        db3.geoadd("geo", (13.36, 38.11, "Palermo"))


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_all_types_come_back_in_either_payload_form(diskless, start_server, system_of, tmp_path) -> None:
    source, target = start_server(repl_diskless_sync=diskless), start_server()
    fill(source)
    with client(target) as into:
        into.set("old", "data")
        into.select(7)
        into.set("old too", "data")
    captured = capture(system_of(source), tmp_path / "captured")
    # Which form it was, the server's own log tells.
    log = (source.folder / "server.log").read_text()
    assert ("target: replicas sockets" in log) == (diskless == "yes")
    assert captured.names() == ("dump.rdb",)
    restore(system_of(target), captured)
    assert contents(target) == contents(source)
    with client(target) as back:
        assert back.pexpiretime("expiring") > 0
        assert back.execute_command("HPTTL", "fading", "FIELDS", 2, "stays", "goes")[0] == -1
        assert back.execute_command("HPTTL", "fading", "FIELDS", 2, "stays", "goes")[1] > 0
        assert back.info("replication")["role"] == "master"
        assert back.config_get("repl-diskless-load")["repl-diskless-load"] == "swapdb"
    # Asked again, as after a crash right after it, a switch that was made is not made again.
    assert [path.stat().st_size for path in (tmp_path / "scratch").iterdir()] == [0]
    with client(target) as into:
        into.set("later", "x")
        system_of(target).switch(captured.record, "s1")
        assert into.get("later") == b"x"
    system_of(target).discard("s1")
    assert not list((tmp_path / "scratch").iterdir())


def test_a_restored_server_meets_the_witness_and_a_changed_one_does_not(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    captured = capture(system_of(source), tmp_path / "captured")
    facts = captured.record.facts
    assert facts.bounds["db0.keys"] == (14 - 2, 14)
    assert facts.exact["db3.keys"] == 2
    assert sum(name.startswith("db0.sample.") for name in facts.exact) >= 5
    assert facts.info["server"] == "valkey 9.1.2"
    assert facts.info["rdb_version"] == 80
    restore(system_of(target), captured)
    checks = list(compare(facts, system_of(target).facts(witness=facts), system="cache"))
    assert not findings(checks)
    assert {check.verdict for check in checks} == {"passed"}
    with client(target, db=3) as into:
        into.set("other database", "changed")
        into.zadd("geo", {"Catania": 1})
        into.mset({f"more{n}": "key" for n in range(5)})
    subjects = {check.subject for check in findings(compare(facts, system_of(target).facts(witness=facts)))}
    sampled = {name for name in facts.exact if name.startswith("db3.sample.")}
    assert sampled
    assert subjects == {"keys", "db3.keys", *sampled}


def test_fifty_thousand_feature_rows_come_back(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    with client(source) as into:
        pipe = into.pipeline(transaction=False)
        for number in range(50_000):
            fields = {b"\xe4%d" % n: b"\x18%08d" % (number * n) for n in range(4)} | {b"_ts:stats": b"\x08\xa0\x8d\x06"}
            pipe.hset(b"customer_id\x02\x00\x00\x00%08dplatform" % number, mapping=fields)
            if number % 5000 == 4999:
                pipe.execute()
    captured = capture(system_of(source), tmp_path / "captured")
    assert captured.record.facts.exact["db0.keys"] == 50_000
    restore(system_of(target), captured)
    facts = captured.record.facts
    checks = list(compare(facts, system_of(target).facts(witness=facts)))
    assert len(checks) > 50
    assert not findings(checks)


def test_a_capture_under_writers_is_one_moment(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    with client(source) as into:
        into.mset({f"ballast{n}": "x" * 1000 for n in range(30_000)})
    stop = threading.Event()
    written = []

    def hammer(number: int) -> None:
        with client(source) as into:
            count = 0
            while not stop.is_set():
                count += 1
                pipe = into.pipeline(transaction=True)
                pipe.set(f"left{number}", count).set(f"right{number}", count).rpush(f"log{number}", count)
                pipe.execute()
            written.append(count)

    writers = [threading.Thread(target=hammer, args=(n,)) for n in range(2)]
    for writer in writers:
        writer.start()
    try:
        with client(source) as watch:
            while watch.exists("left0", "left1") < 2:
                clock.sleep(0.01)
        asked_at = clock.now()
        captured = capture(system_of(source), tmp_path / "captured")
        done_at = clock.now()
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert asked_at - timedelta(seconds=1) <= captured.record.as_of <= done_at
    restore(system_of(target), captured)
    with client(target) as back:
        for number in range(2):
            left = int(back.get(f"left{number}"))
            assert left == int(back.get(f"right{number}"))
            assert [int(entry) for entry in back.lrange(f"log{number}", 0, -1)] == list(range(1, left + 1))
            assert left < max(written)  # writing went on after the fork
    facts = captured.record.facts
    assert not findings(compare(facts, system_of(target).facts(witness=facts)))


def test_keys_that_expire_are_no_finding(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    with client(source) as into:
        into.set("stays", 1)
        into.set("goes", 1, px=1500)
    captured = capture(system_of(source), tmp_path / "captured")
    assert captured.record.facts.bounds["db0.keys"] == (1, 2)
    clock.sleep(1.6)
    restore(system_of(target), captured)
    with client(target) as back:
        assert back.get("goes") is None
    facts = captured.record.facts
    assert not findings(compare(facts, system_of(target).facts(witness=facts)))


def test_an_empty_server_is_captured_and_restored(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    with client(target) as into:
        into.set("old", "data")
    captured = capture(system_of(source), tmp_path / "captured")
    assert captured.record.facts.exact["keys"] == 0
    restore(system_of(target), captured)
    assert system_of(target).is_empty()


def test_restored_data_survive_a_restart_of_a_server_with_append_only_file(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server(appendonly="yes")
    fill(source)
    captured = capture(system_of(source), tmp_path / "captured")
    restore(system_of(target), captured)
    with client(target) as back:
        assert back.info("persistence")["aof_enabled"] == 1
        while back.info("persistence")["aof_rewrite_in_progress"] or back.info("persistence")["aof_rewrite_scheduled"]:
            clock.sleep(0.05)
    target.kill()
    again = start_server(folder=target.folder, appendonly="yes")
    assert contents(again) == contents(source)


def test_restored_data_survive_a_restart_of_a_server_that_saves(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server(save="3600 1")
    fill(source)
    captured = capture(system_of(source), tmp_path / "captured")
    restore(system_of(target), captured)
    with client(target) as back:
        while back.info("persistence")["rdb_bgsave_in_progress"]:
            clock.sleep(0.05)
    target.kill()
    again = start_server(folder=target.folder, save="3600 1")
    assert contents(again) == contents(source)


def test_a_replica_is_read_in_place_of_its_primary(start_server, system_of, tmp_path: Path) -> None:
    primary = start_server()
    secret = str(primary.options["password"])
    replica = start_server(replicaof=f"127.0.0.1 {primary.options['port']}", masterauth=secret)
    fill(primary)
    with client(replica) as same:
        same.config_set("requirepass", secret)
    with client(replica, password=secret) as watch, client(primary) as into:
        offset = into.info("replication")["master_repl_offset"]
        while watch.info("replication").get("slave_repl_offset", 0) < offset or watch.dbsize() < into.dbsize():
            clock.sleep(0.02)
    replica_options = {"host": "127.0.0.1", "port": replica.options["port"]}
    captured = capture(system_of(primary, replica=replica_options), tmp_path / "captured")
    assert captured.record.facts.info["captured_from"] == "replica"
    assert "asks for synchronization" in (replica.folder / "server.log").read_text()
    target = start_server()
    restore(system_of(target), captured)
    assert contents(target) == contents(primary)
    with client(replica, password=secret) as lost:
        lost.replicaof("NO", "ONE")
    captured = capture(system_of(primary, replica=replica_options), tmp_path / "again")
    assert captured.record.facts.info["captured_from"] == "primary"
    assert "not a replica" in str(captured.record.facts.info["replica_note"])


def test_client_library_is_not_our_own() -> None:
    assert redis.Redis.__module__.startswith("redis.")
