"""Two S3 servers: the two regions."""

import pytest
from tests.buckets.regions import bucket_at

import seaweed


@pytest.fixture(scope="session")
def near(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("near")) as server:
        yield server


@pytest.fixture(scope="session")
def far(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("far")) as server:
        yield server


@pytest.fixture
def source(near):
    return bucket_at(near)


@pytest.fixture
def replica(far):
    return bucket_at(far)
