"""The part of a bucket that is ours: marks by which losses are measured, and notes of what is under way."""

import fnmatch
import re
from collections.abc import Callable, Iterable

OURS = ".drkeeper/"
HEARTBEAT = OURS + "heartbeat.json"
UPLOADS = OURS + "uploads/"
RESTORES = OURS + "restores/"
MISSING = OURS + "missing.jsonl"
ROLE = OURS + "role.json"
PROBE = OURS + "probe.json"


def is_reserved(key: str) -> bool:
    """Whether the key, less the bucket's prefix, is ours and no part of what is protected; the heartbeat is one."""
    return key.startswith(OURS) and key != HEARTBEAT


def protects(exclude: Iterable[str] = ()) -> Callable[[str], bool]:
    """Whether a key is part of what is protected: not ours, and matched by none of the patterns (`*` spans `/`)."""
    patterns = [fnmatch.translate(pattern) for pattern in exclude]
    excluded = re.compile("|".join(patterns)).match if patterns else None

    def protected(key: str) -> bool:
        return not is_reserved(key) and (excluded is None or not excluded(key))

    return protected
