"""What a drill's own system does: it fetches from the replica alone, and no more than it may."""

import pytest
from tests.objects_system.restoring import STAGING, Region, Regions, capture, checks_of, restore

from drkeeper.errors import Refused


@pytest.fixture
def drilled(regions):
    """A point of a bucket that is replicated, and the system of a drill in a place that is empty."""
    for number in range(20):
        regions.here.put(f"models/{number:02}", b"x" * 1000, x_amz_meta_run=str(number))
    point = capture(regions.system())
    regions.replicate()
    return Regions(Region.new(regions.here.server, versions=False), regions.there), point


def verdicts(checks):
    return {check.subject: check for check in checks}


def test_all_of_it_is_fetched_where_it_fits(drilled):
    sandbox, point = drilled
    checks = verdicts(restore(sandbox.system(throw_away=True, drill_bytes=20_000), point))
    assert {check.verdict for check in checks.values()} == {"passed"}
    assert len(sandbox.here.keys()) == 20


def test_what_does_not_fit_is_left_out_and_what_cannot_hold_is_not_checked(drilled):
    sandbox, point = drilled
    checks = verdicts(restore(sandbox.system(throw_away=True, drill_bytes=5_500), point))
    assert len(sandbox.here.keys()) == 5
    for name in ("objects", "bytes", "digest"):
        assert checks[name].verdict == "not checked"
        assert "the drill fetched 5 objects (4.88 KiB) of 20 objects (19.5 KiB)" in checks[name].detail
    samples = {name: check.verdict for name, check in checks.items() if name.startswith("sample.")}
    fetched = {f"sample.{key}" for key in sandbox.here.keys()}  # noqa: SIM118 - no mapping
    assert samples == {name: "passed" if name in fetched else "not checked" for name in samples}
    assert {checks[name].verdict for name in ("listing", "contents", "details")} == {"passed"}


def test_each_drill_fetches_other_objects(drilled):
    sandbox, point = drilled
    seen = set()
    for _ in range(3):
        here = Regions(Region.new(sandbox.here.server, versions=False), sandbox.there)
        restore(here.system(throw_away=True, drill_bytes=5_500), point)
        seen.add(frozenset(here.here.keys()))
    assert len(seen) > 1


def test_an_object_that_the_replica_lacks_ends_the_drill(drilled):
    sandbox, point = drilled
    sandbox.there.destroy()
    with pytest.raises(Refused, match="20 objects of the point can be had from nowhere"):
        sandbox.system(throw_away=True).load(point.record, point, STAGING)


def test_without_a_replica_nothing_is_fetched_and_nothing_is_proven(drilled):
    sandbox, point = drilled
    system = sandbox.system(replica=False, throw_away=True)
    said = verdicts(system.preflight(point.record))
    assert said["replica"].verdict == "not checked"
    system.load(point.record, point, STAGING)
    system.switch(point.record, STAGING)
    checks = verdicts(checks_of(system, point))
    assert "failed" not in {check.verdict for check in checks.values()}
    assert checks["objects"].verdict == "not checked"
    assert "no other source" in checks["objects"].detail
