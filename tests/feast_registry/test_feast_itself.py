"""What the real Feast wrote is captured, lost, restored; and the real Feast reads and serves it, wherever it is kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.feast_registry.examples import capture, refused, registry_at, restore
from tests.feast_registry.rows import InPostgres

import seaweed
from drkeeper.errors import ToolMissing
from drkeeper.facts import broken, compare
from drkeeper.feature_registry import differences, parse, registry_message
from drkeeper.sandbox import start_sandbox

EXPECTED = {
    "entities": ["customer"],
    "fields": ["orders"],
    "services": ["churn_v1"],
    "until": "2026-03-01T00:00:00+00:00",
    "served": [3],
}


class Feast:
    """The process, and one registry in each of the places."""

    def __init__(self, folder: Path, systems: dict):
        self.folder, self.systems = folder, systems
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        for system in systems.values():
            config, secrets = system.feast_config()
            assert not any(
                value.get_secret_value() in json.dumps(config)
                for name, value in secrets.items()
                if "PASS" in name or "SECRET" in name
            )
            environment |= {name: value.get_secret_value() for name, value in secrets.items()}
        self.log = (folder / "feast.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("feast_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )

    def ask(self, do: str, place: str):
        repo = self.folder / place
        repo.mkdir(exist_ok=True)
        request = {"do": do, "registry": self.systems[place].feast_config()[0], "repo": str(repo)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                return json.loads(line.removeprefix("ANSWER "))
        self.log.seek(0)
        raise AssertionError(self.log.read()[-3000:])

    def end(self):
        with self.process, self.log:
            self.process.stdin.close()
            self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def feast(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feast")
    try:
        database = start_sandbox("postgres", folder / "postgres-server")
    except ToolMissing as error:
        pytest.skip(f"no PostgreSQL for tests: {error}")
    try:
        with seaweed.running_seaweed(folder / "s3") as s3:
            keys = {"endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
            rows = InPostgres(database, "feast")
            systems = {
                "file": registry_at(folder / "registry.db"),
                "s3": registry_at(f"s3://{s3.make_bucket()}/registry.db", **keys, allow_http=True),
                "postgres": registry_at(rows.url, **rows.options),
                "sqlite": registry_at(f"sqlite:///{folder / 'sqlite.db'}"),
            }
            running = Feast(folder, systems)
            yield running
            running.end()
    finally:
        database.stop()


@pytest.mark.parametrize("place", ["file", "s3", "postgres", "sqlite"])
def test_feast_serves_again_what_was_lost(feast, place, tmp_path):
    system = feast.systems[place]
    feast.ask("apply", place)
    assert not refused(system.probe())
    point = capture(system)
    exact = point.record.facts.exact
    assert (exact["count.feature_views"], exact["count.feature_services"], exact["projects"]) == (1, 1, "churn")
    assert parse(point.contents["registry.pb"]).unknown == ()
    feast.ask("remove", place)
    assert broken(compare(point.record.facts, system.facts()))

    restore(system, point)

    assert feast.ask("read", place) == EXPECTED
    assert not broken(compare(point.record.facts, system.facts()))
    assert not broken(system.verify(point.record, point))
    # And in a drill, where each becomes a file:
    feast.systems[f"drill of {place}"] = drill = registry_at(tmp_path / "registry.db", throw_away=True)
    restore(drill, point)
    (feast.folder / f"drill of {place}").symlink_to(feast.folder / place)
    assert feast.ask("read", f"drill of {place}") == EXPECTED


@pytest.mark.parametrize("place", ["postgres", "sqlite"])
def test_rows_are_read_as_feast_itself_reads_them(feast, place):
    captured = parse(capture(feast.systems[place]).contents["registry.pb"])
    said = registry_message()
    said.ParseFromString(bytes.fromhex(feast.ask("proto", place)))
    said.registry_schema_version = "1"  # Feast says none of rows

    assert differences(parse(said.SerializeToString()), captured) == ["former version of feature view churn v0 added"]
    assert said.infra == captured.message.infra
    assert said.last_updated == captured.message.last_updated


def test_feast_needs_no_tables_made_by_itself(feast):
    """Lost with all of its tables: those that a restore makes are those that Feast would."""
    system = feast.systems["postgres"]
    point = capture(system)
    before = _definitions(system)
    with system._place._connected() as connection:
        connection.execute("DROP SCHEMA feast CASCADE; CREATE SCHEMA feast")
    assert system.is_empty()

    restore(system, point)

    assert feast.ask("read", "postgres") == EXPECTED
    assert _definitions(system) == before


def _definitions(system) -> list[tuple]:
    """Columns and indices of all tables."""
    columns = (
        "SELECT table_name, ordinal_position, column_name, data_type, character_maximum_length, is_nullable"
        " FROM information_schema.columns WHERE table_schema = 'feast' ORDER BY 1, 2"
    )
    indices = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'feast' ORDER BY 2"
    with system._place._connected() as connection:
        return [*connection.execute(columns).fetchall(), *connection.execute(indices).fetchall()]
