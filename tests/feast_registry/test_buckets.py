"""A registry in an object of a real S3 server (SeaweedFS)."""

from datetime import UTC, datetime

import pytest
from tests.feast_registry.examples import a_newer_registry, a_registry, capture, refused, registry_at, restore

import seaweed
from drkeeper.errors import CaptureFailed, Refused
from drkeeper.facts import broken, compare
from drkeeper.heartbeat import Heartbeat

MARK = Heartbeat(at=datetime(2026, 3, 1, 1, tzinfo=UTC), sequence=7)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("s3")) as running:
        yield running


class Kept:
    """A registry in a new bucket."""

    def __init__(self, server, *, versioned: bool = True):
        self.client, self.bucket, self.key = server.client(), server.make_bucket(), "team/registry.db"
        if versioned:
            self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.options = {
            "endpoint": server.endpoint,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "allow_http": True,
        }
        self.system = registry_at(f"s3://{self.bucket}/{self.key}", **self.options)

    def put(self, data: bytes) -> str:
        return self.client.put_object(Bucket=self.bucket, Key=self.key, Body=data).get("VersionId", "")

    def get(self) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self.key)["Body"].read()

    def listed(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [one["Key"] for one in found]


@pytest.fixture(params=[True, False], ids=["versioned", "unversioned"])
def kept(server, request):
    return Kept(server, versioned=request.param)


def test_a_lost_registry_comes_back_to_the_byte(kept):
    data = a_registry()
    version = kept.put(data)
    kept.system.beat(MARK)
    point = capture(kept.system)
    assert point.record.facts.info["object_version"] == (version or None)
    kept.client.delete_object(Bucket=kept.bucket, Key=kept.key)
    assert kept.system.is_empty()
    assert not refused(kept.system.preflight(point.record))

    restore(kept.system, point)

    assert kept.get() == data
    assert not broken(compare(point.record.facts, kept.system.facts()))
    assert kept.system.newest_beat() == MARK
    assert not [key for key in kept.listed() if "drtest" in key]


def test_probe_warns_of_a_bucket_without_versions(server):
    for versioned in (True, False):
        kept = Kept(server, versioned=versioned)
        kept.put(a_registry())
        checks = {check.subject: check for check in kept.system.probe()}

        assert not refused(checks.values())
        assert checks["versions"].verdict == ("passed" if versioned else "failed")
        assert checks["versions"].severity == ("error" if versioned else "warning")
        assert "drkeeper lock features" in checks["lock"].detail


def test_what_is_no_registry_is_not_captured(kept):
    with pytest.raises(CaptureFailed, match="there is no"), kept.system.freeze():
        pass
    for data, says in ((b"", "0 bytes"), (b"garbage", "decoded"), (a_newer_registry(), "version 2")):
        kept.put(data)
        with pytest.raises(CaptureFailed, match=says), kept.system.freeze():
            pass


def test_a_write_since_the_load_is_not_overwritten(kept):
    kept.put(a_registry())
    point = capture(kept.system)
    kept.put(a_registry("other"))
    kept.system.load(point.record, point, "drtest")
    came_between = a_registry("came", "in", "between")
    kept.put(came_between)

    with pytest.raises(Refused, match="was written since"):
        kept.system.switch(point.record, "drtest")
    assert kept.get() == came_between

    kept.system.switch(point.record, "drtest")

    assert kept.get() == point.contents["registry.pb"]


def test_a_write_at_the_very_moment_of_the_switch_wins(kept, monkeypatch):
    """Between the look and the write: the write carries the condition, so that the server refuses it."""
    kept.put(a_registry())
    point = capture(kept.system)
    kept.put(a_registry("other"))
    kept.system.load(point.record, point, "drtest")
    place, came_between = kept.system._place, a_registry("came", "in", "between")
    seen = place.stamp()
    kept.put(came_between)
    monkeypatch.setattr(place, "stamp", lambda: seen)

    with pytest.raises(Refused, match="very moment"):
        kept.system.switch(point.record, "drtest")

    assert kept.get() == came_between


def test_a_first_write_in_between_is_not_overwritten_either(kept):
    kept.put(a_registry())
    point = capture(kept.system)
    kept.client.delete_object(Bucket=kept.bucket, Key=kept.key)
    kept.system.load(point.record, point, "drtest")
    kept.put(a_registry("first"))

    with pytest.raises(Refused, match="was written since"):
        kept.system.switch(point.record, "drtest")


def test_what_is_no_registry_is_kept_aside(kept):
    kept.put(a_registry())
    point = capture(kept.system)
    kept.put(b"half a regis")
    assert kept.system.is_empty()

    restore(kept.system, point)

    (aside,) = [key for key in kept.listed() if "unreadable" in key]
    assert kept.client.get_object(Bucket=kept.bucket, Key=aside)["Body"].read() == b"half a regis"


def test_a_crash_in_the_switch_ends_well(kept):
    kept.put(a_registry())
    point = capture(kept.system)
    kept.put(a_registry("other"))
    kept.system.load(point.record, point, "drtest")
    kept.put(point.contents["registry.pb"])  # written, and killed before the notes were cleared

    kept.system.switch(point.record, "drtest")
    kept.system.switch(point.record, "drtest")

    assert kept.get() == point.contents["registry.pb"]
    assert not [key for key in kept.listed() if "drtest" in key]


def test_a_load_is_discarded_without_a_trace(kept):
    kept.put(a_registry())
    point = capture(kept.system)
    kept.system.load(point.record, point, "drtest")
    kept.system.discard("drtest")
    kept.system.discard("drtest")

    assert kept.listed() == [kept.key]
