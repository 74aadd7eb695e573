"""A cut of a bucket: every key in exactly one piece, no piece much too large, in bounded memory."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from drkeeper.replication.shards import Folders, bundles, count_folders, cut

PART = st.text("ab/", max_size=3)
KEYS = st.lists(st.builds("/".join, st.lists(PART, min_size=1, max_size=5)).filter(bool), unique=True, max_size=60)


@settings(max_examples=200, deadline=None)
@given(keys=KEYS, most_keys=st.integers(1, 12), most_folders=st.integers(2, 12))
def test_every_key_is_in_exactly_one_piece(keys, most_keys, most_folders):
    shards = cut(count_folders(keys, most_folders), most_keys)
    holders = {key: [shard for shard in shards if shard.has(key)] for key in keys}
    assert all(len(found) == 1 for found in holders.values())
    assert sum(shard.keys for shard in shards) >= 0


def test_pieces_are_of_about_the_same_size_whatever_the_folders():
    keys = [f"flat/{number}" for number in range(5000)]
    keys += [f"deep/{number % 100}/{number}/model.pkl" for number in range(5000)]
    keys += ["top"]
    shards = cut(count_folders(keys), 1000)
    sizes = Counter(shard for key in keys for shard in shards if shard.has(key))
    assert sum(sizes.values()) == len(keys)
    assert max(sizes.values()) <= 1200
    assert len(bundles(shards, 1000)) <= 2 * len(keys) / 1000
    assert [shard for bundle in bundles(shards, 1000) for shard in bundle] == list(shards)


def test_more_folders_than_memory_has_room_for_are_counted_by_their_parents():
    folders = count_folders((f"a/{number}/x/{number}" for number in range(10_000)), most=500)
    assert len(folders.counts()) <= 500
    assert sum(folders.counts().values()) == 10_000
    shards = cut(folders, 1000)
    assert all(sum(shard.has(f"a/{number}/x/{number}") for shard in shards) == 1 for number in range(0, 10_000, 97))


@settings(max_examples=100, deadline=None)
@given(keys=KEYS, most_keys=st.integers(1, 12), most_folders=st.integers(2, 12), apart=st.integers(1, 3))
def test_what_several_counted_cuts_as_well(keys, most_keys, most_folders, apart):
    folders = Folders(most_folders)
    for number in range(apart):
        folders.take_in(count_folders(keys[number::apart], most_folders))
    assert folders.total() == len(keys)
    shards = cut(folders, most_keys)
    assert all(sum(shard.has(key) for shard in shards) == 1 for key in keys)
