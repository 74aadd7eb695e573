"""Pairs of the tests' buckets, and what is in them."""

import hashlib

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import describe, read_tags
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.reserved import is_reserved
from drkeeper.replication.run import Pair, Run
from drkeeper.systems._objects.options import Options


def pair_of(source, replica, *, endpoint=None, replica_endpoint=None, system="artifacts", **more):
    """A pair as a policy would have it; the endpoints may be those of proxies."""
    copying = {"guard_objects": 0, "guard_share": 1.0, **more.pop("copying", {})}
    fields = source.options.model_dump() | {"endpoint": endpoint or source.endpoint} | more
    there = replica.options.model_dump() | {"endpoint": replica_endpoint or replica.endpoint}
    there |= {"retries": more.get("retries", there["retries"])}
    return Pair(system, Options(**fields, replica=there, copying=copying))


def run(pair, **more):
    return Run(pair, **more).carry_out()


def contents(bucket: Bucket):
    """Everything that a bucket holds of what is protected: bytes, headers, metadata, tags."""
    found = {}
    for one in list_objects(bucket):
        if is_reserved(one.key):
            continue
        told = describe(bucket, one.key)
        body = b"".join(bucket.read(one.key, told.size_bytes))
        tags = read_tags(bucket, one.key) if told.tag_count else {}
        digest = hashlib.sha256(body).hexdigest()
        found[one.key] = (one.etag, told.size_bytes, digest, told.headers, told.metadata, tags)
    return found


def versioned(server, bucket):
    server.client().put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    return bucket
