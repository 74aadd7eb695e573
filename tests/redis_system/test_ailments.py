"""`drkeeper check` names what makes feature stores fail, on servers that really have it."""

import socket

from tests.redis_system.conftest import client

from drkeeper.systems._redis.ailments import ailments

MANY = 60_000
TRIES = 5  # how an allocator fills its pages depends on what it did before


def finding(system, subject):
    (check,) = [each for each in system.probe() if each.subject == subject]
    return check


def test_a_healthy_server_has_none(start_server, system_of):
    server = start_server()
    checks = {each.subject: each for each in system_of(server).probe()}
    assert checks["fragmentation"].verdict == checks["clients"].verdict == "passed"
    assert "append_only" not in checks


def test_a_fragmented_memory_is_told_with_what_to_do(start_server, system_of):
    server = start_server(enable_debug_command="local")
    with client(server) as each:
        for turn in range(1, TRIES + 1):
            each.execute_command("DEBUG", "POPULATE", turn * MANY, f"k{turn}", 1000)
            holes = f"for i = 0, {turn * MANY - 1} do if i % 4 > 0 then redis.call('DEL', 'k{turn}:' .. i) end end"
            each.eval(holes, 0)
            ratio = float(each.info("memory")["mem_fragmentation_ratio"])
            if ratio > 1.5:
                break
    assert ratio > 1.5  # the fault is there
    check = finding(system_of(server), "fragmentation")
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert "MiB too much" in check.detail
    assert "activedefrag" in check.remedy


def test_a_pool_that_is_used_up_is_told_although_it_has_room_again(start_server, system_of):
    server = start_server(maxclients="12")
    held = [socket.create_connection((server.options["host"], server.options["port"]), 5) for _ in range(14)]
    assert held[-1].recv(100).startswith(b"-ERR max number of clients reached")
    for each in held:
        each.close()
    check = finding(system_of(server), "clients")
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert "of 12 connected" in check.detail
    assert "rejected since the server started" in check.detail
    assert "CLIENT LIST" in check.remedy


def test_an_append_only_file_is_told_of_since_it_wins_over_a_dump(start_server, system_of):
    check = finding(system_of(start_server(appendonly="yes")), "append_only")
    assert (check.verdict, check.severity) == ("failed", "info")
    assert "dump.rdb" in check.detail
    assert "appendonly no" in check.remedy


def test_what_info_does_not_tell_is_not_passed():
    assert {each.verdict for each in ailments({"redis_version": "2.0"})} == {"not checked"}
    assert list(ailments({})) == []


def test_a_pool_that_is_nearly_used_up_is_told_before_anybody_is_rejected():
    fields = {"mem_fragmentation_ratio": "1.0", "connected_clients": "95", "maxclients": "100"}
    (check,) = [each for each in ailments({**fields, "rejected_connections": "0"}) if each.subject == "clients"]
    assert check.verdict == "failed"
    assert "95 of 100 connected" in check.detail
