"""The inventory as a file that other tools read, and what is decided by it alone."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.objects_system.restoring import Region, capture, frozen_stream

from drkeeper.buckets.listed import Listed, Version
from drkeeper.systems._objects.inventory import Details, Item, blocks_of, items_in
from drkeeper.systems._objects.moments import as_of
from drkeeper.systems._objects.scope import Scope
from drkeeper.systems._objects.table import Source, open_table
from drkeeper.systems._objects.tally import Tally

GOLDEN = Path(__file__).with_name("golden") / "inventory-v1.jsonl"
ETAG = "098f6bcd4621d373cade4e832627b4f6"
ITEMS = (
    Item(
        "models/42/model.pkl", 14, ETAG, "2026-01-31T12:00:00Z", "3HL4kqtJ", "STANDARD",
        Details("application/x-pickle", {"cache-control": "no-cache"}, {"run": "42"}, {"stage": "prod"}, {"sha256": "qlY="}),
    ),
    Item('a+b c/ü\n\u2028"<&>', 0, "d41d8cd98f00b204e9800998ecf8427e", "2026-01-31T12:00:01.500Z", "null"),
    Item("large", 6 << 30, "9834e554125a5cd2a07016f30e017956-96", "2026-01-31T12:00:02Z", "", "STANDARD_IA"),
)  # fmt: skip


def at(second):
    return datetime(2026, 1, 31, 12, 0, second, tzinfo=UTC)


def version(key, second, *, latest=False, marker=False, size=1):
    return Version(
        key,
        f"{key}-{second}-{size}",
        at(second).isoformat(),
        latest,
        marker,
        0 if marker else size,
        "" if marker else ETAG,
    )


def test_an_inventory_of_the_first_version_is_read_for_ever():
    assert tuple(items_in([GOLDEN.read_bytes()])) == ITEMS


def test_an_inventory_is_written_as_the_golden_one():
    assert b"".join(blocks_of(ITEMS)) == GOLDEN.read_bytes()


def test_it_is_read_in_blocks_of_any_size():
    body = GOLDEN.read_bytes()
    for size in (1, 7, 100, 10_000):
        assert tuple(items_in(body[start : start + size] for start in range(0, len(body), size))) == ITEMS


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")
def test_other_tools_read_it():
    program = '[.[] | select(.size > 0) | .key, (.metadata.run // "-")]'
    said = subprocess.run(["jq", "-sc", program, str(GOLDEN)], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == ["models/42/model.pkl", "42", "large", "-"]


def test_all_lines_have_the_same_keys_in_the_same_order():
    assert len({tuple(json.loads(line)) for line in GOLDEN.read_text().split("\n") if line}) == 1


# --- the moment ---


def test_the_newest_version_that_is_no_younger_counts_and_a_delete_marker_counts_as_nothing():
    versions = [
        version("b", 9, latest=True), version("b", 5), version("b", 3),
        version("a", 7, latest=True, marker=True), version("a", 4),
        version("c", 4, latest=True, marker=True), version("c", 3),
        version("d", 8, latest=True),
        version("e", 1, latest=True),
    ]  # fmt: skip
    assert [(one.key, one.version_id) for one in as_of(versions, at(5))] == [
        ("b", "b-5-1"),
        ("a", "a-4-1"),
        ("e", "e-1-1"),
    ]


def test_versions_may_come_in_any_order_of_time_and_of_one_second_the_first_is_the_newest():
    versions = [version("a", 3), version("a", 5, size=2), version("a", 5, size=3), version("a", 9, latest=True)]
    assert [one.size_bytes for one in as_of(versions, at(5))] == [2]


def test_versions_of_a_key_that_do_not_stand_together_are_noticed():
    scattered = []
    list(as_of([version("a", 5, latest=True), version("b", 5, latest=True), version("a", 4)], at(5), scattered.append))
    assert scattered == ["a"]


# --- facts, scope, table ---


def test_the_digest_does_not_depend_on_order_and_changes_with_everything_that_counts():
    def digest(items):
        tally = Tally()
        for item in items:
            tally.add(item)
        return tally.exact["digest"]

    whole = digest(ITEMS)
    assert digest(reversed(ITEMS)) == whole
    for change in ({"key": "other"}, {"size_bytes": 15}, {"etag": "0" * 32}):
        assert digest((replace(ITEMS[0], **change), *ITEMS[1:])) != whole
    assert digest((*ITEMS[:2], replace(ITEMS[2], etag=f"{ETAG}-7"))) == whole  # the same bytes in other parts
    assert digest(ITEMS[1:]) != whole


def test_the_sample_is_chosen_by_chance_and_leaves_out_what_is_large_or_archived():
    tally = Tally(b"seed", 5)
    other = Tally(b"other", 5)
    for number in range(200):
        for each in (tally, other):
            each.add(Item(f"{number}", 1, ETAG, "2026-01-31T12:00:00Z"))
    tally.add(Item("large", 1 << 30, ETAG, "2026-01-31T12:00:00Z"))
    assert len(tally.sample) == 5
    assert tally.sample != other.sample
    only = Tally(b"seed", 5)
    only.add(Item("cold", 1, ETAG, "2026-01-31T12:00:00Z", storage_class="DEEP_ARCHIVE"))
    assert only.sample == []


def test_what_is_ours_is_never_in_scope_and_prefixes_end_in_a_slash():
    scope = Scope(("scratch/*",), ("models/4/", "runs/7", "models/4/deep/"))
    meant = ("models/4/x", "runs/7", "models/4/deep/y")
    assert all(scope.covers(key) for key in meant)
    assert not any(scope.covers(key) for key in ("models/42/x", "runs/7/x", "runs/70", "scratch/1", ".drkeeper/x"))
    assert scope._prefixes == ("models/4/", "runs/7")
    assert not Scope().covers(".drkeeper/heartbeat.json")
    assert not Scope((), (".drkeeper/",)).covers(".drkeeper/heartbeat.json")


def test_the_very_version_is_the_best_source_then_the_bucket_itself_then_the_replica():
    item = Item("m", 4, ETAG, "2026-01-31T12:00:00Z", "very")
    with open_table() as table:
        table.want([item])
        for place, versions in {
            "replica": (("there-new", True), ("there-old", False)), "own": (("here-other", False), ("very", False)),
        }.items():  # fmt: skip
            for name, latest in versions:
                table.offer(
                    Version("m", name, "2026-01-31T12:00:00Z", latest, is_marker=False, size_bytes=4, etag=ETAG), place
                )
        table.offer(Listed("m", 5, ETAG, "2026-01-31T12:00:00Z"), "own")  # another size
        table.offer(Listed("m", 4, "0" * 32, "2026-01-31T12:00:00Z"), "own")  # other bytes
        table.offer(Listed("m", 4, ETAG, "2026-01-31T12:00:00Z", "GLACIER"), "own")  # takes hours
        ((found, offered),) = table.candidates()
        assert found == item
        assert [source for _, source in offered] == [
            Source("own", "very", ETAG), Source("own", "here-other", ETAG), Source("replica", "there-new", ETAG),
            Source("replica", "there-old", ETAG),
        ]  # fmt: skip


def test_a_sample_for_a_drill_keeps_to_its_bytes_and_differs_with_its_seed():
    items = [Item(f"k{number}", 10, ETAG, "2026-01-31T12:00:00Z") for number in range(100)]
    kept = []
    for seed in (b"one", b"one", b"two"):
        with open_table() as table:
            table.want(items)
            some, whole = table.keep_some(255, seed)
            assert (some.objects, some.size_bytes, whole.objects) == (25, 250, 100)
            kept.append({item.key for item in table.items("absent")})
    assert kept[0] == kept[1] != kept[2]


# --- a real bucket ---


def test_the_stream_holds_what_each_object_carries(regions):
    regions.here.put(
        "m", b"test", content_type="a/b", cache_control="no-cache", x_amz_meta_run="42", x_amz_tagging="stage=prod"
    )
    (line,) = capture(regions.system()).bodies["inventory.jsonl"].splitlines()
    fields = json.loads(line)
    assert fields["version_id"]
    assert {name: fields[name] for name in ("key", "size", "etag", "content_type", "headers", "metadata", "tags")} == {
        "key": "m", "size": 4, "etag": ETAG, "content_type": "a/b", "headers": {"cache-control": "no-cache"},
        "metadata": {"run": "42"}, "tags": {"stage": "prod"},
    }  # fmt: skip


def test_a_bucket_that_did_not_change_gives_the_very_same_bytes(regions):
    for number in range(300):
        regions.here.put(f"a/{number % 7}/{number}", b"x" * (number % 50) * 1000, x_amz_meta_b="1", x_amz_meta_a="2")
    system = regions.system(sample_keys=0)
    first, second = capture(system), capture(system)
    assert first.bodies == second.bodies
    assert len(set(first.bodies["inventory.jsonl"].splitlines())) == 300


def test_without_details_no_object_is_asked_for(regions):
    from tests.buckets.faulty import faulty

    regions.here.put("m", b"test")
    with faulty(regions.here.options.endpoint) as proxy:
        point = capture(regions.system(endpoint=proxy.endpoint, details=False, sample_keys=0))
        assert proxy.count("HEAD", "/m") == 0
    (fields,) = map(json.loads, point.bodies["inventory.jsonl"].splitlines())
    assert (fields["key"], fields["content_type"], fields["tags"]) == ("m", None, None)


def test_an_object_that_is_deleted_between_listing_and_look_keeps_its_line(near):
    region = Region.new(near, versions=False)
    for key in ("stays", "goes", "changes"):
        region.put(key, b"test")
    from tests.objects_system.restoring import Regions

    system = Regions(region, region).system(replica=False)
    with frozen_stream(system) as (view, stream):
        listed = view._items

        def meanwhile():
            items = list(listed())
            region.delete("goes")
            region.put("changes", b"otherwise")
            return iter(items)

        view._items = meanwhile
        fields = {one["key"]: one for one in map(json.loads, b"".join(stream.chunks).splitlines())}
        facts = view.facts()
    assert {key: one["content_type"] is not None for key, one in fields.items()} == {
        "stays": True, "goes": False, "changes": False,
    }  # fmt: skip
    assert facts.exact["objects"] == 3
    assert [name for name in facts.exact if name.startswith("sample.")] == ["sample.stays"]
    assert facts.unread == {}
