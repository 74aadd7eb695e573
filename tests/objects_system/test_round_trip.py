"""A bucket comes back as of a point: from its own versions, from its replica, whole or in part, here or elsewhere."""

import os
import time

import pytest
from tests.buckets.test_copying import put_parts
from tests.buckets.test_listing import ODD_KEYS
from tests.objects_system.restoring import Region, capture, restore

from drkeeper.buckets.listing import list_versions

MIB = 1 << 20


def fill(region):
    region.put(
        "models/fraud.pkl", b"the good model", content_type="application/x-pickle", x_amz_meta_run="42",
        x_amz_tagging="stage=production",
    )  # fmt: skip
    region.put("models/churn.pkl", b"version one", content_type="application/x-pickle", x_amz_meta_run="7")
    region.put("models/empty")
    region.put("runs/7/metrics.json", b"{}", content_type="application/json", cache_control="no-cache")


def damage(region):
    """A model is deleted, one is overwritten, one changes its metadata only, and one comes that nobody wants."""
    region.delete("models/fraud.pkl")
    region.put("models/churn.pkl", b"poisoned", content_type="text/plain")
    region.put("runs/7/metrics.json", b"{}", content_type="text/plain")
    region.put("ransom-note.txt", b"pay")


def test_a_deleted_and_an_overwritten_model_come_back_byte_for_byte_from_older_versions(regions):
    fill(regions.here)
    before = regions.here.contents()
    system = regions.system(replica=False)
    point = capture(system)
    damage(regions.here)
    damaged = regions.here.contents()
    assert damaged != before
    checks = restore(system, point)
    assert regions.here.contents() == before
    assert {check.subject: check.verdict for check in checks} | {"listing": "passed", "details": "passed"} == {
        check.subject: "passed" for check in checks
    }
    assert regions.here.notes() == []
    # Nothing that was overwritten or deleted is lost either.
    versions = list(list_versions(regions.here.bucket))
    assert [one.size_bytes for one in versions if one.key == "ransom-note.txt" and not one.is_marker] == [3]


def test_a_bucket_that_is_gone_comes_back_from_its_replica(regions):
    fill(regions.here)
    put_parts(regions.here.server, regions.here.bucket, "models/large", [b"a" * (5 * MIB), b"b" * MIB])
    for key in ODD_KEYS:
        regions.here.put(key, key.encode())
    before = regions.here.contents()
    system = regions.system()
    point = capture(system)
    regions.replicate()
    regions.there.delete("models/fraud.pkl")  # deleted there, too: an older version is left
    regions.here.destroy()
    assert system.is_empty()
    restore(system, point)
    assert regions.here.contents() == before


def test_an_object_in_parts_comes_back_from_an_older_version(regions):
    put_parts(regions.here.server, regions.here.bucket, "large", [os.urandom(5 * MIB), b"b" * MIB])
    before = regions.here.contents()
    system = regions.system(replica=False)
    point = capture(system)
    regions.here.put("large", b"small")
    restore(system, point)
    assert regions.here.contents() == before
    changes = len(list(list_versions(regions.here.bucket, "large")))
    restore(system, point, "again")
    assert len(list(list_versions(regions.here.bucket, "large"))) == changes  # it is known for what it is


def test_a_point_is_the_moment_of_its_freeze_whatever_a_writer_does_meanwhile(regions):
    for number in range(40):
        regions.here.put(f"a/{number}", b"before")
    before = regions.here.contents()
    system = regions.system(replica=False)
    with system.freeze() as view:
        time.sleep(1.1)  # listings name whole seconds
        stream = next(iter(view.streams()))
        for number in range(0, 40, 2):
            regions.here.put(f"a/{number}", b"after, and longer")
        regions.here.delete("a/1", "a/3")
        regions.here.put("b/new", b"new")
        lines = b"".join(stream.chunks).splitlines()
        regions.here.put("b/newer", b"newer")
        facts = view.facts()
    assert len(lines) == len(before)
    assert (facts.exact["objects"], facts.exact["bytes"]) == (40, 240)
    assert view.findings == ()
    with system.freeze() as later:
        list(next(iter(later.streams())).chunks)
        assert later.facts().exact["digest"] != facts.exact["digest"]


def test_what_is_restored_may_be_a_prefix_or_one_object(regions):
    fill(regions.here)
    before = regions.here.contents()
    system = regions.system(replica=False)
    point = capture(system)
    damage(regions.here)
    damaged = regions.here.contents()
    part = system.narrowed(["models/churn.pkl"], "")
    checks = restore(part, point)
    assert regions.here.contents() == {**damaged, "models/churn.pkl": before["models/churn.pkl"]}
    said = {check.subject: check for check in checks}
    assert said["objects"].verdict == "not checked"
    assert "only models/churn.pkl was restored" in said["objects"].detail
    assert said["listing"].verdict == "passed"
    restore(system.narrowed(["models/"], ""), point, "another")
    assert regions.here.contents() == {
        **damaged, **{key: what for key, what in before.items() if key.startswith("models/")},
    }  # fmt: skip


@pytest.mark.parametrize("where", ["the same endpoint", "another endpoint"])
def test_it_may_go_into_another_bucket_and_the_first_one_is_not_touched(regions, where):
    fill(regions.here)
    before = regions.here.contents()
    system = regions.system()
    point = capture(system)
    damage(regions.here)
    damaged = regions.here.contents()
    other = Region.new(regions.here.server if where == "the same endpoint" else regions.there.server, versions=False)
    known = regions.system().narrowed([], "")._options.model_copy(update={"url": other.options.url, **{
        name: getattr(other.options, name) for name in ("endpoint", "access_key", "secret_key")
    }})  # fmt: skip
    elsewhere = system.narrowed(["models/"], f"s3://{other.bucket.name}", [known])
    assert elsewhere.place == f"s3://{other.bucket.name} (only models/)"
    restore(elsewhere, point)
    assert other.contents() == {key: what for key, what in before.items() if key.startswith("models/")}
    assert regions.here.contents() == damaged


def test_where_the_bucket_with_its_whole_region_is_away_another_one_is_filled_from_the_replica(regions):
    fill(regions.here)
    before = regions.here.contents()
    point = capture(regions.system())
    regions.replicate()
    other = Region.new(regions.there.server, versions=False)
    away = regions.system(endpoint="http://127.0.0.1:9", retries=0)
    place = regions.system().narrowed([], "")._options.model_copy(update={"replica": other.options})
    restore(away.narrowed([], other.options.url, [place]), point)
    assert other.contents() == before


def test_a_prefix_of_a_bucket_is_a_bucket_of_its_own(regions):
    regions.here.put("other/keep", b"not ours")
    prefixed = Region(regions.here.server, regions.here.bucket.__class__(
        regions.here.options.model_copy(update={"url": f"{regions.here.options.url}/team/a"})
    ))  # fmt: skip
    fill(prefixed)
    before = prefixed.contents()
    system = type(regions)(prefixed, regions.there).system(replica=False)
    point = capture(system)
    damage(prefixed)
    restore(system, point)
    assert prefixed.contents() == before
    assert regions.here.object("other/keep")[0] == b"not ours"


def test_excluded_keys_are_neither_in_the_point_nor_touched(regions):
    fill(regions.here)
    regions.here.put("scratch/one", b"1")
    system = regions.system(replica=False, exclude=("scratch/*",))
    point = capture(system)
    regions.here.put("scratch/one", b"2")
    regions.here.put("scratch/two", b"2")
    regions.here.delete("models/empty")
    restore(system, point)
    assert b"scratch" not in point.bodies["inventory.jsonl"]
    assert regions.here.object("scratch/one")[0] == b"2"
    assert {"models/empty", "scratch/two"} <= regions.here.keys()
