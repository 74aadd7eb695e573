"""An older server is backed up by its own client programs and restored into a newer one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drkeeper.errors import ToolMissing
from drkeeper.facts import compare, findings
from drkeeper.sandbox import postgres as sandbox
from drkeeper.sandbox.postgres import PostgresServer
from drkeeper.systems._postgres.tools import DEBIAN, find_tools, major_of

from .conftest import capture, run, system_at

OLDER = sorted(
    folder for folder in DEBIAN.glob("*/bin") if (folder / "postgres").exists() and major_of(folder.parent.name) < 18
)


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    if not OLDER:
        pytest.skip("no PostgreSQL before 18 under /usr/lib/postgresql")
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


def tools_folder(folder: Path, version: str) -> Path:
    folder.mkdir()
    for program in ("pg_dump", "pg_restore"):
        (folder / program).write_text(f'#!/bin/sh\necho "{program} (PostgreSQL) {version}"\n')
        (folder / program).chmod(0o755)
    return folder


def test_the_lowest_version_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tools_folder(tmp_path / v, v) for v in ("14.9", "99.1", "17.2", "18beta1")]
    monkeypatch.setattr("drkeeper.systems._postgres.tools._places", lambda: iter(folders))
    assert find_tools(None, minimum_major=16).version == "17.2"
    assert find_tools(None, minimum_major=18).version == "18beta1"
    with pytest.raises(ToolMissing, match=r"100 or newer are needed; found: 14\.9 in .*, 99\.1 in "):
        find_tools(None, minimum_major=100)
    with pytest.raises(ToolMissing, match="found: none"):
        find_tools(tmp_path, minimum_major=1)
