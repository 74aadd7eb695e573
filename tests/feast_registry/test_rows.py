"""A registry in rows of a database: real PostgreSQL, and SQLite."""

import secrets
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.feast_registry.examples import (
    a_bare_registry,
    a_registry,
    capture,
    refused,
    registry_at,
    restore,
)
from tests.feast_registry.rows import InPostgres, InSqlite, dump, fill

from drkeeper.errors import CaptureFailed, LoadFailed, Refused, SystemUnreachable, ToolMissing
from drkeeper.facts import broken, compare
from drkeeper.feature_registry import differences, parse
from drkeeper.heartbeat import Heartbeat
from drkeeper.sandbox import start_sandbox
from drkeeper.systems._feast_registry.csv import read_rows, write_rows

MARK = Heartbeat(at=datetime(2026, 3, 1, 1, tzinfo=UTC), sequence=7)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    try:
        running = start_sandbox("postgres", tmp_path_factory.mktemp("postgres"))
    except ToolMissing as error:
        pytest.skip(f"no PostgreSQL for tests: {error}")
    yield running
    running.stop()


@pytest.fixture
def in_postgres(server):
    store = InPostgres(server, f"feast_{secrets.token_hex(4)}")
    store.make()
    return store


@pytest.fixture(params=["postgres", "sqlite"])
def store(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("in_postgres")
    made = InSqlite(tmp_path / "registry.db")
    made.make()
    return made


@pytest.fixture
def system(store):
    return registry_at(store.url, **store.options, lock_timeout_seconds=1)


def test_killed_while_it_tidies_up_no_part_of_what_was_loaded_is_taken_for_the_whole(tmp_path, monkeypatch):
    """What is left of a load was once put in place of the live rows, when `--resume` was asked for twice."""
    store = InSqlite(tmp_path / "registry.db")
    store.make()
    fill(store, a_registry())
    system = registry_at(store.url)
    before, point = dump(store), capture(system)

    class Killed(BaseException):
        pass

    def part_of_it(folder, **_):
        if not Path(folder).exists():
            return
        (Path(folder) / "tables%2Ffeature_views.csv").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", part_of_it)
        with pytest.raises(Killed):
            restore(system, point)
    for _ in range(3):
        system.switch(point.record, "drtest")
        assert dump(store) == before


def test_a_sqlite_that_was_analysed_is_restored(tmp_path):
    """ANALYZE makes a table of SQLite's own, which nobody else may make."""
    store = InSqlite(tmp_path / "registry.db")
    store.make()
    fill(store, a_registry())
    system = registry_at(store.url)
    before, point = dump(store), capture(system)
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection:
        connection.execute("ANALYZE")
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchone() == (1,)
    fill(store, a_registry("other"))

    restore(system, point)

    assert dump(store) == before


def test_lost_rows_come_back_each_as_it_was(store, system):
    fill(store, a_registry())
    system.beat(MARK)
    before, point = dump(store), capture(system)
    fill(store, a_registry("other"))
    system.beat(MARK.model_copy(update={"sequence": 99}))
    assert not system.is_empty()
    assert not refused(system.preflight(point.record))

    restore(system, point)

    assert dump(store) == before
    assert not broken(compare(point.record.facts, system.facts()))
    verdicts = {check.subject: check.verdict for check in system.verify(point.record, point)}
    assert verdicts == {"content": "passed", "rows": "passed", "caches": "failed"}
    assert system.newest_beat() == MARK
    assert not [name for name in store.tables() if "staged" in name]


def test_lost_tables_come_back_with_their_rows(store, system):
    fill(store, a_registry())
    system.beat(MARK)
    before, point = dump(store), capture(system)
    store.drop()
    assert system.is_empty()
    assert not refused(system.preflight(point.record))

    restore(system, point)

    assert dump(store) == before
    assert system.newest_beat() == MARK


def test_the_message_of_rows_is_the_registry(store, system):
    fill(store, a_registry())

    captured = parse(capture(system).contents["registry.pb"])

    # Rows know former versions of views; a file of a registry without any has none.
    assert differences(parse(a_registry()), captured) == ["former version of feature view churn v0 added"]
    assert parse(capture(system).contents["registry.pb"]).version_id == captured.version_id


def test_rows_are_restored_into_a_file_for_a_drill(store, system, tmp_path):
    fill(store, a_registry())
    point = capture(system)
    sandbox = registry_at(tmp_path / "drill.db", throw_away=True)

    restore(sandbox, point)

    assert not broken(compare(point.record.facts, sandbox.facts(point.record.facts)))
    assert [(check.subject, check.verdict) for check in sandbox.verify(point.record, point)] == [("content", "passed")]


def test_a_file_is_not_restored_into_rows(store, system, tmp_path):
    (tmp_path / "file.db").write_bytes(a_registry())
    point = capture(registry_at(tmp_path / "file.db"))

    assert refused(system.preflight(point.record)) == ["tables"]
    with pytest.raises(LoadFailed, match="no rows"):
        system.load(point.record, point, "drtest")


def test_rows_go_from_one_database_to_another(in_postgres, tmp_path):
    fill(in_postgres, a_registry())
    point = capture(registry_at(in_postgres.url, **in_postgres.options))
    other = InSqlite(tmp_path / "other.db")
    target = registry_at(other.url)

    restore(target, point)

    assert dump(other) == dump(in_postgres)
    assert not broken(compare(point.record.facts, target.facts()))


def test_no_rows_and_rows_of_nobody_are_not_captured(store, system):
    with pytest.raises(CaptureFailed, match="names no project"), system.freeze():
        pass
    fill_bare(store)
    with pytest.raises(CaptureFailed, match="no object"), system.freeze():
        pass
    assert system.is_empty()
    assert refused(system.probe()) == ["registry"]


def fill_bare(store):
    from drkeeper.feature_registry import registry_message

    message = registry_message()
    message.ParseFromString(a_bare_registry())
    proto = message.projects[0].SerializeToString()
    marks = ", ".join([store.placeholder] * 4)
    with store.session() as session:
        session.execute(f"INSERT INTO projects VALUES ({marks})", ["churn", "churn", 1, proto])


def test_a_row_that_cannot_be_decoded_is_named(store, system):
    fill(store, a_registry())
    with store.session() as session:
        session.execute(f"UPDATE entities SET entity_proto = {store.placeholder}", [b"garbage"])

    with pytest.raises(CaptureFailed, match="row customer, churn of table entities"), system.freeze():
        pass
    assert not system.is_empty()


def test_a_table_lock_held_by_somebody_is_waited_for_within_a_bound(store, system):
    fill(store, a_registry())
    sqlite = isinstance(store, InSqlite)
    with store.session() as somebody:
        somebody.execute("BEGIN EXCLUSIVE" if sqlite else "BEGIN")
        somebody.execute("UPDATE entities SET last_updated_timestamp = 1")
        started = time.monotonic()
        error = SystemUnreachable if sqlite else CaptureFailed
        with pytest.raises(error, match="locked" if sqlite else "UPDATE entities SET") as raised, system.freeze():
            pass
        assert 0.9 < time.monotonic() - started < 5
        assert "lock_timeout_seconds" in raised.value.hint
        somebody.execute("ROLLBACK")

    capture(system)


def test_a_switch_waits_for_a_writer_within_its_bound_and_changes_nothing_else(store, system):
    fill(store, a_registry())
    before, point = dump(store), capture(system)
    fill(store, a_registry("other"))
    system.load(point.record, point, "drtest")
    other = dump(store)
    with store.session() as somebody:
        somebody.execute("BEGIN")
        somebody.execute("UPDATE entities SET last_updated_timestamp = 1")
        with pytest.raises((LoadFailed, SystemUnreachable), match=r"writing|locked"):
            system.switch(point.record, "drtest")
        somebody.execute("ROLLBACK")
    assert dump(store) == other

    system.switch(point.record, "drtest")

    assert dump(store) == before


def test_a_write_since_the_load_is_not_overwritten(store, system):
    fill(store, a_registry())
    point = capture(system)
    fill(store, a_registry("other"))
    system.load(point.record, point, "drtest")
    fill(store, a_registry("came", "in", "between"))
    came_between = dump(store)

    with pytest.raises(Refused, match="was written since"):
        system.switch(point.record, "drtest")
    assert dump(store) == came_between

    system.switch(point.record, "drtest")

    assert not broken(compare(point.record.facts, system.facts()))


def test_a_crash_between_load_and_switch_or_after_the_commit_ends_well(store, system):
    fill(store, a_registry())
    before, point = dump(store), capture(system)
    fill(store, a_registry("other"))
    system.load(point.record, point, "drtest")
    fill(store, a_registry())  # committed, and killed before what was loaded was cleared away
    assert system.recognises(point.record, "drtest")

    registry_at(store.url, **store.options).switch(point.record, "drtest")
    registry_at(store.url, **store.options).switch(point.record, "drtest")

    assert dump(store) == before
    assert not [name for name in store.tables() if "staged" in name]


def test_a_load_is_discarded_without_a_trace(store, system):
    fill(store, a_registry())
    point, before = capture(system), store.tables()
    system.load(point.record, point, "drtest")
    system.discard("drtest")
    system.discard("drtest")

    assert store.tables() == before
    fill(store, a_registry("other"))
    with pytest.raises(LoadFailed, match="load it first"):
        system.switch(point.record, "drtest")


def test_a_column_that_the_target_lacks_is_found_before_anything(store, system):
    fill(store, a_registry())
    with store.session() as session:
        session.execute("ALTER TABLE entities ADD COLUMN newer VARCHAR(9) DEFAULT 'x'")
    point = capture(system)
    with store.session() as session:
        session.execute("ALTER TABLE entities DROP COLUMN newer")
    before = dump(store)

    with pytest.raises(LoadFailed, match="has no column newer"):
        system.load(point.record, point, "drtest")

    assert dump(store) == before


def test_writers_wait_for_milliseconds_only_and_none_is_cut_in_two(in_postgres):
    """An object and its project are written through two connections, as Feast does: the point has both or neither."""
    fill(in_postgres, a_registry())
    system = registry_at(in_postgres.url, **in_postgres.options)
    stop, waited = threading.Event(), []

    def keep_applying():
        with in_postgres.session() as objects, in_postgres.session() as projects:
            while not stop.is_set():
                started = time.monotonic()
                with objects.transaction():
                    objects.execute("UPDATE entities SET last_updated_timestamp = last_updated_timestamp + 1")
                    projects.execute("UPDATE projects SET last_updated_timestamp = last_updated_timestamp + 1")
                waited.append(time.monotonic() - started)
                stop.wait(0.001)

    writers = [threading.Thread(target=keep_applying) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        points = [capture(system) for _ in range(5)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()

    stamps = [(_stamp(point, "entities"), _stamp(point, "projects")) for point in points]
    assert len({entities for entities, _ in stamps}) > 1, "nothing was written meanwhile"
    assert all(entities == projects for entities, projects in stamps), stamps
    assert max(waited) < 2


def _stamp(point, table: str) -> str:
    columns, (row,) = read_rows(point.contents[f"tables/{table}.csv"])
    return dict(zip(columns, row, strict=True))["last_updated_timestamp"]


def test_a_writer_that_holds_the_advisory_lock_is_waited_for(in_postgres):
    fill(in_postgres, a_registry())
    system = registry_at(in_postgres.url, **in_postgres.options, lock_timeout_seconds=0.5)
    with in_postgres.session() as writer:
        writer.execute("SELECT pg_advisory_lock_shared(hashtextextended('drkeeper.feast_registry', 0))")
        with pytest.raises(CaptureFailed, match="pg_advisory_lock_shared"), system.freeze():
            pass

    capture(system)


def test_a_role_that_may_only_read_is_told_what_it_lacks(in_postgres):
    fill(in_postgres, a_registry())
    with in_postgres.session() as session:
        session.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'reader'")
        session.execute(f"GRANT USAGE ON SCHEMA {in_postgres.schema} TO reader")
        session.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {in_postgres.schema} TO reader")
        own = {**in_postgres.options, "user": "reader", "password": "reader"}
        reader = registry_at(in_postgres.url, **own)
        checks = {check.subject: check for check in reader.probe()}
        session.execute("DROP OWNED BY reader")

    assert checks["readable"].verdict == "passed"
    assert checks["lockable"].verdict == "failed"
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in checks["lockable"].remedy


def test_rows_come_back_with_psql_alone(in_postgres):
    """The command of the point's runbook."""
    fill(in_postgres, a_registry())
    before, point = dump(in_postgres), capture(registry_at(in_postgres.url, **in_postgres.options))
    with in_postgres.session() as session:
        for name in point.names():
            if name.startswith("tables/"):
                session.execute(f"DELETE FROM {name.removeprefix('tables/').removesuffix('.csv')}")
    port = in_postgres.url.rpartition(":")[2].partition("/")[0]
    where = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": in_postgres.options["user"]}
    for stream in point.record.streams:
        if stream.name.startswith("tables/"):
            done = subprocess.run(
                ["bash", "-c", stream.restore_hint],
                input=point.contents[stream.name],
                env={"PATH": "/usr/bin:/bin", "PGPASSWORD": in_postgres.options["password"], **where},
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    assert dump(in_postgres) == before


@pytest.mark.parametrize("value", ["", "plain", 'a "b", c', "two\nlines", "\\.", "ä", None, b"", b"\x00\xff"], ids=repr)
def test_csv_is_what_postgresql_writes_and_reads(in_postgres, value):
    kind = "bytea" if isinstance(value, bytes) else "text"
    with in_postgres.session() as session:
        session.execute(f"CREATE TABLE one (value {kind}, other text)")
        session.execute("INSERT INTO one VALUES (%s, NULL)", [value])
        with session.cursor().copy("COPY one TO STDOUT WITH (FORMAT csv, HEADER)") as copy:
            written = b"".join(bytes(block) for block in copy)
        session.execute("TRUNCATE one")
        with session.cursor().copy("COPY one FROM STDIN WITH (FORMAT csv, HEADER)") as copy:
            copy.write(write_rows(("value", "other"), [(value, None)]))
        assert session.execute("SELECT value, other FROM one").fetchall() == [(value, None)]

    columns, rows = read_rows(written)
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else value
    assert (columns, rows) == (("value", "other"), [(text, None)])


def test_an_unreachable_server_is_told(server):
    lost = registry_at("postgresql://127.0.0.1:1/feast", user="feast")

    assert refused(lost.probe())[0] == "reachable"
    with pytest.raises(SystemUnreachable), lost.freeze():
        pass
