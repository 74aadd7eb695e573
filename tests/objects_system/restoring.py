"""Buckets to break, and a recovery point of them without a vault."""

from contextlib import contextmanager
from dataclasses import dataclass

from tests.buckets.regions import bucket_at

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.copied import Wanted
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.described import describe, read_tags
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.reserved import OURS
from drkeeper.facts import broken, compare
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.systems.objects import ObjectsSystem, Options

STAGING = "dr0123"


@dataclass
class Region:
    """One bucket at one server."""

    server: object
    bucket: Bucket

    @classmethod
    def new(cls, server, *, versions=True):
        region = cls(server, bucket_at(server))
        if versions:
            region.keep_versions()
        return region

    @property
    def options(self):
        return self.bucket.options

    def keep_versions(self):
        self.server.client().put_bucket_versioning(
            Bucket=self.bucket.name, VersioningConfiguration={"Status": "Enabled"}
        )

    def put(self, key, body=b"", **headers):
        self.bucket.request("PUT", key, body=body, headers={name.replace("_", "-"): headers[name] for name in headers})

    def delete(self, *keys):
        for key in keys:
            self.bucket.request("DELETE", key)

    def destroy(self):
        """Nothing is left, no version either."""
        for one in list(list_versions(self.bucket)):
            self.bucket.request("DELETE", one.key, query={"versionId": one.version_id})
        self.delete(*(one.key for one in list_objects(self.bucket)))  # keys that a listing of versions cannot name

    def contents(self):
        """Everything that counts of each object, by key: bytes, headers, metadata, tags."""
        return {one.key: self.object(one.key) for one in list_objects(self.bucket) if not one.key.startswith(OURS)}

    def object(self, key):
        one = describe(self.bucket, key)
        body = b"".join(self.bucket.read(key, one.size_bytes))
        metadata = {name: value for name, value in one.metadata.items() if not name.startswith("drkeeper-")}
        return body, dict(one.headers), metadata, read_tags(self.bucket, key)

    def keys(self):
        return {one.key for one in list_objects(self.bucket) if not one.key.startswith(OURS)}

    def notes(self):
        """What is left of ours, but heartbeat and the last restore."""
        known = {OURS + "heartbeat.json", OURS + "restores/last.json"}
        return sorted(one.key for one in list_objects(self.bucket, OURS) if one.key not in known)


@dataclass
class Regions:
    here: Region
    there: Region

    def system(self, *, replica=True, **more):
        options = {**self.here.options.model_dump(), **more}
        if replica:
            options["replica"] = self.there.options
        return ObjectsSystem("artifacts", Options(**options))

    def replicate(self):
        """What the verb does: every object, one by one."""
        copier = Copier(self.here.bucket, self.there.bucket)
        for one in list_objects(self.here.bucket):
            if not one.key.startswith(OURS):
                copier.copy(Wanted(one.key, one.size_bytes, one.etag, one.storage_class))


@dataclass
class Captured:
    """A record, and its streams in memory."""

    record: SystemRecord
    bodies: dict

    def names(self):
        return tuple(self.bodies)

    def size_bytes(self, name):
        return len(self.bodies[name])

    def read(self, name):
        body = self.bodies[name]
        return (body[start : start + 1000] for start in range(0, len(body), 1000))


@contextmanager
def frozen_stream(system):
    """The frozen view, and its only stream."""
    with system.freeze() as view:
        yield view, next(iter(view.streams()))


def capture(system):
    with frozen_stream(system) as (view, stream):
        body = b"".join(stream.chunks)
        record = SystemRecord(
            name=system.name,
            kind=system.kind,
            status="complete",
            as_of=view.as_of,
            streams=(
                StreamRecord(
                    name=stream.name,
                    ref=StreamRef(index_id="0", size_bytes=len(body), frame_count=1),
                    stored_bytes=0,
                    restore_hint=stream.restore_hint,
                ),
            ),
            facts=view.facts(),
            findings=view.findings,
        )
    return Captured(record, {stream.name: body})


def restore(system, point, staging=STAGING):
    """All of a restore, and its checks; none of them may fail."""
    stops = broken(system.preflight(point.record))
    assert not stops, stops
    system.load(point.record, point, staging)
    system.switch(point.record, staging)
    checks = checks_of(system, point)
    assert not broken(checks), broken(checks)
    return checks


def checks_of(system, point):
    compared = compare(point.record.facts, system.facts(point.record.facts))
    return [*compared, *system.verify(point.record, point)]
