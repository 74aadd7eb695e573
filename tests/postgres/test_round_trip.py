"""A database with everything that is awkward comes back as it was."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from drkeeper.facts import compare, findings
from drkeeper.sandbox.postgres import PostgresServer
from drkeeper.systems import System

from .conftest import Captured, capture, databases_of, drop_all, run, session, system_at

NASTY = 'Näs"ty; DB/%s'
ROLES = """
    CREATE ROLE reader LOGIN PASSWORD 'read it';
    CREATE ROLE "Wri""ter" LOGIN PASSWORD 'it''s; "secret"' VALID UNTIL '2099-01-01';
    CREATE ROLE team; GRANT team TO reader WITH ADMIN OPTION;
    COMMENT ON ROLE team IS 'it''s; a team';
    ALTER ROLE reader SET search_path TO "Mixed Case", public;"""
PROPERTIES = """
    COMMENT ON DATABASE {name} IS 'the platform''s
store';
    ALTER DATABASE {name} SET search_path TO "$user", public, "Mixed Case";
    ALTER DATABASE {name} SET work_mem TO '7MB';
    ALTER ROLE reader IN DATABASE {name} SET statement_timeout TO '5s';
    ALTER DATABASE {name} CONNECTION LIMIT 77;
    REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;
    GRANT CONNECT ON DATABASE {name} TO reader WITH GRANT OPTION;
    ALTER DATABASE {name} OWNER TO "Wri""ter";"""


@pytest.fixture(scope="module")
def captured(source: PostgresServer) -> Captured:
    quoted = '"' + NASTY.replace('"', '""') + '"'
    run(source, ROLES)
    with session(source) as connection:
        connection.execute(f"CREATE DATABASE {quoted} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'".encode())
        connection.execute("CREATE DATABASE second")
    run(source, Path(__file__).with_name("nasty.sql").read_text(), NASTY)
    run(source, PROPERTIES.format(name=quoted))
    run(
        source,
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('abc123')",
        "second",
    )
    return capture(system_at(source, role_passwords=True))


@pytest.fixture(scope="module")
def restored(captured: Captured, target: PostgresServer) -> PostgresServer:
    system = system_at(target)
    assert system.is_empty()
    system.load(captured.record, captured, "j1")
    assert databases_of(target) == {"postgres", NASTY + "__j1", "second__j1"}
    system.switch(captured.record, "j1")
    return target


def test_what_is_opened_is_a_system(source: PostgresServer) -> None:
    assert isinstance(system_at(source), System)


def test_the_streams_are_roles_properties_and_one_dump_for_each_database(captured: Captured) -> None:
    assert captured.names() == ("globals.sql", "databases.json", "db/Näs%22ty%3B%20DB%2F%25s.dump", "db/second.dump")
    assert captured.record.tools["pg_dump"].startswith("18")


def test_facts_cover_rows_sequences_objects_and_versions(captured: Captured) -> None:
    exact = captured.record.facts.exact
    assert exact[f'{NASTY}.Mixed Case.Table "1".rows'] == 51
    assert exact[f'{NASTY}.schéma "quoted".leer.rows'] == 0
    assert exact[f"{NASTY}.public.metrics_low.rows"] == 503
    assert exact[f"{NASTY}.public.used.last_value"] == 4711
    assert exact[f"{NASTY}.public.never_used.last_value"] == 105
    assert exact[f"{NASTY}.public.unfilled.populated"] is False
    assert exact[f"{NASTY}.large_objects"] == 1
    assert exact[f"{NASTY}.extensions"] == "hstore, pg_trgm, plpgsql"
    assert exact[f"{NASTY}.collate"] == "C"
    assert exact["second.public.alembic_version"] == "abc123"
    assert str(captured.record.facts.info["server_version"]).startswith("18")
    assert captured.record.facts.unread == {}


def test_every_fact_holds_after_the_restore(captured: Captured, restored: PostgresServer) -> None:
    checks = list(compare(captured.record.facts, system_at(restored).facts()))
    assert len(checks) > 30
    assert {check.verdict for check in checks} == {"passed"}, findings(checks)


def test_every_byte_is_the_same_after_the_restore(
    captured: Captured, source: PostgresServer, restored: PostgresServer
) -> None:
    assert databases_of(restored) == {"postgres", NASTY, "second"}
    assert plain_dump(source, NASTY) == plain_dump(restored, NASTY)


def plain_dump(server: PostgresServer, database: str) -> list[str]:
    argv = [str(server.bin_folder / "pg_dump"), "--create", "--restrict-key=x", "-h", "127.0.0.1", "-U", "postgres"]
    argv += ["-p", str(server.options["port"]), "-d", psycopg.conninfo.make_conninfo("", dbname=database)]
    env = {"PGPASSWORD": str(server.options["password"]), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(argv, env=env, check=True, capture_output=True, timeout=60)
    # pg_dump writes rows as they lie in the file, and partitions are loaded side by side: compare as sets of lines.
    return sorted(result.stdout.decode().splitlines())


def test_new_roles_log_in_with_their_old_passwords(restored: PostgresServer) -> None:
    with session(restored, NASTY, user="reader", password="read it") as connection:
        assert connection.execute("SELECT secret FROM secrets").fetchall() == [("visible",)]
        assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)
    with session(restored, NASTY, user='Wri"ter', password='it\'s; "secret"') as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public, "Mixed Case"',)


def test_a_restored_target_is_not_empty_and_a_preflight_finds_nothing_wrong(
    captured: Captured, restored: PostgresServer
) -> None:
    system = system_at(restored)
    assert not system.is_empty()
    assert [check for check in system.preflight(captured.record) if check.verdict != "passed"] == []


def test_switching_again_changes_nothing(captured: Captured, restored: PostgresServer) -> None:
    system_at(restored).switch(captured.record, "j1")
    assert databases_of(restored) == {"postgres", NASTY, "second"}


def test_a_dump_is_restored_by_hand_with_the_recorded_stock_command(
    captured: Captured, source: PostgresServer, target: PostgresServer, restored: PostgresServer
) -> None:
    drop_all(target)
    env = {
        "PGPASSWORD": str(target.options["password"]),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(target.options["port"]),
        "PGUSER": "postgres",
        "PATH": f"{target.bin_folder}:/usr/bin:/bin",
    }
    for stream in captured.record.streams:
        command = ["sh", "-c", stream.restore_hint]
        data = captured.contents[stream.name]
        result = subprocess.run(command, env=env, input=data, capture_output=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr.decode()
        # The script is the source's word on every role, `postgres` among them: the runbook says so too.
        env["PGPASSWORD"] = str(source.options["password"])
    target.options["password"] = source.options["password"]
    checks = list(compare(captured.record.facts, system_at(target).facts()))
    assert findings(checks) == []
