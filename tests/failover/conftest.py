"""Two regions, and platforms that are spread over them."""

import pytest
from tests.buckets.conftest import far, near, replica, source
from tests.failover.killer import Killer
from tests.failover.platform import Platform, put

__all__ = ["far", "near", "replica", "source"]


@pytest.fixture
def platform(tmp_path, near, far, capfd, monkeypatch):
    made = Platform(tmp_path, near, far, capfd)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    put(made.source, models__a="a1", models__b="b1", models__c="c1")
    made.replicate()
    return made


@pytest.fixture
def killer(platform):
    made = Killer(platform)
    yield made
    made.end()
