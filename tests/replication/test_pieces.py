"""Piece by piece: nothing is overwritten before all were compared, and what comes later stays within the guard."""

import pytest

from drkeeper.errors import Refused
from drkeeper.replication.guard import Guard
from drkeeper.replication.pieces import bring_pieces
from drkeeper.replication.shard_run import Tally
from drkeeper.replication.shards import Shard

HERE, THERE = Shard("here/"), Shard("there/")


class Bucket:
    """Pieces of 100 objects of which some differ; how many do is looked up anew each time."""

    def __init__(self, **differ):
        self.differ = {Shard(f"{name}/"): list(counts) for name, counts in differ.items()}
        self.asked = []

    def bring(self, pieces, dry_run):
        for shard, may_overwrite in pieces.items():
            counts = self.differ[shard]
            changed = counts.pop(0) if len(counts) > 1 else counts[0]
            self.asked.append((shard, may_overwrite, dry_run))
            done = 0 if dry_run or changed > may_overwrite else changed
            yield shard, Tally(source_objects=100, replica_objects=100, changed=changed, overwritten=done)


def brought(bucket, share=0.2, **more):
    how = {"system": "artifacts", "dry_run": False, "check": lambda: None, **more}
    return bring_pieces((HERE, THERE), bucket.bring, Guard(share, 0), **how)


def test_a_piece_that_lacks_nothing_is_looked_at_once():
    bucket = Bucket(here=[0], there=[7])
    assert brought(bucket).overwritten == 7
    assert bucket.asked == [(HERE, 0, True), (THERE, 0, True), (THERE, 7, False)]


def test_all_pieces_together_are_too_much_where_none_is_by_itself():
    bucket = Bucket(here=[21], there=[21])
    with pytest.raises(Refused, match="42 objects of the replica would be overwritten"):
        brought(bucket)
    assert all(dry_run for _, _, dry_run in bucket.asked)


def test_a_piece_that_finds_more_by_then_is_granted_it_within_the_guard():
    bucket = Bucket(here=[5], there=[7, 30])
    total = brought(bucket)
    assert bucket.asked[-1] == (THERE, 30, False)
    assert (total.overwritten, total.source_objects, total.replica_objects) == (35, 200, 200)


def test_a_piece_that_finds_too_much_by_then_stops_the_run():
    bucket = Bucket(here=[5], there=[7, 36])
    with pytest.raises(Refused, match="more is being overwritten than was allowed"):
        brought(bucket)


def test_a_dry_run_looks_once():
    bucket = Bucket(here=[50], there=[90])
    assert brought(bucket, dry_run=True).changed == 140
    assert len(bucket.asked) == 2
