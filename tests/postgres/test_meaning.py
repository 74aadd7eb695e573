"""What a restore must not change, what it brings along, and what it knows about the data."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from drkeeper.facts import Facts, compare, findings
from drkeeper.heartbeat import Heartbeat
from drkeeper.sandbox.postgres import PostgresServer

from .conftest import Captured, capture, drop_all, record_of, row, run, session, system_at

TRANSFER = """
    WITH taken AS (UPDATE a SET amount = amount - 1 WHERE id = %(id)s RETURNING id)
    UPDATE b SET amount = amount + 1 FROM taken WHERE b.id = taken.id"""


@pytest.fixture(autouse=True)
def clean(source: PostgresServer, target: PostgresServer) -> None:
    for server in (source, target):
        drop_all(server)


def restore(captured: Captured, server: PostgresServer, **more: object) -> None:
    system = system_at(server, **more)
    system.load(captured.record, captured, "j1")
    system.switch(captured.record, "j1")


def test_money_that_moves_during_the_dump_is_neither_lost_nor_doubled(
    source: PostgresServer, target: PostgresServer
) -> None:
    run(source, "CREATE DATABASE bank")
    run(source, "CREATE TABLE a AS SELECT id, 100 AS amount FROM generate_series(1, 2000) AS id", "bank")
    run(source, "CREATE TABLE b AS TABLE a; CREATE TABLE log (id serial, of int); CREATE INDEX ON b (id)", "bank")
    run(source, "CREATE INDEX ON a (id)", "bank")
    done, moved, before_freeze = threading.Event(), [0], [0]

    def teller() -> None:
        with session(source, "bank") as connection:
            while not done.is_set():
                connection.execute(TRANSFER, {"id": moved[0] % 2000 + 1})
                connection.execute("INSERT INTO log (of) VALUES (1)")
                moved[0] += 1

    thread = threading.Thread(target=teller)
    thread.start()
    try:
        while moved[0] < 20:
            pass
        before_freeze[0] = moved[0]
        captured = capture(system_at(source, globals=False))
        after = moved[0]
        while moved[0] < after + 20:
            pass
    finally:
        done.set()
        thread.join(timeout=30)
    assert after > before_freeze[0], "nothing moved during the dump"
    restore(captured, target)
    with session(target, "bank") as connection:
        sums = "SELECT (SELECT sum(amount) FROM a), (SELECT sum(amount) FROM b), (SELECT count(*) FROM log)"
        in_a, in_b, logged = row(connection, sums)
    assert in_a + in_b == 400_000
    assert before_freeze[0] <= 200_000 - in_a < moved[0]
    assert logged == captured.record.facts.exact["bank.public.log.rows"]
    # The sequence went on while it was read: what was restored lies in the bounds.
    low, high = captured.record.facts.bounds["bank.public.log_id_seq.last_value"]
    assert low < high
    assert findings(compare(captured.record.facts, system_at(target).facts())) == []


def test_several_databases_are_frozen_within_a_fraction_of_a_second(source: PostgresServer) -> None:
    for number in range(5):
        run(source, f"CREATE DATABASE d{number}")
    captured = capture(system_at(source))
    skew = captured.record.facts.info["databases_skew_seconds"]
    assert isinstance(skew, float)
    assert 0 < skew < 0.5


def test_passwords_are_left_out_unless_they_are_asked_for(source: PostgresServer, target: PostgresServer) -> None:
    run(source, "CREATE ROLE fresh LOGIN PASSWORD 'the old one'")
    run(source, "CREATE DATABASE shop OWNER fresh")
    captured = capture(system_at(source))
    assert b"PASSWORD" not in captured.contents["globals.sql"]
    restore(captured, target)
    with (
        pytest.raises(psycopg.OperationalError, match="password authentication failed"),
        session(target, "shop", user="fresh", password="the old one"),
    ):
        pass


def test_roles_that_exist_keep_password_attributes_and_memberships(
    source: PostgresServer, target: PostgresServer
) -> None:
    run(source, "CREATE ROLE shared LOGIN SUPERUSER PASSWORD 'of the source'; CREATE ROLE power; GRANT power TO shared")
    run(source, "CREATE DATABASE shop OWNER shared")
    run(target, "CREATE ROLE shared LOGIN PASSWORD 'of the target'")
    restore(capture(system_at(source, role_passwords=True)), target)
    with session(target, "shop", user="shared", password="of the target") as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'shared'").fetchone() == (False,)
        assert connection.execute("SELECT pg_has_role('shared', 'power', 'MEMBER')").fetchone() == (False,)
    with session(target) as connection:
        assert connection.execute("SELECT rolname FROM pg_roles WHERE rolname = 'power'").fetchone() == ("power",)


def test_the_newest_beat_is_that_of_the_database_that_lost_most(source: PostgresServer, target: PostgresServer) -> None:
    run(source, "CREATE DATABASE one")
    run(source, "CREATE DATABASE two")
    system = system_at(source)
    assert system.newest_beat() is None
    first = Heartbeat(at=datetime(2026, 1, 1, tzinfo=UTC), sequence=1)
    second = Heartbeat(at=first.at + timedelta(seconds=30), sequence=2)
    system.beat(first)
    system_at(source, databases=["two"]).beat(second)
    assert system.newest_beat() == first
    system.beat(second)
    assert system.newest_beat() == second
    assert system.is_empty(), "heartbeats alone are nobody's data"
    captured = capture(system)
    system.beat(Heartbeat(at=second.at + timedelta(seconds=30), sequence=3))
    restore(captured, target)
    assert system_at(target).newest_beat() == second


def test_rows_of_excluded_tables_stay_away_and_are_not_counted(source: PostgresServer, target: PostgresServer) -> None:
    run(source, "CREATE DATABASE shop")
    run(
        source,
        'CREATE SCHEMA "Log"; CREATE TABLE "Log"."Big one" AS SELECT 1 AS a; CREATE TABLE kept AS SELECT 1 AS a',
        "shop",
    )
    captured = capture(system_at(source, exclude_tables=["Log.*"]))
    restore(captured, target)
    with session(target, "shop") as connection:
        assert connection.execute('SELECT count(*) FROM "Log"."Big one"').fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert "shop.Log.Big one.rows" not in captured.record.facts.exact
    assert findings(compare(captured.record.facts, system_at(target).facts())) == []


def test_names_of_63_bytes_are_loaded_and_switched(source: PostgresServer, target: PostgresServer) -> None:
    names = ["é" * 31 + "x", "é" * 31 + "y"]
    for name in names:
        run(source, f'CREATE DATABASE "{name}"')
        run(source, f"CREATE TABLE t AS SELECT '{name}' AS name", name)
        run(target, f'CREATE DATABASE "{name}"')
    captured = capture(system_at(source, globals=False))
    restore(captured, target)
    for name in names:
        with session(target, name) as connection:
            assert connection.execute("SELECT name FROM t").fetchone() == (name,)


def changed(captured: Captured, **facts: dict[str, object]) -> Captured:
    old = captured.record.facts
    new = Facts.model_validate(
        {"exact": {**old.exact, **facts.get("exact", {})}, "info": {**old.info, **facts.get("info", {})}}
    )
    return Captured(record_of("db", captured.contents, new, captured.record.tools, {}), captured.contents)


def test_a_preflight_names_what_the_target_lacks(
    source: PostgresServer, target: PostgresServer, tmp_path: Path
) -> None:
    run(source, "CREATE DATABASE shop")
    captured = changed(
        capture(system_at(source, globals=False)),
        exact={"shop.extensions": "plpgsql, postgis, hstore", "shop.collate": "xx_XX.UTF-8"},
        info={"server_version": "99.1", "shop.tablespaces": "fast", "shop.extension.hstore": "0.1"},
    )
    strict = {"missing_locale": "refuse"}
    found = {c.subject: c for c in system_at(target, **strict).preflight(captured.record) if c.verdict == "failed"}
    assert {subject: check.severity for subject, check in found.items()} == {
        "version": "error",
        "shop.extension.postgis": "error",
        "shop.extension.hstore": "warning",
        "shop.locale": "error",
        "shop.tablespaces": "warning",
    }
    assert all(check.remedy for check in found.values())
    absent = system_at(target, databases=["shop", "other"]).preflight(captured.record)
    assert "other" in next(check.detail for check in absent if check.subject == "databases")


def test_a_role_that_may_not_make_databases_is_found_by_the_preflight(
    source: PostgresServer, target: PostgresServer
) -> None:
    run(source, "CREATE DATABASE shop")
    captured = capture(system_at(source))
    run(target, "CREATE ROLE weak LOGIN PASSWORD 'w'")
    system = system_at(target, user="weak", password="w")
    found = {check.subject for check in system.preflight(captured.record) if check.verdict == "failed"}
    assert found == {"permission.databases", "permission.roles"}


def test_a_locale_that_a_sandbox_lacks_is_replaced_and_the_fact_is_not_checked(
    source: PostgresServer, target: PostgresServer
) -> None:
    run(source, "CREATE DATABASE shop LC_COLLATE 'C' TEMPLATE template0")
    captured = capture(system_at(source, globals=False))
    json = captured.contents["databases.json"].replace(b'"collate": "C"', b'"collate": "xx_XX.UTF-8"')
    assert json != captured.contents["databases.json"]
    captured.contents["databases.json"] = json
    restore(captured, target)
    verdicts = {check.subject: check.verdict for check in compare(captured.record.facts, system_at(target).facts())}
    assert verdicts["shop.collate"] == "not checked"
    assert "failed" not in verdicts.values()


def test_mlflow_s_own_schema_is_restored_with_its_alembic_version(
    source: PostgresServer, target: PostgresServer
) -> None:
    tracking = pytest.importorskip("mlflow.store.tracking.sqlalchemy_store", reason="MLflow is not installed")
    run(source, "CREATE DATABASE mlflow")
    options = source.options
    url = f"postgresql+psycopg://postgres:{options['password']}@127.0.0.1:{options['port']}/mlflow"
    store = tracking.SqlAlchemyStore(url, "file:///tmp/unused")
    store.create_experiment("churn")
    store.engine.dispose()
    captured = capture(system_at(source))
    version = captured.record.facts.exact["mlflow.public.alembic_version"]
    assert isinstance(version, str)
    assert len(version) == 12
    restore(captured, target)
    assert findings(compare(captured.record.facts, system_at(target).facts())) == []
    with session(target, "mlflow") as connection:
        assert connection.execute("SELECT name FROM experiments ORDER BY 1").fetchall() == [("Default",), ("churn",)]
