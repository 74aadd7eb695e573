"""What stops a restore of a bucket, and that no object is touched then."""

from datetime import UTC, datetime

import pytest
from tests.buckets.faulty import faulty
from tests.objects_system.restoring import STAGING, Captured, Region, Regions, capture, restore

from drkeeper.buckets.listing import list_versions
from drkeeper.errors import CaptureFailed, LoadFailed, Refused, SystemUnreachable, UsageInvalid
from drkeeper.facts import broken, findings
from drkeeper.heartbeat import Heartbeat


def by_subject(checks):
    return {check.subject: check for check in checks}


def versions_of(region):
    return sorted((one.key, one.version_id) for one in list_versions(region.bucket))


def unversioned(near, far):
    return Regions(Region.new(near, versions=False), Region.new(far, versions=False))


def test_objects_that_can_be_had_from_nowhere_are_named_and_nothing_is_changed(regions):
    for number in range(8):
        regions.here.put(f"models/{number}", b"x" * number)
    system = regions.system()
    point = capture(system)
    regions.replicate()
    for region in (regions.here, regions.there):
        for one in list(list_versions(region.bucket, "models/")):
            if one.key in {"models/3", "models/5"}:
                region.bucket.request("DELETE", one.key, query={"versionId": one.version_id})
    regions.here.put("models/1", b"changed")
    before = versions_of(regions.here)
    with pytest.raises(
        Refused, match=r"2 objects .* from nowhere: models/3, models/5; no object was touched"
    ) as refused:
        system.load(point.record, point, STAGING)
    assert refused.value.exit_code == 4
    assert "--only" in refused.value.hint
    assert versions_of(regions.here) == before
    diff = list(system.difference(point.record, point))
    assert "not to be had 2 objects" in diff[0]
    assert diff[1:] == ["+ models/3", "+ models/5", "~ models/1", "! models/3", "! models/5"]
    restore(system.narrowed(["models/1", "models/2"], ""), point)
    assert regions.here.object("models/1")[0] == b"x"


def test_an_object_that_is_not_the_one_of_the_point_is_no_source_for_it(near, far):
    regions = unversioned(near, far)
    regions.here.put("m", b"good")
    system = regions.system()
    point = capture(system)
    regions.there.put("m", b"evil")
    regions.here.delete("m")
    with pytest.raises(Refused, match="from nowhere: m"):
        system.load(point.record, point, STAGING)


def test_a_bucket_without_versions_is_captured_as_a_listing_and_says_so(near, far):
    regions = unversioned(near, far)
    regions.here.put("m", b"1", x_amz_meta_run="1")
    point = capture(regions.system())
    finding = by_subject(findings(point.record.findings))["versioning"]
    assert finding.severity == "warning"
    assert "keeps no versions" in finding.detail
    assert "drkeeper replicate setup" in finding.remedy
    assert point.record.facts.info["versioned"] is False


def test_without_versions_what_is_missing_is_added_and_nothing_is_overwritten_or_deleted(near, far):
    regions = unversioned(near, far)
    for key in ("kept", "lost", "changed"):
        regions.here.put(key, key.encode())
    system = regions.system()
    point = capture(system)
    regions.replicate()
    regions.here.delete("lost")
    regions.here.put("changed", b"otherwise")
    regions.here.put("new", b"new")
    before = regions.here.contents()
    warned = by_subject(system.preflight(point.record))["target.versions"]
    assert (warned.verdict, warned.severity) == ("failed", "warning")
    with pytest.raises(Refused, match=r"overwrite 1 object \(changed\) and delete 1 object \(new\)") as refused:
        system.load(point.record, point, STAGING)
    assert "enable versioning" in refused.value.hint
    assert "--into" in refused.value.hint
    assert regions.here.contents() == before
    regions.here.put("changed", b"changed")
    regions.here.delete("new")
    restore(system, point)
    assert regions.here.keys() == {"kept", "lost", "changed"}


def test_without_versions_what_comes_after_the_load_is_not_deleted_either(near, far):
    regions = unversioned(near, far)
    regions.here.put("m", b"1")
    system = regions.system()
    point = capture(system)
    regions.replicate()
    regions.here.delete("m")
    system.load(point.record, point, STAGING)
    regions.here.put("new", b"new")
    with pytest.raises(LoadFailed, match=r"written to since the load.*delete 1 object \(new\)"):
        system.switch(point.record, STAGING)
    assert regions.here.keys() == {"m", "new"}


def test_another_place_must_hold_nothing_of_what_is_restored(regions):
    regions.here.put("models/1", b"1")
    system = regions.system()
    point = capture(system)
    other = Region.new(regions.here.server)
    other.put("models/2", b"theirs")
    elsewhere = system.narrowed(["models/"], other.options.url)
    stops = by_subject(broken(elsewhere.preflight(point.record)))
    assert "holds objects of models/" in stops["into"].detail
    assert not broken(system.narrowed(["models/1"], other.options.url).preflight(point.record))


def test_a_part_that_the_point_does_not_hold_is_a_typing_error_and_deletes_nothing(regions):
    regions.here.put("models/1", b"1")
    system = regions.system()
    point = capture(system)
    regions.here.put("runs/1", b"1")
    with pytest.raises(Refused, match="holds nothing of runs/"):
        system.narrowed(["runs/"], "").load(point.record, point, STAGING)
    for only, into in ((["s3://bucket/key"], ""), ([""], ""), ([], "bucket"), ([], "s3://")):
        with pytest.raises(UsageInvalid):
            system.narrowed(only, into)


def test_a_record_without_an_inventory_is_refused(regions):
    system = regions.system()
    point = capture(system)
    bare = Captured(point.record.model_copy(update={"streams": ()}), {})
    assert [check.subject for check in broken(system.preflight(bare.record))] == ["inventory"]
    with pytest.raises(LoadFailed, match="holds no inventory"):
        system.load(bare.record, bare, STAGING)
    damaged = Captured(point.record, {"inventory.jsonl": b'{"key": "a"}\n'})
    with pytest.raises(LoadFailed, match="line 1 of inventory"):
        system.load(damaged.record, damaged, STAGING)


def test_wrong_keys_and_hosts_that_do_not_answer_are_told_with_a_hint_and_no_secret(regions):
    wrong = regions.system(secret_key="not-the-secret")
    said = by_subject(findings(wrong.probe()))
    assert "403" in said["reachable"].detail
    assert said["reachable"].remedy
    assert "not-the-secret" not in str(said)
    with pytest.raises(SystemUnreachable, match="403") as refused, wrong.freeze():
        pass
    assert "drkeeper check" in refused.value.hint
    silent = regions.system(endpoint="http://127.0.0.1:9", retries=1)
    assert by_subject(findings(silent.probe()))["reachable"].verdict == "failed"
    with pytest.raises(SystemUnreachable), silent.freeze():
        pass
    gone = regions.system(url="s3://no-such-bucket-anywhere")
    assert "no such bucket" in by_subject(findings(gone.probe()))["reachable"].detail


def test_keys_that_expire_while_the_inventory_is_read_fail_the_capture(regions):
    regions.here.put("m", b"1")
    with faulty(regions.here.options.endpoint) as proxy, regions.system(endpoint=proxy.endpoint).freeze() as view:
        expired = proxy.rule("HEAD", "/m", "expired", times=99)
        with pytest.raises(SystemUnreachable, match="403"):
            b"".join(next(iter(view.streams())).chunks)
        assert expired.hits


def test_keys_that_expire_during_a_restore_leave_it_to_be_gone_on_with(regions):
    for number in range(20):
        regions.here.put(f"models/{number}", b"x" * number)
    before = regions.here.contents()
    point = capture(regions.system())
    regions.replicate()
    regions.here.delete(*before)
    with faulty(regions.here.options.endpoint) as proxy:
        expired = proxy.rule("PUT", "/models/", "expired", times=99, skip=5)
        with pytest.raises(LoadFailed, match=r"objects did not come: .*ExpiredToken"):
            regions.system(endpoint=proxy.endpoint).load(point.record, point, STAGING)
        assert expired.hits
    assert 0 < len(regions.here.keys()) < 20
    restore(regions.system(), point)
    assert regions.here.contents() == before


def test_probe_tells_what_works_and_what_is_amiss_with_bucket_and_replica(regions, near):
    regions.here.put("m", b"1")
    before = versions_of(regions.here)
    said = by_subject(regions.system().probe())
    assert {subject: check.verdict for subject, check in said.items()} == dict.fromkeys(
        ("reachable", "list", "read", "write", "versions", "replica.reachable", "replica.list", "replica.versions",
         "replica.place"), "passed",
    )  # fmt: skip
    assert versions_of(regions.here) == before
    poor = Regions(Region.new(near, versions=False), Region.new(near, versions=False))
    amiss = by_subject(findings(poor.system().probe()))
    assert {subject: check.severity for subject, check in amiss.items()} == {
        "versions": "warning", "replica.versions": "warning", "replica.place": "info",
    }  # fmt: skip
    assert by_subject(findings(regions.system(replica=False).probe()))["replica"].severity == "warning"


def test_a_heartbeat_is_written_and_read_and_is_no_part_of_the_data(regions):
    system = regions.system(replica=False)
    assert system.newest_beat() is None
    beat = Heartbeat(at=datetime(2026, 1, 31, 12, tzinfo=UTC), sequence=7)
    system.beat(beat)
    assert system.is_empty()
    point = capture(system)
    assert point.bodies["inventory.jsonl"] == b""
    assert point.record.facts.exact["objects"] == 0
    system.beat(Heartbeat(at=datetime(2026, 1, 31, 13, tzinfo=UTC), sequence=8))
    restore(system, point)
    assert system.newest_beat() == beat


def test_versions_that_may_not_be_listed_leave_a_listing_and_a_finding(regions):
    regions.here.put("m", b"1")
    with faulty(regions.here.options.endpoint) as proxy:
        refused = proxy.rule("GET", "versions=", "expired", times=99)
        point = capture(regions.system(endpoint=proxy.endpoint, replica=False))
    assert refused.hits
    assert point.bodies["inventory.jsonl"].count(b"\n") == 1
    finding = by_subject(findings(point.record.findings))["versioning"]
    assert "could not be listed" in finding.detail
    assert finding.severity == "warning"


def test_a_clock_that_stands_still_ends_the_capture_with_an_error(regions, monkeypatch):
    from drkeeper.systems._objects import frozen

    monkeypatch.setattr(frozen, "LONGEST_POLLS", 2)
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    monkeypatch.setattr(frozen, "time_at", lambda _: moment)
    with regions.system().freeze() as view, pytest.raises(CaptureFailed, match="clock stands still"):
        list(next(iter(view.streams())).chunks)
