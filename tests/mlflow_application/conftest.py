"""One server of each kind for these tests; each test has a database and a part of a bucket of its own."""

import secrets

import pytest
from tests.buckets.regions import bucket_at
from tests.mlflow_application import tracking as made

import seaweed
from drkeeper.errors import ToolMissing
from drkeeper.sandbox.postgres import start


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    try:
        running = start(tmp_path_factory.mktemp("mlflow-postgres"))
    except ToolMissing as error:
        pytest.skip(f"no PostgreSQL for tests: {error}")
    try:
        made.make_schema(running)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("mlflow-objects")) as running:
        yield running, running.make_bucket()


@pytest.fixture(scope="session")
def original(server, objects):
    return made.clean(server, new_part(objects))


@pytest.fixture
def platform(original):
    """Clean, with a database of its own; objects are everybody's."""
    copy = original.copy()
    yield copy
    copy.close()


@pytest.fixture
def owned(server, objects):
    """Clean, with objects of its own."""
    clean = made.clean(server, new_part(objects))
    yield clean
    clean.close()


def new_part(objects):
    running, name = objects
    return bucket_at(running, f"{name}/{secrets.token_hex(4)}", timeout_seconds=60)
