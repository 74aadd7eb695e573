"""Two regions, and a bucket with its replica in them."""

import pytest
from tests.buckets.conftest import far, near
from tests.objects_system.restoring import Region, Regions

__all__ = ["far", "near", "regions"]


@pytest.fixture
def regions(near, far):
    """A bucket with versions in one region, and its replica with versions in the other."""
    return Regions(Region.new(near), Region.new(far))
