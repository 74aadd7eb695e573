"""ACL users, TLS, servers that refuse replication or spare databases, and heartbeats."""

import os
import ssl
import subprocess
from datetime import UTC, datetime

import pytest
from tests.redis_system.conftest import capture, client, contents, restore
from tests.redis_system.proxy import Proxy
from tests.redis_system.test_round_trip import fill

from drkeeper import clock
from drkeeper.errors import CaptureFailed
from drkeeper.facts import compare, findings
from drkeeper.heartbeat import Heartbeat

# As docs/adr/0022-redis-users.md gives them.
BACKUP_USER = (
    "on >secret ~* resetchannels -@all +ping +psync +replconf +info +select +randomkey +type +pttl "
    "+strlen +hlen +scard +zcard +llen +xlen +get +hgetall +smembers +zrange +lrange +xrange"
)
SCAN_USER = f"{BACKUP_USER} -psync -replconf +scan +dump +pexpiretime +time"
RESTORE_USER = (
    "on >secret ~* resetchannels -@all +ping +info +replicaof +select +exists +config|get +config|set +bgsave "
    "+type +pttl +strlen +hlen +scard +zcard +llen +xlen +get +hgetall +smembers +zrange +lrange +xrange"
)
REPLAY_USER = f"{RESTORE_USER} -replicaof -config|set +restore +scan +del"
AS_USER = {"user": "drkeeper", "password": "secret"}


def give(server, rules: str) -> None:
    with client(server) as admin:
        admin.execute_command("ACL", "SETUSER", "drkeeper", "reset", *rules.split())


def test_users_with_least_privileges_back_up_and_restore(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    give(source, BACKUP_USER)
    give(target, RESTORE_USER)
    captured = capture(system_of(source, **AS_USER), tmp_path / "captured")
    assert captured.record.facts.info["capture"] == "replication"
    assert not captured.record.facts.unread
    system = system_of(target, **AS_USER)
    assert system.is_empty()
    restore(system, captured)
    assert contents(target) == contents(source)
    facts = captured.record.facts
    assert not findings(compare(facts, system.facts(witness=facts)))


def test_a_user_who_may_replicate_and_nothing_else_still_backs_up(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    give(source, "on >secret -@all +ping +psync +replconf")
    captured = capture(system_of(source, **AS_USER), tmp_path / "captured")
    assert "permissions" in captured.record.facts.unread["keys"]
    restore(system_of(target), captured)
    assert contents(target) == contents(source)


def test_missing_permissions_are_named_with_their_remedy(start_server, system_of) -> None:
    server = start_server()
    give(server, BACKUP_USER.replace("+psync ", "") + " +acl|whoami +acl|dryrun")
    checks = {check.subject: check for check in system_of(server, **AS_USER).probe()}
    assert checks["reachable"].verdict == "passed"
    assert checks["may_replicate"].verdict == "failed"
    assert "+psync" in checks["may_replicate"].remedy
    assert all(check.verdict == "passed" for check in system_of(server).probe())


@pytest.mark.parametrize("spares", ["yes", "no"])
def test_a_server_that_refuses_replication_is_scanned_and_replayed(spares, start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    give(source, SCAN_USER)
    give(target, REPLAY_USER + (" +swapdb +flushdb +multi +exec" if spares == "yes" else ""))
    with client(target) as into, client(target, db=7) as into7:
        into.mset({f"old{n}": "x" for n in range(3000)})
        into.set("number", "old")
        into7.set("old too", "x")
    captured = capture(system_of(source, **AS_USER), tmp_path / "captured")
    assert captured.names() == ("dump.resp",)
    facts = captured.record.facts
    assert facts.info["capture"] == "scan"
    assert "replication refused" in str(facts.info["capture_reason"])
    assert facts.info["rdb_version"] == 80
    system = system_of(target, **AS_USER)
    restore(system, captured)
    assert contents(target) == contents(source)
    with client(target) as look:
        swaps = look.info("commandstats").get("cmdstat_swapdb", {}).get("calls", 0)
    assert (swaps > 1) == (spares == "yes")
    assert not findings(compare(facts, system_of(target).facts(witness=facts)))


def test_a_scan_is_replayed_by_stock_tools(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    captured = capture(system_of(source, capture="scan"), tmp_path / "captured")
    assert captured.record.streams[0].restore_hint == "redis-cli --pipe"
    try:
        with captured.path("dump.resp").open("rb") as dump:
            outcome = subprocess.run(
                ["redis-cli", "-p", str(target.options["port"]), "--pipe"],
                stdin=dump,
                env={**os.environ, "REDISCLI_AUTH": str(target.options["password"])},
                capture_output=True,
                check=True,
                timeout=30,
            )
    except FileNotFoundError:
        pytest.skip("redis-cli is not installed")
    assert b"errors: 0" in outcome.stdout
    assert contents(target) == contents(source)


def test_a_server_that_must_replicate_and_refuses_is_an_error(start_server, system_of) -> None:
    source = start_server()
    give(source, SCAN_USER)
    system = system_of(source, **AS_USER, capture="replication")
    with pytest.raises(CaptureFailed, match="does not let itself be captured") as caught, system.freeze():
        pass
    assert "+psync" in caught.value.hint


def test_a_damaged_scan_is_not_replayed(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    captured = capture(system_of(source, capture="scan"), tmp_path / "captured")
    path = captured.path("dump.resp")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Exception, match="too early"):
        restore(system_of(target), captured)
    with client(target) as look:
        assert look.info("commandstats").get("cmdstat_restore") is None


def test_a_capture_over_tls_checks_the_certificate(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    fill(source)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=cache.test", "-addext", "subjectAltName=DNS:cache.test", "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Proxy(int(source.options["port"]), wrap=lambda sock: context.wrap_socket(sock, server_side=True)) as proxy:
        tls = {"enabled": True, "ca": str(cert), "server_name": "cache.test"}
        captured = capture(system_of(source, port=proxy.port, tls=tls), tmp_path / "captured")
        assert proxy.links == 2
        for wrong in ({"enabled": True, "ca": str(cert)}, {"enabled": True}):
            with pytest.raises(Exception, match="no TLS with"):
                system_of(source, port=proxy.port, tls=wrong).is_empty()
        assert not system_of(source, port=proxy.port, tls={"enabled": True, "verify": False}).is_empty()
    restore(system_of(target), captured)
    assert contents(target) == contents(source)


def test_a_target_with_a_password_for_its_primary_is_accepted(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server(masterauth="another", masteruser="somebody")
    fill(source)
    restore(system_of(target), capture(system_of(source), tmp_path / "captured"))
    assert contents(target) == contents(source)


def test_an_older_rdb_is_made_for_an_older_server(start_server, system_of, tmp_path) -> None:
    source = start_server()
    with client(source) as into:
        into.set("a", 1)
    captured = capture(system_of(source, export_for_version="8.1.0"), tmp_path / "captured")
    assert captured.record.facts.info["rdb_version"] == 11
    assert captured.path("dump.rdb").read_bytes().startswith(b"REDIS0011")


def test_heartbeats_are_written_read_and_count_as_empty(start_server, system_of, tmp_path) -> None:
    source, target = start_server(), start_server()
    system = system_of(source)
    assert system.newest_beat() is None
    assert system.is_empty()
    for sequence in range(3):
        system.beat(Heartbeat(at=datetime(2026, 1, 1, 0, 0, sequence, tzinfo=UTC), sequence=sequence))
    newest = Heartbeat(at=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC), sequence=2)
    assert system.newest_beat() == newest
    assert system.is_empty()
    captured = capture(system, tmp_path / "captured")
    system.beat(Heartbeat(at=clock.now(), sequence=3))
    restore(system_of(target), captured)
    assert system_of(target).newest_beat() == newest
    with client(target) as into:
        into.set("a", 1)
    assert not system_of(target).is_empty()
