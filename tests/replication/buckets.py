"""Pairs of the tests' buckets, policies for them, and what is in them."""

import hashlib

import yaml

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


def write_policy(folder, source, replica, *, more=None, replica_more=None, **sections):
    """A policy of one bucket, with a vault in that folder; keys come from SOURCE_KEY and REPLICA_KEY."""

    def place(bucket, key, further):
        named = {"url": bucket.url, "endpoint": bucket.endpoint, "allow_http": True}
        keys = {"access_key": bucket.options.access_key, "secret_key": f"${{env:{key}}}"}
        return {**named, **keys, **(further or {})}

    there = place(replica, "REPLICA_KEY", replica_more)
    artifacts = {"kind": "objects", **place(source, "SOURCE_KEY", more), "replica": there}
    vault = {"regions": {"here": {"url": f"{folder}/vault"}}, **sections.pop("vault", {})}
    policy = {"version": 1, "name": "artifacts-only", "systems": {"artifacts": artifacts}, "vault": vault, **sections}
    file = folder / "drkeeper.yaml"
    file.write_text(yaml.safe_dump(policy, sort_keys=False))
    return file


def secrets_of(source, replica):
    """The environment of such a policy."""
    buckets = {"SOURCE_KEY": source, "REPLICA_KEY": replica}
    return {name: bucket.options.secret_key.get_secret_value() for name, bucket in buckets.items()}


def add_region(policy_file, folder):
    """Give the vault of such a policy a second region."""
    policy = yaml.safe_load(policy_file.read_text())
    policy["vault"]["regions"]["there"] = {"url": str(folder)}
    policy_file.write_text(yaml.safe_dump(policy, sort_keys=False))
