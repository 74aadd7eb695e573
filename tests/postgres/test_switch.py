"""Loading leaves the live data alone, and the switch is all or nothing, whoever is connected or crashes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import LoadFailed, Refused
from drkeeper.sandbox.postgres import PostgresServer
from drkeeper.systems._postgres.load import scratch_path

from .conftest import Captured, capture, databases_of, drop_all, row, run, serving, session, system_at

FILL = """
    CREATE TABLE things AS SELECT i, md5(i::text) AS text FROM generate_series(1, 100000) AS i;
    CREATE INDEX ON things (text); CREATE TABLE version AS SELECT 'from the backup' AS said"""
# What a killed drkeeper would run, with its streams in files.
PROGRAM = """
import sys
from pathlib import Path
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems.postgres import Options, open_system
folder = Path(sys.argv[2])
class Streams:
    def names(self): return tuple(s.name for s in record.streams)
    def size_bytes(self, name): return (folder / name).stat().st_size
    def read(self, name): yield (folder / name).read_bytes()
record = SystemRecord.model_validate_json((folder / "record.json").read_text())
system = open_system("mlflow-db", Options.model_validate_json((folder / "options.json").read_text()))
system.load(record, Streams(), "j9") if sys.argv[1] == "load" else system.switch(record, "j9")
"""


@pytest.fixture(scope="module")
def captured(source: PostgresServer) -> Captured:
    for name in ("first", "second"):
        run(source, f"CREATE DATABASE {name}")
        run(source, FILL, name)
    return capture(system_at(source, globals=False))


@pytest.fixture
def live(target: PostgresServer) -> Iterator[PostgresServer]:
    """A target with other contents in databases of the same names."""
    for name in ("first", "second"):
        run(target, f"CREATE DATABASE {name}")
        run(target, "CREATE TABLE version AS SELECT 'live' AS said", name)
    yield target
    drop_all(target)


@contextmanager
def drkeeper(
    action: str, captured: Captured, server: PostgresServer, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    for name, content in captured.contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "record.json").write_text(captured.record.model_dump_json())
    options = system_at(server, scratch=folder / "scratch").options.model_copy(update={"password": None})
    (folder / "options.json").write_text(options.model_dump_json())
    env = {**os.environ, "PGPASSWORD": str(server.options["password"])}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, action, str(folder)], env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def said(server: PostgresServer) -> set[tuple[str, str]]:
    found = set()
    for name in ("first", "second"):
        with session(server, name) as connection:
            found.add((name, row(connection, "SELECT said FROM version")[0]))
    return found


OLD = {("first", "live"), ("second", "live")}
NEW = {("first", "from the backup"), ("second", "from the backup")}


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = monotonic_seconds() + seconds
    while not condition():
        assert monotonic_seconds() < deadline, "it never came to that"
        sleep(0.01)


def test_a_load_that_is_not_wanted_is_discarded_without_a_trace(captured: Captured, live: PostgresServer) -> None:
    system = system_at(live)
    system.load(captured.record, captured, "j1")
    assert said(live) == OLD
    assert databases_of(live) == {"postgres", "first", "second", "first__j1", "second__j1"}
    assert system.facts().exact.keys().isdisjoint({"first__j1.encoding"}), "what is staged is not protected"
    for _ in range(2):
        system.discard("j1")
        assert databases_of(live) == {"postgres", "first", "second"}


def test_busy_clients_are_sent_away_and_see_the_old_or_the_new_database_and_nothing_else(
    captured: Captured, live: PostgresServer
) -> None:
    system = system_at(live)
    system.load(captured.record, captured, "j1")
    seen: list[str] = []
    cut_off: list[str] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            try:
                with session(live, "first") as connection:
                    while not done.is_set():
                        seen.append(row(connection, "SELECT said FROM version")[0])
            except psycopg.Error as error:
                cut_off.append(str(error))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    try:
        eventually(lambda: seen.count("live") > 100)
        system.switch(captured.record, "j1")
        eventually(lambda: seen.count("from the backup") > 100)
    finally:
        done.set()
        for thread in clients:
            thread.join(timeout=30)
    assert len(cut_off) >= 8, "each client was connected to the old one"
    assert set(seen) == {"live", "from the backup"}
    assert databases_of(live) == {"postgres", "first", "second"}


def test_a_switch_that_is_killed_between_two_renames_leaves_the_old_ones_and_can_be_called_again(
    captured: Captured, live: PostgresServer, tmp_path: Path
) -> None:
    system = system_at(live)
    system.load(captured.record, captured, "j9")
    with session(live) as blocker, session(live) as onlooker:
        blocker.execute("BEGIN; COMMENT ON DATABASE second IS 'holds the lock that its rename needs'")
        with drkeeper("switch", captured, live, tmp_path) as process:
            waiting = """SELECT count(*) FROM pg_stat_activity
                         WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER DATABASE "second" RENAME%'"""
            eventually(lambda: onlooker.execute(waiting).fetchone() == (1,))
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(timeout=10) == -signal.SIGKILL
        blocker.execute("ROLLBACK")
        eventually(lambda: onlooker.execute(waiting).fetchone() == (0,))
    assert said(live) == OLD
    system.switch(captured.record, "j9")
    assert said(live) == NEW
    assert databases_of(live) == {"postgres", "first", "second"}


def test_a_switch_that_crashed_after_its_commit_only_drops_the_former_ones(
    captured: Captured, live: PostgresServer
) -> None:
    system = system_at(live)
    system.load(captured.record, captured, "j1")
    with session(live) as connection:
        for name in ("first", "second"):
            connection.execute(f"ALTER DATABASE {name} RENAME TO {name}__before_j1".encode())
            connection.execute(f"ALTER DATABASE {name}__j1 RENAME TO {name}".encode())
    system.switch(captured.record, "j1")
    assert said(live) == NEW
    assert databases_of(live) == {"postgres", "first", "second"}


def test_a_load_that_is_killed_is_begun_anew_by_the_next_one(
    captured: Captured, live: PostgresServer, tmp_path: Path
) -> None:
    system = system_at(live, scratch=tmp_path / "scratch")
    with drkeeper("load", captured, live, tmp_path) as process:
        with session(live) as connection:
            restoring = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'first__j9' AND query LIKE 'COPY%'"
            eventually(lambda: row(connection, restoring)[0] > 0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
    assert "first__j9" in databases_of(live)
    assert scratch_path(system.options, "j9").exists()
    with pytest.raises(LoadFailed, match="not loaded"):
        system.switch(captured.record, "j9")
    system.load(captured.record, captured, "j9")
    assert list((tmp_path / "scratch").iterdir()) == []
    system.switch(captured.record, "j9")
    assert said(live) == NEW


def test_a_switch_without_all_that_belongs_together_is_refused(captured: Captured, live: PostgresServer) -> None:
    system = system_at(live)
    system.load(captured.record, captured, "j1")
    run(live, "DROP DATABASE second__j1")
    with pytest.raises(LoadFailed, match="not loaded: second; nothing was switched"):
        system.switch(captured.record, "j1")
    assert said(live) == OLD


def test_a_prepared_transaction_stops_preflight_and_switch(captured: Captured, tmp_path: Path) -> None:
    with serving(tmp_path / "server", max_prepared_transactions="5") as server:
        run(server, "CREATE DATABASE first")
        run(server, "CREATE TABLE version AS SELECT 'live' AS said", "first")
        with session(server, "first") as connection:
            connection.execute("BEGIN; CREATE TABLE pending (a int); PREPARE TRANSACTION 'p'")
        system = system_at(server)
        found = [check.subject for check in system.preflight(captured.record) if check.verdict == "failed"]
        assert found == ["prepared_transactions"]
        system.load(captured.record, captured, "j1")
        with pytest.raises(LoadFailed, match="the old ones are live") as caught:
            system.switch(captured.record, "j1")
        assert "prepared transactions" in caught.value.hint
        with session(server, "first") as connection:
            assert connection.execute("SELECT said FROM version").fetchone() == ("live",)


def test_a_scratch_folder_without_room_is_refused_before_anything_changes(
    captured: Captured, live: PostgresServer, tmp_path: Path
) -> None:
    class Enormous(Captured):
        def size_bytes(self, name: str) -> int:
            return 10**18

    streams = Enormous(captured.record, captured.contents)
    with pytest.raises(Refused, match=r"the largest dump needs 1000000000\.0 GB") as caught:
        system_at(live, scratch=tmp_path).load(captured.record, streams, "j1")
    assert "scratch" in caught.value.hint
    assert databases_of(live) == {"postgres", "first", "second"}


def test_a_damaged_dump_fails_the_load_and_leaves_the_live_data(captured: Captured, live: PostgresServer) -> None:
    dump = captured.contents["db/first.dump"]
    damaged = Captured(captured.record, {**captured.contents, "db/first.dump": dump[: len(dump) // 2]})
    with pytest.raises(LoadFailed, match=r"(?s)pg_restore exited .* the live data are untouched"):
        system_at(live).load(captured.record, damaged, "j1")
    assert said(live) == OLD
    system_at(live).discard("j1")
    assert databases_of(live) == {"postgres", "first", "second"}


def test_one_database_of_several_is_restored_where_the_target_lists_it(
    captured: Captured, live: PostgresServer
) -> None:
    system = system_at(live, databases=["second"])
    system.load(captured.record, captured, "j1")
    system.switch(captured.record, "j1")
    assert said(live) == {("first", "live"), ("second", "from the backup")}


def test_the_maintenance_database_itself_can_be_replaced(captured: Captured, live: PostgresServer) -> None:
    system = system_at(live, databases=["first"], maintenance_database="first")
    system.load(captured.record, captured, "j1")
    system.switch(captured.record, "j1")
    assert said(live) == {("first", "from the backup"), ("second", "live")}


def test_a_role_without_superuser_restores_what_it_may_own(captured: Captured, live: PostgresServer) -> None:
    run(live, "CREATE ROLE keeper LOGIN CREATEDB PASSWORD 'k'; ALTER DATABASE first OWNER TO keeper")
    system = system_at(live, user="keeper", password="k", databases=["first"], owners=False, globals=False)
    assert [check for check in system.preflight(captured.record) if check.verdict == "failed"] == []
    system.load(captured.record, captured, "j1")
    system.switch(captured.record, "j1")
    with session(live, "first", user="keeper", password="k") as connection:
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (100000,)
