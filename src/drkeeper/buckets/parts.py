"""The parts in which an object came: an ETag of several parts comes out the same only where the parts do."""

import hashlib
from collections.abc import Iterable, Sequence

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import Described

LARGEST_SINGLE_BYTES = 5 << 30  # of one PUT, by S3's own bound
MOST_PARTS = 10_000
PART_BYTES = 64 << 20


def part_sizes(bucket: Bucket, one: Described) -> tuple[int, ...]:
    """The sizes of the parts in which the object came, where the endpoint tells; else parts of our own choice."""
    return told_sizes(bucket, one) or own_sizes(one.size_bytes)


def told_sizes(bucket: Bucket, one: Described) -> tuple[int, ...] | None:
    """The sizes of the parts in which the object came; None where it came in none, or the endpoint does not tell.

    Asks for the first part, and then for two more (nearly all objects have parts of one size, but for the last);
    for each, where those differ.
    """
    if one.part_count <= 1:
        return (one.size_bytes,) if one.part_count == 1 else None
    first = _size_of(bucket, one, 1)
    if first is None:
        return None
    uniform = uniform_sizes(one.size_bytes, first, one.part_count)
    probes = {2, one.part_count}
    if uniform and all(_size_of(bucket, one, number) == uniform[number - 1] for number in sorted(probes)):
        return uniform
    sizes = [_size_of(bucket, one, number) for number in range(1, one.part_count + 1)]
    known = [size for size in sizes if size is not None]
    return tuple(known) if len(known) == one.part_count and sum(known) == one.size_bytes else None


def uniform_sizes(size_bytes: int, part_bytes: int, count: int) -> tuple[int, ...]:
    """So many parts of that size, the last of what is left; () where that does not come out."""
    last = size_bytes - part_bytes * (count - 1)
    return (*(part_bytes for _ in range(count - 1)), last) if 0 < last <= part_bytes else ()


def own_sizes(size_bytes: int) -> tuple[int, ...]:
    """Parts of 64 MiB, or larger where there would be too many."""
    part = max(PART_BYTES, -(-size_bytes // MOST_PARTS))
    return uniform_sizes(size_bytes, part, max(1, -(-size_bytes // part)))


def combined_etag(digests: Iterable[bytes]) -> str:
    """The ETag of an object of several parts: MD5 of their MD5 digests, a dash, and how many they are."""
    each = tuple(digests)
    return f"{hashlib.md5(b''.join(each), usedforsecurity=False).hexdigest()}-{len(each)}"


def offsets(sizes: Sequence[int]) -> tuple[int, ...]:
    """Where each part begins."""
    starts, at = [], 0
    for size in sizes:
        starts.append(at)
        at += size
    return tuple(starts)


def _size_of(bucket: Bucket, one: Described, number: int) -> int | None:
    """None where the endpoint does not know parts any more."""
    query = {"partNumber": str(number), **({"versionId": one.version_id} if one.version_id else {})}
    answer = bucket.request("HEAD", one.key, query=query)
    size = int(answer.headers.get("content-length", "0"))
    return None if size == one.size_bytes and one.part_count > 1 else size
