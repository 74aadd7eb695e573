"""Two regions, and a provider that replicates by itself."""

import pytest
from tests.buckets.conftest import far, near, replica, source

import ministack

__all__ = ["far", "near", "provider", "replica", "source"]


@pytest.fixture(scope="session")
def provider(tmp_path_factory):
    with ministack.running_ministack(tmp_path_factory.mktemp("provider")) as server:
        yield server
