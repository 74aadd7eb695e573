"""The part of a bucket that is ours: marks by which losses are measured, and notes of what is under way."""

OURS = ".drkeeper/"
HEARTBEAT = OURS + "heartbeat.json"
UPLOADS = OURS + "uploads/"
RESTORES = OURS + "restores/"
MISSING = OURS + "missing.jsonl"


def is_reserved(key: str) -> bool:
    """Whether the key, less the bucket's prefix, is ours and no part of what is protected; the heartbeat is one."""
    return key.startswith(OURS) and key != HEARTBEAT
