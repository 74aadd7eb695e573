"""What a restore notes in the bucket itself, below `.drkeeper/restores/<staging>/`: it outlives the process.

First the whole plan (what the bucket will hold, from where each object comes, which ones it lacks), then `planned`,
which says that the plan is whole; only then is anything added. `switching` stands there once something live may have
changed. The last restore that ended stands in `.drkeeper/restores/last.json`.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.reserved import RESTORES
from drkeeper.systems._objects.inventory import lines_in

LAST = RESTORES + "last.json"
PLANNED = "planned"
SWITCHING = "switching"
PAGE_BYTES = 4 << 20


class Notes:
    """The notes of one restore."""

    def __init__(self, bucket: Bucket, staging: str, *, versioned: bool = False) -> None:
        self._bucket = bucket
        self._staging = staging
        self._folder = f"{RESTORES}{staging}/"
        self._versioned = versioned

    @property
    def planned(self) -> bool:
        """Whether the plan is whole."""
        return self._is_there(PLANNED)

    @property
    def switching(self) -> bool:
        """Whether anything live may have been changed."""
        return self._is_there(SWITCHING)

    @property
    def ended(self) -> bool:
        """Whether this restore is the last one that ended here."""
        try:
            return bool(json.loads(self._bucket.request("GET", LAST).body).get("staging") == self._staging)
        except (ObjectGone, ValueError, AttributeError):
            return False

    def write(self, lines: Iterable[bytes]) -> None:
        """Note the plan."""
        number, size, page = 0, 0, list[bytes]()
        for line in chain(lines, (None,)):
            if page and (line is None or size > PAGE_BYTES):
                self._bucket.request("PUT", f"{self._folder}{number:06}.jsonl", body=b"\n".join(page) + b"\n")
                number, size, page = number + 1, 0, []
            if line is not None:
                page.append(line)
                size += len(line) + 1
        self._put(PLANNED)

    def read(self) -> Iterator[bytes]:
        """The lines of the plan, as far as it goes."""
        return lines_noted(self._bucket, self._folder)

    def begin_switch(self) -> None:
        """From here on something live may be changed."""
        self._put(SWITCHING)

    def end(self) -> None:
        """The restore is done: say so, then forget the plan."""
        self._bucket.request("PUT", LAST, body=json.dumps({"staging": self._staging}).encode())
        self.clear()

    def clear(self) -> None:
        """Forget the plan, in a bucket that keeps versions all versions of it: first that it is whole."""
        if self._versioned:
            found = [(one.key, one.version_id) for one in list_versions(self._bucket, self._folder)]
        else:
            found = [(one.key, "") for one in list_objects(self._bucket, self._folder)]
        for key, version_id in sorted(
            found, key=lambda one: (not one[0].endswith(PLANNED), not one[0].endswith(".jsonl"))
        ):
            self._bucket.request("DELETE", key, query={"versionId": version_id} if version_id else {})

    def _is_there(self, name: str) -> bool:
        try:
            self._bucket.request("HEAD", self._folder + name)
        except ObjectGone:
            return False
        return True

    def _put(self, name: str) -> None:
        self._bucket.request("PUT", self._folder + name, body=b"")


def lines_noted(bucket: Bucket, folder: str = RESTORES) -> Iterator[bytes]:
    """The lines of the plans in a folder; by default of all restores that did not end."""
    pages = sorted((one.key, one.size_bytes) for one in list_objects(bucket, folder) if one.key.endswith(".jsonl"))
    return lines_in(block for key, size in pages for block in bucket.read(key, size))
