"""After a switch that was cut off: what the target holds is told from what somebody else put there."""

import os

import pytest
from tests.redis_system.conftest import Captured, StartServer, capture, client

from drkeeper.errors import LoadFailed
from drkeeper.sandbox.redis import ValkeyServer
from drkeeper.systems._redis import replay, target


class Died(BaseException):
    """Stands for the end of the process: nothing cleans up."""


@pytest.fixture
def empty(start_server: StartServer) -> ValkeyServer:
    return start_server("target", repl_diskless_load="disabled")


def captured(start_server, system_of, tmp_path, how) -> Captured:
    source = start_server("source")
    with client(source) as into:
        into.mset({f"new{n}": os.urandom(50) for n in range(400)})
    return capture(system_of(source, capture=how), tmp_path / "captured")


def dies(*_arguments, **_more):
    raise Died


def test_spare_databases_that_were_half_filled_are_ours_and_a_key_elsewhere_is_not(
    empty, start_server, system_of, tmp_path, monkeypatch
) -> None:
    kept = captured(start_server, system_of, tmp_path, "scan")
    system = system_of(empty)
    system.load(kept.record, kept, "s1")
    assert not system.recognises(kept.record, "s1")
    with monkeypatch.context() as patched:
        patched.setattr(replay, "swap_in", dies)
        with pytest.raises(Died):
            system.switch(kept.record, "s1")
    assert not system.is_empty()
    assert system.recognises(kept.record, "s1")
    with client(empty) as somebody:
        somebody.set("a", "b")
        assert not system.recognises(kept.record, "s1")
        somebody.delete("a")
    system.switch(kept.record, "s1")
    with client(empty) as look:
        assert look.dbsize() == 400


def test_keys_that_were_replayed_in_place_cannot_be_told_from_those_of_clients(
    start_server, system_of, tmp_path, monkeypatch
) -> None:
    kept = captured(start_server, system_of, tmp_path, "scan")
    only_one = start_server("single", databases="1")
    system = system_of(only_one)
    system.load(kept.record, kept, "s1")
    monkeypatch.setattr(replay, "delete_others", dies)
    with pytest.raises(Died):
        system.switch(kept.record, "s1")
    assert not system.recognises(kept.record, "s1")


def test_data_that_are_live_are_not_served_again_and_what_is_left_is_done(
    empty, start_server, system_of, tmp_path, monkeypatch
) -> None:
    kept = captured(start_server, system_of, tmp_path, "replication")
    system = system_of(empty)
    system.load(kept.record, kept, "s1")
    with monkeypatch.context() as patched:
        patched.setattr(target, "_give_up", dies)  # a dead process puts nothing right
        patched.setattr(target.Scratch, "note_done", _note_and_die)
        with pytest.raises(Died):
            system.switch(kept.record, "s1")
    with client(empty) as look:
        assert look.info("replication")["role"] == "slave"
        assert look.config_get("repl-diskless-load")["repl-diskless-load"] == "swapdb"
        look.replicaof("NO", "ONE")  # somebody could not wait
        look.set("since", "s")
    assert system.recognises(kept.record, "s1")
    system.switch(kept.record, "s1")
    with client(empty) as look:
        assert (look.dbsize(), look.get("since")) == (401, b"s")
        assert look.config_get("repl-diskless-load")["repl-diskless-load"] == "disabled"


def test_a_target_that_still_waits_for_us_is_ours_and_one_that_was_let_go_is_not(
    empty, start_server, system_of, tmp_path, monkeypatch
) -> None:
    kept = captured(start_server, system_of, tmp_path, "replication")
    system = system_of(empty)
    system.load(kept.record, kept, "s1")
    with monkeypatch.context() as patched:
        patched.setattr(target, "_give_up", dies)
        patched.setattr(target.serve, "await_loaded", _fail_after(target.serve.await_loaded))
        with pytest.raises(Died):
            system.switch(kept.record, "s1")
    assert system.recognises(kept.record, "s1")
    with client(empty) as look:
        look.replicaof("NO", "ONE")
        assert look.dbsize() == 400
    assert not system.recognises(kept.record, "s1")


def _note_and_die(scratch):
    scratch.done.touch()
    raise Died


def _fail_after(real):
    def then_dies(*arguments):
        real(*arguments)
        raise LoadFailed("not reached")

    return then_dies
