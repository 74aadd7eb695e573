"""What goes wrong while a server is backed up is said clearly, and nothing half-read counts."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from drkeeper.clock import monotonic_seconds
from drkeeper.errors import CaptureFailed, Refused, SystemUnreachable, ToolMissing
from drkeeper.facts import Check
from drkeeper.sandbox._files import descendants, free_port
from drkeeper.sandbox.postgres import PostgresServer
from drkeeper.systems import Frozen
from drkeeper.systems.postgres import Options, open_system

from .conftest import capture, run, serving, session, system_at

# Incompressible for the server too, so that pg_dump has 40 MB to say.
LARGE = """
    CREATE TABLE large AS SELECT i, string_agg(md5((i * j)::text), '') AS text
    FROM generate_series(1, 1000) AS i, generate_series(1, 1250) AS j GROUP BY i"""


@pytest.fixture(scope="module")
def server(source: PostgresServer) -> PostgresServer:
    run(source, "CREATE DATABASE shop")
    run(source, LARGE, "shop")
    run(source, "CREATE TABLE secrets (a int); ALTER TABLE secrets ENABLE ROW LEVEL SECURITY", "shop")
    run(source, "CREATE ROLE nobody_special LOGIN PASSWORD 'x'; CREATE ROLE sees_most LOGIN PASSWORD 'x'")
    run(source, "GRANT pg_read_all_data TO sees_most")
    return source


def pg_dumps() -> list[int]:
    """Process ids of the pg_dumps that we started."""

    def command(process_id: int) -> str:
        try:
            return Path(f"/proc/{process_id}/cmdline").read_text().split("\0")[0]
        except OSError:
            return ""

    return [process_id for process_id in descendants(os.getpid()) if command(process_id).endswith("/pg_dump")]


def begun_dump(frozen: Frozen) -> Iterator[bytes]:
    """A dump whose first two blocks were read."""
    stream = next(stream for stream in frozen.streams() if stream.name == "db/shop.dump")
    chunks = stream.chunks
    assert next(chunks)
    assert next(chunks)
    return chunks


def test_a_pg_dump_that_is_killed_midway_fails_the_capture(server: PostgresServer) -> None:
    system = system_at(server, databases=["shop"], globals=False)
    with system.freeze() as frozen:
        chunks = begun_dump(frozen)
        (victim,) = pg_dumps()
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(CaptureFailed, match="pg_dump was ended by SIGKILL"):
            list(chunks)


def test_a_capture_that_is_given_up_leaves_no_pg_dump(server: PostgresServer) -> None:
    system = system_at(server, databases=["shop"], globals=False)
    with system.freeze() as frozen:
        chunks = begun_dump(frozen)
        assert len(pg_dumps()) == 1
        chunks.close()  # type: ignore[attr-defined]
        assert pg_dumps() == []


def test_a_session_that_the_server_ends_midway_fails_the_capture(server: PostgresServer) -> None:
    system = system_at(server, databases=["shop"], globals=False)
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pg_dump'"
    with system.freeze() as frozen:
        chunks = begun_dump(frozen)
        with session(server) as connection:
            assert connection.execute(end).fetchone() == (1,)
        with pytest.raises(CaptureFailed, match="pg_dump exited with 1"):
            list(chunks)


def test_a_server_that_is_killed_midway_fails_dump_and_facts(tmp_path: Path) -> None:
    with serving(tmp_path / "doomed") as doomed:
        run(doomed, "CREATE DATABASE shop")
        run(doomed, LARGE, "shop")
        system = system_at(doomed, databases=["shop"], globals=False)
        with system.freeze() as frozen:
            chunks = begun_dump(frozen)
            doomed.kill()
            with pytest.raises(CaptureFailed):
                list(chunks)
            with pytest.raises(CaptureFailed, match="facts"):
                frozen.facts()


def test_a_server_that_dies_when_everything_was_read_costs_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "doomed") as doomed:
        run(doomed, "CREATE DATABASE shop")
        with system_at(doomed, databases=["shop"], globals=False).freeze() as frozen:
            for stream in frozen.streams():
                list(stream.chunks)
            assert frozen.facts().exact
            # Its last word is still to be read: that is when leaving the view has failed.
            with session(doomed) as other:
                other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'")


def test_a_freeze_that_is_left_early_does_not_wait_for_the_counting(server: PostgresServer) -> None:
    run(server, "CREATE VIEW slow AS SELECT 1", "shop")
    with session(server, "shop") as blocker, session(server) as onlooker:
        blocker.execute("BEGIN; LOCK TABLE large IN ACCESS EXCLUSIVE MODE")
        begun = monotonic_seconds()
        with system_at(server, databases=["shop"], globals=False).freeze():
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'drkeeper' AND wait_event_type = 'Lock'"
            )
            while onlooker.execute(waiting).fetchone() == (0,):
                assert monotonic_seconds() - begun < 20
        assert monotonic_seconds() - begun < 20


def test_a_table_that_somebody_locks_fails_the_dump_after_the_time_limit(server: PostgresServer) -> None:
    system = system_at(server, databases=["shop"], lock_timeout_seconds=1)
    with session(server, "shop") as blocker:
        blocker.execute("BEGIN; LOCK TABLE large IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CaptureFailed, match="due to statement timeout") as caught:
            capture(system)
    assert "lock_timeout_seconds" in caught.value.hint


def test_a_wrong_password_is_named_and_not_shown(server: PostgresServer) -> None:
    system = system_at(server, password="hunter2")
    with pytest.raises(SystemUnreachable, match="refuses our password") as caught, system.freeze():
        pass
    assert "hunter2" not in str(caught.value) + caught.value.hint + repr(system)
    (check,) = system.probe()
    assert check.verdict == "failed"
    assert "policy" in check.remedy


def test_a_closed_port_is_unreachable() -> None:
    system = open_system("db", Options(host="127.0.0.1", port=free_port(), user="x"))
    with pytest.raises(SystemUnreachable, match="refused") as caught:
        system.facts()
    assert caught.value.retryable
    assert [check.verdict for check in system.probe()] == ["failed"]


def test_a_host_that_accepts_and_never_answers_runs_into_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        system = open_system("db", Options(host="127.0.0.1", port=port, user="x", connect_timeout_seconds=2))
        begun = monotonic_seconds()
        with pytest.raises(SystemUnreachable, match="timeout"):
            system.is_empty()
        assert 1 < monotonic_seconds() - begun < 10
        mute.settimeout(1)
        mute.accept()[0].close()  # we were indeed connected to it


def failures(checks: object) -> dict[str, Check]:
    return {check.subject: check for check in checks if check.verdict == "failed"}  # type: ignore[attr-defined]


def test_a_role_that_may_not_read_is_found_by_the_probe_and_stops_the_dump(server: PostgresServer) -> None:
    system = system_at(server, user="nobody_special", password="x", databases=["shop"])
    found = failures(system.probe())
    assert found["shop.readable"].remedy == 'GRANT pg_read_all_data TO "nobody_special"'
    assert found["shop.heartbeat"].severity == "warning"
    with pytest.raises(CaptureFailed, match="permission denied") as caught:
        capture(system)
    assert "pg_read_all_data" in caught.value.hint
    assert "may not read" in system.facts().unread["shop.public.large.rows"]


def test_rows_that_row_security_hides_are_found_by_the_probe_and_stop_the_dump(server: PostgresServer) -> None:
    system = system_at(server, user="sees_most", password="x", databases=["shop"])
    assert failures(system.probe())["shop.row_security"].remedy == 'ALTER ROLE "sees_most" BYPASSRLS'
    with pytest.raises(CaptureFailed, match="row-level security") as caught:
        capture(system)
    assert "BYPASSRLS" in caught.value.hint
    assert "row security" in system.facts().unread["shop.public.secrets.rows"]


def test_role_passwords_need_a_role_that_reads_them(server: PostgresServer) -> None:
    system = system_at(server, user="nobody_special", password="x", databases=["postgres"], role_passwords=True)
    assert "pg_read_all_data" in failures(system.probe())["role_passwords"].remedy
    with pytest.raises(CaptureFailed, match=r"pg_dumpall .* permission denied for table pg_authid"):
        capture(system)
    allowed = system_at(server, user="sees_most", password="x", databases=["postgres"], role_passwords=True)
    assert b"SCRAM-SHA-256" in capture(allowed).contents["globals.sql"]


def test_an_older_client_is_refused_before_anything_is_read(server: PostgresServer, tmp_path: Path) -> None:
    for program in ("pg_dump", "pg_restore"):
        script = tmp_path / program
        script.write_text('#!/bin/sh\necho "pg_dump (PostgreSQL) 12.3 (Debian 12.3-1)"\n')
        script.chmod(0o755)
    system = system_at(server, bin_folder=tmp_path)
    with pytest.raises(ToolMissing, match=r"18 or newer .* found: 12.3 in ") as caught, system.freeze():
        pass
    assert "postgresql-client-18" in caught.value.hint
    assert "12.3" in failures(system.probe())["tools"].detail


def test_a_server_without_databases_is_refused(tmp_path: Path, target: PostgresServer) -> None:
    system = system_at(target)
    with pytest.raises(Refused, match="no database"), system.freeze():
        pass
    assert "databases" in failures(system.probe())


def test_a_database_that_does_not_exist_is_named(server: PostgresServer) -> None:
    system = system_at(server, databases=["shop", "shopp"])
    with pytest.raises(SystemUnreachable, match='"shopp" does not exist') as caught, system.freeze():
        pass
    assert "databases" in caught.value.hint
    assert "shopp" in failures(system.probe())


def test_a_healthy_server_passes_every_check_of_the_probe(server: PostgresServer) -> None:
    assert failures(system_at(server).probe()) == {}
