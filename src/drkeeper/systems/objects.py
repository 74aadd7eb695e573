"""Buckets of objects: models, artifacts, files.

A point holds the inventory of a bucket at a moment; the bytes stay in the bucket's own versions and in its replica,
and a restore takes them from there. Why so: `docs/adr/0121-objects-are-added-then-put-right.md`.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from pydantic import BaseModel, SecretStr

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import SCHEME, BucketOptions
from drkeeper.buckets.uploads import discard_uploads
from drkeeper.buckets.versioning import versioning_of
from drkeeper.errors import LoadFailed, PolicyInvalid, UsageInvalid
from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Frozen, Streams
from drkeeper.systems._objects import browse, checks, proof, target
from drkeeper.systems._objects.beat import read_beat, write_beat
from drkeeper.systems._objects.frozen import frozen
from drkeeper.systems._objects.inventory import INVENTORY, items_in
from drkeeper.systems._objects.notes import Notes
from drkeeper.systems._objects.options import Options
from drkeeper.systems._objects.places import Places
from drkeeper.systems._objects.scope import Scope, words
from drkeeper.systems._objects.table import open_table

__all__ = ["ObjectsSystem", "Options", "open_system"]


def open_system(name: str, options: BaseModel) -> "ObjectsSystem":
    """A bucket and its replica; connects to nothing."""
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of a system of kind objects")
    return ObjectsSystem(name, options)


class ObjectsSystem:
    """One bucket, or a prefix in it.

    Args:
        name: Of the system.
        options: Of its policy.
        only: Prefixes and single keys that are restored; all where there is none.
        into: Restored into instead of the system's own bucket.
    """

    kind = "objects"

    def __init__(
        self, name: str, options: Options, *, only: Sequence[str] = (), into: BucketOptions | None = None
    ) -> None:
        self.name = name
        self._options = options
        self._only = tuple(only)
        self._into = into
        self._own = Bucket(options, read_only=into is not None)
        self._places = Places(
            options=options,
            target=self._own if into is None else Bucket(into),
            own=self._own,
            replica=Bucket(options.replica, read_only=True) if options.replica else None,
            scope=Scope(options.exclude, self._only),
        )
        self._kept = _drill_part(options)

    @property
    def place(self) -> str:
        """Where a restore goes, and how much of it."""
        chosen = f" (only {words(self._only)})" if self._only else ""
        return self._places.target.url + chosen

    def narrowed(self, only: Sequence[str], into: str, others: Sequence[BaseModel] = ()) -> "ObjectsSystem":
        """The same system, of which a restore touches only some keys, or another bucket.

        Raises:
            UsageInvalid: A key or the place cannot be one.
        """
        wrong = [key for key in only if not key or key.startswith("s3:")]
        if wrong:
            raise UsageInvalid(
                "--only takes a prefix that ends in / or a whole key, without bucket and prefix of the url"
            )
        place = _place(into, self._options, others) if into else None
        if place is not None and Bucket(place).path_of("") == self._own.path_of("") and self._same_endpoint(place):
            place = None
        return ObjectsSystem(self.name, self._options, only=only, into=place)

    def probe(self) -> Iterator[Check]:
        """Reachable, permitted, versions, replica."""
        return checks.probe(self._options)

    def freeze(self) -> AbstractContextManager[Frozen]:
        """Note the moment by the endpoint's own clock; versions, or a listing, come with the stream."""
        return frozen(self._options, self._own)

    def facts(self, witness: Facts | None = None) -> Facts:
        """Of a listing, and of the bytes of the witness's sampled keys.

        Args:
            witness: Facts to be compared with.
        """
        partly = f"only {words(self._only)} was restored" if self._only else self._kept.partly if self._kept else ""
        return proof.live_facts(self._places, witness, partly)

    def is_empty(self) -> bool:
        """Whether there is no object that is protected, but for what a restore that did not end has added."""
        return target.is_empty(self._places)

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Target, permissions, versions, replica. Whether each object can be had, `load` finds out first of all."""
        return checks.preflight(self._places, record, into=self._into.url if self._into else "")

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Plan from the inventory, note the plan, and add the objects that the target lacks; no other is touched.

        Called again it goes on: what was noted is not planned anew.

        Raises:
            Refused: An object can be had from nowhere, or would be lost; no object was touched.
            LoadFailed: Some objects did not come.
        """
        notes = self._notes(staging)
        if not notes.planned:
            notes.clear()  # a plan that is not whole: nothing was done by it
            with open_table() as table:
                table.want(target.wanted_items(self._places, streams))
                if self._kept is not None:
                    self._kept.apply(table)
                target.insist(self._places, table, target.plan(self._places, table, record))
                notes.write(table.notes())
        target.add(self._places, notes)

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Overwrite what differs, put delete markers on what the point does not have; called again it goes on.

        Raises:
            LoadFailed: Some objects could not be put right; the others are.
        """
        notes = self._notes(staging)
        if notes.ended:
            notes.clear()
            return
        if not notes.planned:
            raise LoadFailed(f"{self._places.target.url} holds no plan of this restore: load it first")
        target.put_right(self._places, notes, record)
        notes.end()

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """By what the notes in the bucket say."""
        notes = self._notes(staging)
        return notes.switching or notes.ended

    def discard(self, staging: str) -> None:
        """Remove exactly the objects that a load added; after a switch has begun, its notes only."""
        notes = self._notes(staging)
        if not (notes.switching or notes.ended):
            target.take_away(self._places, notes, versioned=self._keeps_versions)
            discard_uploads(self._places.target)
        notes.clear()

    def verify(self, record: SystemRecord, streams: Streams) -> Iterator[Check]:
        """Listing, bytes of some objects, and what these carry."""
        return proof.verify(self._places, record, streams, self._kept)

    def difference(self, record: SystemRecord, streams: Streams) -> Iterator[str]:
        """Counts, then a line for each key that would be added, overwritten or deleted."""
        return proof.difference(self._places, record, streams)

    def beat(self, mark: Heartbeat) -> None:
        """Write a heartbeat as an object."""
        write_beat(self._own, mark)

    def newest_beat(self) -> Heartbeat | None:
        """The heartbeat in the bucket."""
        return read_beat(self._own)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix` of the bucket that is restored into."""
        return self._places.target.url.rstrip("/")

    def entries(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Key and size of each protected object, by one listing."""
        return browse.entries(self._places.target, self._places.scope, prefix)

    def recorded(self, streams: Streams) -> Iterator[tuple[str, int]]:
        """Key and size of each object of a point's inventory."""
        return ((item.key, item.size_bytes) for item in items_in(streams.read(INVENTORY)))

    def fetch(self, key: str) -> Iterator[bytes]:
        """The bytes of one object.

        Raises:
            ObjectGone: It is not there.
        """
        return browse.fetch(self._places.target, key)

    def sdk_environment(self) -> dict[str, SecretStr]:
        """Endpoint and keys, where boto3 and MLflow look for them."""
        return browse.sdk_environment(self._into or self._options)

    @property
    def _keeps_versions(self) -> bool:
        return bool(versioning_of(self._places.target))

    def _notes(self, staging: str) -> Notes:
        return Notes(self._places.target, staging, versioned=self._keeps_versions)

    def _same_endpoint(self, place: BucketOptions) -> bool:
        return Bucket(place).endpoint == self._own.endpoint


def _drill_part(options: Options) -> proof.Kept | None:
    if not options.throw_away:
        return None
    if options.replica is None:
        return proof.Kept(0, "the policy names no replica, and a drill has no other source")
    return proof.Kept(options.drill_bytes)


def _place(into: str, options: Options, others: Sequence[BaseModel]) -> BucketOptions:
    """Options of another bucket: those that the policy has for it, else those of the system with another url."""
    if not into.startswith(SCHEME):
        raise UsageInvalid(f"--into takes a place such as s3://bucket or s3://bucket/prefix, not {into}")
    bucket = into.removeprefix(SCHEME).partition("/")[0]
    known = [option for other in (options, *others) if isinstance(other, Options) for option in (other, other.replica)]
    found = next((option for option in known if option is not None and option.bucket == bucket), options)
    fields = {name: getattr(found, name) for name in BucketOptions.model_fields}
    try:
        return BucketOptions.model_validate({**fields, "url": into})
    except ValueError as error:
        raise UsageInvalid(f"--into {into} is no place for objects: it takes s3://bucket/prefix") from error
