"""What is known of buckets and their replicas as Prometheus gauges. Pure: records in, samples out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drkeeper.gauges import Sample
from drkeeper.replication.proof_records import BucketProof
from drkeeper.replication.records import ReplicationRecord


@dataclass(frozen=True)
class BucketState:
    """What is on record of one bucket.

    Attributes:
        newest: The last run that copied.
        complete: The last one that copied everything.
        proofs: The newest of each level.
    """

    system: str
    newest: ReplicationRecord | None = None
    complete: ReplicationRecord | None = None
    proofs: Sequence[BucketProof] = ()


def bucket_samples(state: BucketState) -> Iterator[Sample]:
    """All samples of one bucket; what is not known has none."""
    labels = {"system": state.system}
    if state.complete is not None:
        yield Sample("bucket_replica_as_of_timestamp_seconds", state.complete.as_of.timestamp(), labels)
    if state.newest is not None:
        yield Sample("bucket_replica_behind_seconds", state.newest.behind_seconds, labels)
        yield Sample("bucket_replica_failed_objects", state.newest.failed, labels)
    for proof in state.proofs:
        yield from _of_proof(proof)


def _of_proof(proof: BucketProof) -> Iterator[Sample]:
    for region in proof.regions:
        labels = {"system": proof.system, "region": region.region}
        by_level = {**labels, "level": proof.level}
        yield Sample("bucket_proof_timestamp_seconds", proof.at.timestamp(), by_level)
        yield Sample("bucket_proof_passed", region.verdict == "passed", by_level)
        yield Sample("bucket_damaged_objects", region.failed, by_level)
        covered = region.coverage
        if covered is None:
            continue
        share = covered.objects / covered.of_objects if covered.of_objects else 1.0
        yield Sample("bucket_rehashed_ratio", min(1.0, share), labels)
        if covered.all_since is not None:
            yield Sample("bucket_rehashed_since_timestamp_seconds", covered.all_since.timestamp(), labels)
