"""What objects carry beside their bytes: one small request for each, many at once; tags where there are some."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from drkeeper.buckets.bucket import OK, Answer, Bucket
from drkeeper.buckets.copying import SOURCE_ETAG
from drkeeper.buckets.described import Described, describe, described, read_tags, tags_in
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.many import Ask, Job, run_many
from drkeeper.buckets.transport import NoAnswer
from drkeeper.systems._objects.inventory import Details, Item, details_of

R = TypeVar("R")
NOT_FOUND = 404
AHEAD = 2_000
"""How many answers may wait for one that comes late."""
WITH_CHECKSUMS = {"x-amz-checksum-mode": "ENABLED"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One object that was asked about.

    Attributes:
        item: That the question was about.
        one: None where it is gone.
    """

    item: Item
    one: Described | None = None
    tags: dict[str, str] | None = None

    @property
    def is_item(self) -> bool:
        """Whether it is that very object, or a copy of it in other parts: bytes, and all else where that is known."""
        return self.has_bytes and (self.item.details is None or _carried(self.item.details) == _carried(self._details))

    @property
    def has_bytes(self) -> bool:
        """Whether it is that object, or a copy of it in other parts, whatever it carries."""
        if self.one is None or self.one.size_bytes != self.item.size_bytes:
            return False
        return self.item.etag in {self.one.etag, self.one.metadata.get(SOURCE_ETAG)}

    @property
    def _details(self) -> Details:
        return Details() if self.one is None else details_of(self.one, self.tags or {})


def look_at(bucket: Bucket, items: Iterable[Item], *, at_once: int, versions: bool = False) -> Iterator[Seen]:
    """Ask about each object; answers in the order of the items, so that two inventories of one bucket are equal.

    Args:
        bucket: Asked.
        items: Few of them are held in memory.
        at_once: How many requests may be under way.
        versions: Whether the items' versions are meant, and not what is present.
    """
    waiting: dict[int, Seen] = {}
    given = 0

    def jobs() -> Iterator[Job[tuple[int, Seen | tuple[Item, str]]] | None]:
        for number, item in enumerate(items):
            while number - given >= AHEAD:
                yield None
            yield _numbered(number, _look(bucket, item, item.version_id if versions else ""))

    for number, outcome in run_many(jobs(), lambda: at_once):
        waiting[number] = outcome if isinstance(outcome, Seen) else look(bucket, *outcome)
        while given in waiting:
            yield waiting.pop(given)
            given += 1


def look(bucket: Bucket, item: Item, version_id: str = "") -> Seen:
    """Ask about one object, with patience."""
    try:
        one = describe(bucket, item.key, version_id=version_id)
        tags = read_tags(bucket, item.key, version_id=version_id) if one.tag_count else {}
    except ObjectGone:
        return Seen(item)
    return Seen(item, one, tags)


def _numbered(number: int, job: Job[R]) -> Job[tuple[int, R]]:
    return number, (yield from job)


def _look(bucket: Bucket, item: Item, version_id: str) -> Job[Seen | tuple[Item, str]]:
    """Whatever is out of the ordinary is asked again, with patience."""
    query = {"versionId": version_id} if version_id else {}
    try:
        head = yield Ask(bucket, "HEAD", item.key, WITH_CHECKSUMS, query)
        if head.status == NOT_FOUND:
            return Seen(item)
        if head.status not in OK:
            return item, version_id
        one = described(item.key, Answer(head.status, head.headers))
        if not one.tag_count:
            return Seen(item, one, {})
        tagged = yield Ask(bucket, "GET", item.key, query={"tagging": "", **query})
        if tagged.status not in OK:
            return item, version_id
        return Seen(item, one, tags_in(tagged.body))
    except NoAnswer:
        return item, version_id


def _carried(details: Details) -> tuple[str, dict[str, str], dict[str, str], dict[str, str]]:
    """What must be equal: not checksums, which an endpoint keeps or not, nor our own mark."""
    metadata = {name: value for name, value in details.metadata.items() if name != SOURCE_ETAG}
    return details.content_type, details.headers, metadata, details.tags
