"""What is on record of a bucket and its replica, for those who show it."""

from datetime import timedelta

from drkeeper.bucket_metrics import BucketState
from drkeeper.replication.proof_records import BucketProof, Coverage, RegionProof
from drkeeper.replication.records import ReplicationRecord


def bucket_state(as_of, *, verdict="passed", covered=30, all_since=None, complete=True):
    """One run, and one verification an hour before it."""
    copied = ReplicationRecord(
        system="artifacts",
        source_url="s3://models",
        replica_url="s3://models-far",
        started_at=as_of,
        as_of=as_of,
        elapsed_seconds=1,
        complete=complete,
        source_objects=40,
        source_bytes=1,
        replica_objects=40,
        new=0,
        overwritten=0,
        copied_bytes=0,
        deleted=0,
        waiting=0,
        gone=0,
        failed=2 * (not complete),
        behind_seconds=90,
    )
    coverage = Coverage(
        since=as_of - timedelta(days=3),
        until=as_of - timedelta(days=1),
        ring=0.7,
        objects=covered,
        size_bytes=1,
        of_objects=40,
        of_bytes=1,
        all_since=all_since,
    )
    failed = 2 * (verdict == "failed")
    regions = (
        RegionProof(region="source", url="s3://models", verdict="passed", coverage=coverage),
        RegionProof(region="replica", url="s3://models-far", verdict=verdict, failed=failed, coverage=coverage),
    )
    at = as_of - timedelta(hours=1)
    proof = BucketProof(system="artifacts", level="intact", at=at, elapsed_seconds=1, regions=regions)
    return BucketState("artifacts", copied, copied if complete else None, [proof])
