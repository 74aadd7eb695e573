"""Keys that no folder could hold (`a//b`, `/a`, `a/`), on a server that keeps them: SeaweedFS has folders, and cannot."""

import pytest
from tests.buckets.regions import bucket_at
from tests.replication.buckets import contents, pair_of, run

import ministack
from drkeeper.buckets.listing import list_objects

KEYS = (
    "a//b",
    "a/b",
    "//",
    "/lead",
    "tail/",
    "tail//",
    "a/../b",
    "a/./b",
    "..",
    "plus+and%2B",
    "\u00fc//\u00e9",
    "n" * 1024,
)


@pytest.fixture(scope="module")
def second_provider(tmp_path_factory):
    with ministack.running_ministack(tmp_path_factory.mktemp("second")) as server:
        yield server


def test_keys_with_slashes_anywhere_are_copied_as_they_are(provider, second_provider):
    source, replica = bucket_at(provider), bucket_at(second_provider)
    for key in KEYS:
        source.request("PUT", key, body=key.encode())
    assert {one.key for one in list_objects(source)} == set(KEYS)
    assert run(pair_of(source, replica)).new == len(KEYS)
    assert contents(replica) == contents(source)
    assert run(pair_of(source, replica)).new == 0


def test_they_are_cut_into_pieces_that_have_each_of_them_once(provider, second_provider, monkeypatch):
    monkeypatch.setattr("drkeeper.replication.shard_run.TABLE_KEYS", 2)
    monkeypatch.setattr("drkeeper.replication.run.TABLE_KEYS", 2)
    source, replica = bucket_at(provider), bucket_at(second_provider)
    for key in KEYS:
        source.request("PUT", key, body=key.encode())
    run(pair_of(source, replica))
    source.request("PUT", "a//b", body=b"changed")
    record = run(pair_of(source, replica))
    assert (record.source_objects, record.overwritten, record.new) == (len(KEYS), 1, 0)
    assert contents(replica) == contents(source)
