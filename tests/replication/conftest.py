"""Two regions, and a provider that replicates by itself."""

import pytest
from tests.buckets.conftest import far, near, replica, source
from tests.replication.buckets import secrets_of

import ministack

__all__ = ["far", "near", "provider", "replica", "source"]


@pytest.fixture(scope="session")
def provider(tmp_path_factory):
    with ministack.running_ministack(tmp_path_factory.mktemp("provider")) as server:
        yield server


@pytest.fixture
def keys_given(source, replica, monkeypatch):
    for name, value in secrets_of(source, replica).items():
        monkeypatch.setenv(name, value)
