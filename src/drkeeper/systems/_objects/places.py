"""The buckets of one restore: the target, and those of which its objects can be had."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import BucketUnreachable, CallLacking
from drkeeper.buckets.listed import Listed, Version
from drkeeper.errors import Refused, SystemUnreachable
from drkeeper.systems._objects.details import look
from drkeeper.systems._objects.inventory import Item
from drkeeper.systems._objects.options import Options
from drkeeper.systems._objects.scope import Scope
from drkeeper.systems._objects.table import Place, Source, Table

SURE = 10
"""Ranks below are of objects with the very ETag that is wanted."""


@dataclass(frozen=True)
class Places:
    """Buckets, and the part of them that is meant.

    Attributes:
        target: Written to.
        own: The system's bucket, which is the target unless another one was named. Only read then.
        replica: Only read.
        scope: What is restored.
    """

    options: Options
    target: Bucket
    own: Bucket
    replica: Bucket | None
    scope: Scope

    @property
    def sources(self) -> Iterator[tuple[Place, Bucket]]:
        """In the order in which they are asked."""
        yield "own", self.own
        if self.replica is not None:
            yield "replica", self.replica

    def bucket(self, place: Place) -> Bucket:
        """The bucket of a source."""
        found = dict(self.sources).get(place)
        if found is None:
            raise Refused("the policy names no replica any more; objects were to come from it")
        return found


def find_sources(places: Places, table: Table) -> list[str]:
    """Say for each object that is not there from where it will come; the places that did not answer.

    In this order: the version itself, the system's own bucket (what is present, then older versions), the replica
    (alike).

    Raises:
        SystemUnreachable: No place answered.
    """
    silent, answered = [], False
    for place, bucket in places.sources:
        try:
            for one in _listing(places.scope, bucket):
                if not (isinstance(one, Version) and one.is_marker):
                    table.offer(one, place)
            answered = True
        except SystemUnreachable as error:
            silent.append(str(error))
    if not answered:
        raise SystemUnreachable("; ".join(silent))
    for item, offered in table.candidates():
        source = _best(places, item, offered)
        if source is not None:
            table.choose(item.key, source)
    return silent


def _listing(scope: Scope, bucket: Bucket) -> Iterator[Listed | Version]:
    """All versions; what is present where versions cannot be listed."""
    versions = scope.versions(bucket)
    try:
        begin = list(islice(versions, 1))
    except (BucketUnreachable, CallLacking):
        return scope.objects(bucket)
    return chain(begin, versions)


def _best(places: Places, item: Item, offered: list[tuple[int, Source]]) -> Source | None:
    """The best offer. Of several with the same bytes, the first that carries what is wanted, too."""
    sure = [source for rank, source in offered if rank < SURE]
    if offered[0][0] == 0 or len(sure) == 1:
        return sure[0]
    for source in sure:
        if look(places.bucket(source.place), item, source.version_id).is_item:
            return source
    if sure:
        return sure[0]
    for _, source in offered:
        if look(places.bucket(source.place), item, source.version_id).has_bytes:
            return source
    return None
