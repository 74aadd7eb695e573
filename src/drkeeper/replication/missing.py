"""What the source has lost: noted when it is first seen to be missing, followed by a delete marker after a delay.

The notes lie in the replica itself, one JSON object a line, so that whoever runs next goes on from them.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.reserved import MISSING

MOST = 200_000
"""So many are noted; the others when there is room: a deletion that comes later harms nobody."""


def read_missing(replica: Bucket) -> dict[str, datetime]:
    """When each key was first seen to be missing; where a line cannot be read, its delay begins anew."""
    try:
        body = replica.request("GET", MISSING).body
    except ObjectGone:
        return {}
    missing = {}
    for line in body.splitlines():
        try:
            each = json.loads(line)
            missing[str(each["key"])] = datetime.fromisoformat(each["since"])
        except (ValueError, KeyError, TypeError):
            continue
    return missing


def write_missing(replica: Bucket, missing: Mapping[str, datetime]) -> None:
    """Replace the notes."""
    lines = (json.dumps({"key": key, "since": since.isoformat()}) for key, since in sorted(missing.items()))
    replica.request("PUT", MISSING, body="".join(f"{line}\n" for line in lines).encode())


def carried_on(missing: Mapping[str, datetime], extra: Iterable[str], now: datetime) -> dict[str, datetime]:
    """The notes after another look: what is there again is dropped, what is missing for the first time is added."""
    noted: dict[str, datetime] = {}
    for key in extra:
        if key in missing or len(noted) < MOST:
            noted[key] = missing.get(key, now)
    return noted


def due(missing: Mapping[str, datetime], now: datetime, after: timedelta) -> list[str]:
    """Keys whose delay is over."""
    return [key for key, since in missing.items() if now - since >= after]
