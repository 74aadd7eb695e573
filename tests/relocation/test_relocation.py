"""All columns of locations are rewritten in one transaction, and nothing else is; or nothing at all."""

import threading
import time

import psycopg
import pytest
from tests.relocation.tracking import add_workspace, digest, fill, texts

from drkeeper.applications._mlflow.columns import LOCATIONS
from drkeeper.applications._mlflow.database import DatabaseUnasked
from drkeeper.applications._mlflow.free_text import FreeText, scan
from drkeeper.applications._mlflow.moves import Move, moved, parse_move
from drkeeper.applications._mlflow.relocation import carry_out
from drkeeper.applications._mlflow.relocation_plan import look
from drkeeper.errors import Refused, SystemUnreachable, UsageInvalid, WorldChanged

HERE, THERE = "s3://models/root", "s3://models-west/root"
MOVE = Move(HERE, THERE)


def relocate(server, database, *moves):
    with server.writing(database) as session:
        return carry_out(session, look(session, moves))


@pytest.fixture
def filled(connection):
    fill(connection, HERE)
    add_workspace(connection, HERE)
    return connection


# --- what is rewritten --------------------------------------------------------------------------------------


def test_every_column_is_rewritten_and_the_way_back_gives_the_same_rows(server, database, filled):
    before, locations = digest(filled), texts(filled)
    written = relocate(server, database, MOVE)
    assert written == {
        "experiments.artifact_location": 1,
        "runs.artifact_uri": 3,
        "logged_models.artifact_location": 3,
        "model_versions.storage_location": 3,
        "model_versions.source": 2,
        "trace_tags.value": 6,
        "workspaces.default_artifact_root": 1,
        "workspaces.trace_archival_location": 1,
    }
    assert written.keys() == {each.name for each in LOCATIONS}
    assert texts(filled) == {
        name: sorted(moved(value, [MOVE]) for value in values) for name, values in locations.items()
    }
    relocate(server, database, MOVE.reversed)
    assert digest(filled) == before


def test_what_was_written_meanwhile_comes_back_too(server, database, filled):
    relocate(server, database, MOVE)
    fill(filled, THERE, experiment=7)
    relocate(server, database, MOVE.reversed)
    assert all(not value.startswith(THERE) for values in texts(filled).values() for value in values)


def test_a_second_time_there_is_nothing_to_do(server, database, filled):
    relocate(server, database, MOVE)
    before = digest(filled)
    with server.writing(database) as session:
        assert look(session, [MOVE]).rows == 0
        assert set(carry_out(session, look(session, [MOVE])).values()) == {0}
    assert digest(filled) == before


def test_only_whole_names_of_folders_count(server, database, connection):
    for number, root in enumerate(
        ("s3://models", "s3://models-old", "s3://modelsx/a", "s3://models/a", "S3://models"), 1
    ):
        fill(connection, root, runs=1, experiment=number)
    relocate(server, database, Move("s3://models", "s3://west"))
    places = dict(connection.execute("SELECT experiment_id, artifact_location FROM experiments"))
    del places[0]
    assert places == {
        1: "s3://west/1", 2: "s3://models-old/2", 3: "s3://modelsx/a/3", 4: "s3://west/a/4", 5: "S3://models/5",
    }  # fmt: skip


def test_a_location_that_is_the_prefix_itself_is_rewritten(server, database, connection):
    fill(connection, "s3://models", runs=1)
    connection.execute("UPDATE experiments SET artifact_location = 's3://models' WHERE experiment_id = 1")
    relocate(server, database, Move("s3://models", "gs://west"))
    query = "SELECT artifact_location FROM experiments WHERE experiment_id = 1"
    assert connection.execute(query).fetchone() == ("gs://west",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("s3://models/root", "gs://models/root"),
        ("s3://a_b/50%_x", "s3://c%/d_"),
        (r"s3://a/back\slash", r"wasbs://b@c.example/\1"),
        ("s3://a/quo'te\"", "s3://b/{c}%s"),
        ("s3://a/ü/模型", "s3://b/ß"),
        ("file:///srv/mlruns", "s3://b/mlruns"),
    ],
)
def test_names_that_mean_something_elsewhere_mean_themselves(server, database, connection, old, new):
    fill(connection, old, runs=2)
    lookalike = old.replace("_", "x").replace("%", "anything").replace("\\", "") + ("z" if "_" not in old else "")
    fill(connection, lookalike, runs=1, experiment=2)
    relocate(server, database, Move(old, new))
    found = {value for values in texts(connection).values() for value in values if not value.startswith("s3://nowhere")}
    assert all(value.startswith((f"{new}/", f"{lookalike}/", "see ")) for value in found)
    runs = connection.execute("SELECT count(*) FROM runs WHERE starts_with(artifact_uri, %s)", (f"{new}/1/",))
    assert runs.fetchone() == (2,)


def test_several_moves_are_one_and_the_longest_prefix_counts(server, database, connection):
    fill(connection, "s3://a", runs=1)
    fill(connection, "s3://a/x", runs=1, experiment=2)
    relocate(server, database, Move("s3://a", "s3://b"), Move("s3://a/x", "s3://c"))
    query = "SELECT artifact_location FROM experiments WHERE experiment_id > 0 ORDER BY experiment_id"
    assert connection.execute(query).fetchall() == [("s3://b/1",), ("s3://c/2",)]


@pytest.mark.parametrize(
    "moves",
    [
        [Move("s3://a", "s3://a/b")],
        [Move("s3://a/b", "s3://a")],
        [Move("s3://a", "s3://b"), Move("s3://b", "s3://c")],
        [Move("s3://a", "s3://b"), Move("s3://b/x", "s3://c")],
    ],
)
def test_places_within_one_another_are_refused(connection, moves):
    with pytest.raises(UsageInvalid, match="lie within one another"):
        look(connection, moves)


def test_moves_that_change_nothing_are_passed_over(connection):
    assert look(connection, [Move("s3://a", "s3://a")]).moves == ()


@pytest.mark.parametrize("text", ["", "models", "s3:/models", "s3://", "s3://a?x=1", "models:/m-1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageInvalid, match="no address"):
        parse_move(text, "s3://b")


# --- what is seen beforehand --------------------------------------------------------------------------------


def test_a_look_shows_examples_and_changes_nothing(connection):
    fill(connection, HERE)
    fill(connection, THERE, runs=2, experiment=2)
    fill(connection, "gs://other/x", runs=1, experiment=3)
    connection.execute("INSERT INTO experiments (experiment_id, name, workspace, artifact_location)"
                       " VALUES (4, 'p', 'default', 'mlflow-artifacts:/4')")  # fmt: skip
    before = digest(connection)
    plan = look(connection, [MOVE])
    assert digest(connection) == before
    runs = next(each for each in plan.columns if each.location.name == "runs.artifact_uri")
    assert (runs.rows, runs.already, len(runs.examples)) == (3, 2, 3)
    assert all(new == moved(old, [MOVE]) and old.startswith(HERE) for old, new in runs.examples)
    assert (plan.proxied, plan.refusals) == (1, ())
    assert plan.elsewhere == {"gs://other": 7, "s3://nowhere": 1}
    assert plan.roots == ((HERE, THERE),)


def test_free_text_is_counted_and_left_as_it_is(server, database, connection):
    fill(connection, HERE, runs=2)
    run = connection.execute("SELECT run_uuid FROM runs LIMIT 1").fetchone()[0]
    connection.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('note', %s, %s)", (f"at {HERE}, see", run))
    connection.execute("INSERT INTO params (key, value, run_uuid) VALUES ('data', %s, %s)", (f"{HERE}/d.csv", run))
    connection.execute("INSERT INTO params (key, value, run_uuid) VALUES ('old', %s, %s)", (f"{HERE}-old/d.csv", run))
    connection.execute("INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
                       " dataset_source) VALUES ('u', 1, 'd', 'x', 's3', %s)", (f'{{"uri": "{HERE}"}}',))  # fmt: skip
    connection.execute("CREATE TABLE prompts_of_mlflow_9 (place text)")
    connection.execute("INSERT INTO prompts_of_mlflow_9 VALUES (%s)", (f"{HERE}/p",))
    found = scan(connection, [HERE])
    assert found == (
        FreeText("datasets.dataset_source", 1),
        FreeText("params.value", 1, begins=1),
        FreeText("prompts_of_mlflow_9.place", 1, begins=1),
        FreeText("tags.value", 1),
        FreeText("trace_tags.value", 2),
    )
    before = connection.execute("SELECT value FROM params ORDER BY key").fetchall()
    relocate(server, database, MOVE)
    assert connection.execute("SELECT value FROM params ORDER BY key").fetchall() == before


def test_a_scan_that_takes_too_long_says_so(connection):
    fill(connection, HERE, runs=1)
    connection.execute("INSERT INTO tags (key, value, run_uuid) SELECT 'k' || n, repeat(%s, 200), run_uuid"
                       " FROM runs, generate_series(1, 20000) n", (f"{HERE}-x ",))  # fmt: skip
    assert FreeText("tags.value", None) in scan(connection, [HERE], seconds=0.02)


def test_a_database_of_something_else_is_told(server):
    with server.connect("postgres") as connection, pytest.raises(DatabaseUnasked, match="no tables of MLflow"):
        look(connection, [MOVE])


def test_an_older_mlflow_has_fewer_columns(server, database, connection):
    fill(connection, HERE)
    connection.execute("DROP TABLE workspaces CASCADE")
    connection.execute("ALTER TABLE model_versions DROP COLUMN storage_location")
    assert len(relocate(server, database, MOVE)) == 5


# --- what is refused ----------------------------------------------------------------------------------------


LIMITED = [each for each in LOCATIONS if each.limit]


@pytest.mark.parametrize("location", LIMITED, ids=lambda each: each.name)
def test_a_location_that_would_not_fit_into_its_column_stops_everything(server, database, filled, location):
    narrow = location.limit - 60 if location.limit < 1000 else 190
    if location.limit >= 1000:
        filled.execute(f"ALTER TABLE {location.table} ALTER COLUMN {location.column} TYPE varchar(250)")
    limit = min(location.limit, 250 if location.limit >= 1000 else location.limit)
    long = f"{HERE}/{'x' * (narrow - len(HERE) - 1)}"
    its = f"WHERE key = '{location.keys[0]}'" if location.keys else "WHERE true"
    one = f"ctid = (SELECT ctid FROM {location.table} {its} LIMIT 1)"
    filled.execute(f"UPDATE {location.table} SET {location.column} = %s WHERE {one}", (long,))
    longer = Move(HERE, f"s3://{'y' * (len(HERE) + limit - narrow - 5)}")  # exactly fits
    before = digest(filled)
    with server.writing(database) as session:
        plan = look(session, [longer])
        column = next(each for each in plan.columns if each.location.name == location.name)
        assert column.too_long == 0
        plan = look(session, [Move(HERE, longer.new + "y")])
        column = next(each for each in plan.columns if each.location.name == location.name)
        assert (column.too_long, column.location.limit) == (1, limit)
        assert f"({limit + 1} characters)" in column.too_long_rows[0]
        with pytest.raises(Refused, match=f"would not fit into {location.name}"):
            carry_out(session, plan)
    assert digest(filled) == before


def test_one_that_becomes_too_long_after_the_look_undoes_everything(server, database, filled):
    before = digest(filled)
    with server.writing(database) as session:
        plan = look(session, [MOVE])
        filled.execute("UPDATE runs SET artifact_uri = %s WHERE name = 'run 2'", (f"{HERE}/{'x' * 180}",))
        between = digest(filled)
        with pytest.raises(WorldChanged, match="does not fit"):
            carry_out(session, plan)
    assert digest(filled) == between != before


def test_fewer_rows_than_were_seen_undo_everything(server, database, filled):
    with server.writing(database) as session:
        plan = look(session, [MOVE])
        filled.execute("DELETE FROM trace_tags WHERE request_id = 'tr-1-2'")
        before = digest(filled)
        with pytest.raises(WorldChanged, match=r"trace_tags.value has 4 rows at the old place, and had 6"):
            carry_out(session, plan)
    assert digest(filled) == before


def test_a_lease_that_was_lost_undoes_everything(server, database, filled):
    before = digest(filled)

    def lost():
        raise Refused("the lease was lost")

    with server.writing(database) as session, pytest.raises(Refused, match="lease was lost"):
        carry_out(session, look(session, [MOVE]), check=lost)
    assert digest(filled) == before


def test_a_role_that_may_not_write_is_told_beforehand(server, database, filled):
    filled.execute("DROP ROLE IF EXISTS reader")
    filled.execute("CREATE ROLE reader LOGIN PASSWORD 'x' IN ROLE pg_read_all_data")
    options = server.system(database, user="reader", password="x")
    with options.connect(database, writing=True) as session:
        plan = look(session, [MOVE])
        assert "the role may not change runs.artifact_uri: GRANT UPDATE ON runs" in plan.refusals
        with pytest.raises(Refused):
            carry_out(session, plan)


def test_a_column_that_the_role_may_not_read_is_no_column_that_is_not_there(server, database, filled):
    filled.execute("DROP ROLE IF EXISTS half")
    filled.execute("CREATE ROLE half LOGIN PASSWORD 'x'")
    filled.execute("GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO half")
    filled.execute("REVOKE ALL ON workspaces FROM half")
    system = server.system(database, user="half", password="x")
    with pytest.raises(SystemUnreachable, match="permission denied for table workspaces"):  # noqa: SIM117
        with system.connect(database, writing=True) as session:
            look(session, [MOVE])
    filled.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(DatabaseUnasked, match="half may not use the schema"):  # noqa: SIM117
        with system.connect(database, writing=True) as session:
            look(session, [MOVE])


def test_a_server_that_answers_and_refuses_is_not_one_that_is_away(server, database, filled):
    """A fail-over leaves the locations of a server that is away for later, and is a success."""
    before = digest(filled)
    filled.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with server.writing(database) as session, pytest.raises(Refused, match=r"read-only transaction.*nothing was"):
        carry_out(session, look(session, [MOVE]))
    assert digest(filled) == before

    filled.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    with pytest.raises(SystemUnreachable), server.writing(database) as session:  # noqa: PT012
        plan = look(session, [MOVE])
        filled.execute("SELECT pg_terminate_backend(%s)", [session.info.backend_pid])
        carry_out(session, plan)
    assert digest(filled) == before


# --- with others at work ------------------------------------------------------------------------------------


def test_a_row_that_somebody_holds_ends_it_within_its_bound(server, database, filled, monkeypatch):
    monkeypatch.setattr("drkeeper.applications._mlflow.relocation.LOCK_SECONDS", 1)
    before = digest(filled)
    with server.connect(database) as other, other.transaction():
        other.execute("UPDATE runs SET status = 'FAILED' WHERE name = 'run 1'")
        began = time.monotonic()
        with server.writing(database) as session, pytest.raises(Refused, match="held rows of MLflow"):
            carry_out(session, look(session, [MOVE]))
        assert time.monotonic() - began < 5
        raise psycopg.Rollback
    assert digest(filled) == before


def test_who_logs_and_who_adds_runs_waits_for_nobody(server, database, filled):
    """All rows are rewritten, and nothing is committed yet: rows that refer to them can be added."""
    run, experiment = filled.execute("SELECT run_uuid, experiment_id FROM runs LIMIT 1").fetchone()
    filled.execute("SET lock_timeout = '1s'")
    added = []

    def log():
        filled.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
                       " VALUES ('loss', 1, 1, %s, 1, false)", (run,))  # fmt: skip
        filled.execute("INSERT INTO runs (run_uuid, experiment_id) VALUES ('new', %s)", (experiment,))
        added.append(
            filled.execute("SELECT count(*) FROM runs WHERE starts_with(artifact_uri, %s)", (HERE,)).fetchone()
        )

    with server.writing(database) as session:
        carry_out(session, look(session, [MOVE]), check=log)
    assert added == [(3,)]


def test_readers_and_writers_go_on_meanwhile(server, database, connection):
    """Readers see all or nothing; writers that add wait for nobody, and what is left is for the next time."""
    fill(connection, HERE, runs=20_000)
    stop, seen, written = threading.Event(), set(), []
    mixed = "SELECT bool_or(starts_with(artifact_uri, %s)), bool_or(starts_with(artifact_uri, %s)) FROM runs"

    def read():
        with server.connect(database) as other:
            while not stop.is_set():
                seen.add(other.execute(mixed, (HERE, THERE)).fetchone())

    def write():
        with server.connect(database) as other:
            number = 0
            while not stop.is_set():
                number += 1
                with other.transaction():
                    query = "SELECT artifact_location FROM experiments WHERE experiment_id = 1"
                    place = other.execute(query).fetchone()[0]
                    other.execute(
                        "INSERT INTO runs (run_uuid, experiment_id, status, artifact_uri) VALUES (%s, 1, 'RUNNING', %s)",
                        (f"w{number}", f"{place}/w{number}/artifacts"),
                    )
                written.append(number)

    threads = [threading.Thread(target=each) for each in (read, write)]
    for each in threads:
        each.start()
    while len(written) < 20:
        time.sleep(0.01)
    before = len(written)
    rows = relocate(server, database, MOVE)["runs.artifact_uri"]
    during = len(written)
    stop.set()
    for each in threads:
        each.join()
    assert rows >= 20_000
    assert during > before
    # A statement that began before the commit and a row that came after it may be of either place, no old row mixed in.
    assert (True, False) in seen
    relocate(server, database, MOVE)
    assert connection.execute(mixed, (HERE, THERE)).fetchone() == (False, True)


def test_a_deadlock_is_tried_again(server, database, filled):
    """Of two that wait for one another, PostgreSQL ends one; ours begins again, and nothing is done by half."""
    filled.execute(f"ALTER DATABASE {database} SET deadlock_timeout = '200ms'")
    done = []
    with server.connect(database) as other, server.writing(database) as session:
        other.execute("SET deadlock_timeout = '30s'")
        plan = look(session, [MOVE])
        with other.transaction():
            other.execute("UPDATE trace_tags SET value = value WHERE key = 'mlflow.artifactLocation'")
            ours = threading.Thread(target=lambda: done.append(carry_out(session, plan)))
            ours.start()
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            while not filled.execute(waiting).fetchone()[0]:
                time.sleep(0.01)
            other.execute("UPDATE experiments SET name = name WHERE experiment_id = 1")  # ours has it: a circle
        ours.join(20)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    give_up_at = time.monotonic() + 5
    while not filled.execute(deadlocks).fetchone()[0] and time.monotonic() < give_up_at:
        time.sleep(0.1)
    assert filled.execute(deadlocks).fetchone()[0] >= 1
    assert done[0]["trace_tags.value"] == 6
