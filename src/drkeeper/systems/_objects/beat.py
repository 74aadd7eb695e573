"""The heartbeat, an object of its own: what is restored carries the one that the point's record names."""

from pydantic import ValidationError

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.reserved import HEARTBEAT
from drkeeper.facts import Facts
from drkeeper.heartbeat import Heartbeat


def write_beat(bucket: Bucket, mark: Heartbeat) -> None:
    """Write it over the one before."""
    body = mark.model_dump_json().encode()
    bucket.request("PUT", HEARTBEAT, headers={"content-type": "application/json"}, body=body)


def read_beat(bucket: Bucket) -> Heartbeat | None:
    """None where there is none that can be read."""
    try:
        return Heartbeat.model_validate_json(bucket.request("GET", HEARTBEAT).body)
    except (ObjectGone, ValidationError):
        return None


def beat_of(facts: Facts) -> Heartbeat | None:
    """The heartbeat that the bucket held when it was frozen.

    The object itself is no help: it changes every minute, and a replica need not have each of its versions.
    """
    at, sequence = facts.info.get("heartbeat_at"), facts.info.get("heartbeat_sequence")
    return Heartbeat.model_validate({"at": at, "sequence": sequence}) if at and sequence is not None else None
