"""One PostgreSQL with MLflow's tables for all tests here; a database of its own for each test."""

import pytest
from tests.relocation.tracking import Server

from drkeeper.sandbox import start_sandbox


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    sandbox = start_sandbox("postgres", tmp_path_factory.mktemp("relocation") / "postgres")
    try:
        yield Server(sandbox)
    finally:
        sandbox.kill()


@pytest.fixture
def database(server):
    return server.make()


@pytest.fixture
def connection(server, database):
    with server.connect(database) as connection:
        yield connection
