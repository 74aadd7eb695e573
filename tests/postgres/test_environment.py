"""Whatever libpq's variables say, we talk to the server that the options name: a drill to its sandbox and no other."""

import pytest

from drkeeper.sandbox.postgres import PostgresServer

from .conftest import capture, drop_all, row, run, session, system_at

# 127.0.0.2 is this machine too, and nobody listens there.
STRAY = {"PGHOSTADDR": "127.0.0.2", "PGHOST": "127.0.0.2", "PGPORT": "1", "PGUSER": "stray", "PGDATABASE": "stray"}


def test_variables_lead_neither_us_nor_the_client_programs_elsewhere(
    source: PostgresServer, target: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, "CREATE DATABASE things")
    run(source, "CREATE TABLE said AS SELECT 'here' AS word", "things")
    for name, value in STRAY.items():
        monkeypatch.setenv(name, value)
    captured = capture(system_at(source))
    system = system_at(target)
    system.load(captured.record, captured, "j1")
    system.switch(captured.record, "j1")
    for name in STRAY:
        monkeypatch.delenv(name)
    with session(target, "things") as connection:
        assert row(connection, "SELECT word FROM said") == ("here",)
    drop_all(source)
    drop_all(target)
