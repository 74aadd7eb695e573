"""An older server is backed up by its own client programs and restored into a newer one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drkeeper.facts import compare, findings
from drkeeper.sandbox import postgres as sandbox
from drkeeper.sandbox.postgres import PostgresServer
from drkeeper.systems._postgres.tools import major_of

from .conftest import OLDER, capture, run, system_at


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    # Before 16 PostgreSQL walks to its current folder by name, so the folders above must be open to its user.
    with tempfile.TemporaryDirectory(prefix="drkeeper-test-") as folder, monkeypatch.context() as patched:
        Path(folder).chmod(0o755)
        patched.setattr(sandbox, "_wheel_folder", lambda: OLDER[0].parent)
        server = sandbox.start(Path(folder) / "older")
        try:
            yield server
        finally:
            server.stop()


def test_an_older_server_is_dumped_by_its_own_version_and_restored_into_a_newer(
    older: PostgresServer, target: PostgresServer
) -> None:
    run(older, "CREATE ROLE app LOGIN PASSWORD 'p'")
    run(older, "CREATE DATABASE shop OWNER app TEMPLATE template0 LOCALE 'C'")
    run(
        older,
        "CREATE TABLE t (id serial PRIMARY KEY, name text NOT NULL UNIQUE); INSERT INTO t (name) VALUES ('a')",
        "shop",
    )
    captured = capture(system_at(older, role_passwords=True))
    system = system_at(target)
    assert major_of(captured.record.tools["pg_dump"]) == major_of(OLDER[0].parent.name)
    assert [check for check in system.preflight(captured.record) if check.verdict == "failed"] == []
    system.load(captured.record, captured, "j1")
    system.switch(captured.record, "j1")
    assert findings(compare(captured.record.facts, system.facts())) == []


def test_a_newer_dump_is_not_restored_into_an_older_server(older: PostgresServer, target: PostgresServer) -> None:
    run(target, "CREATE DATABASE shop2")
    captured = capture(system_at(target, databases=["shop2"]))
    found = {check.subject: check for check in system_at(older).preflight(captured.record) if check.verdict == "failed"}
    assert found["version"].severity == "error"
    assert "18 or newer" in found["version"].remedy
