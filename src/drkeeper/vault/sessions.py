"""Notes of writing sessions, so that a power cut cannot leave half-written frames that later backups rely on.

A local folder's files are synced once, before a commit (docs/adr/0004). A session that a power cut ended leaves files
that look whole and may not be. Its note under `sessions/`, written and synced before its first frame, tells the next
session so: a note of another boot means that whatever was written since, and is named by no point, must go.
"""

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import AwareDatetime

from drkeeper import clock
from drkeeper.errors import FrameCorrupt, RecordCorrupt
from drkeeper.recovery_point import Record, RecoveryPoint
from drkeeper.vault.frames import FrameCodec
from drkeeper.vault.index import FrameIndex, check_index, read_index
from drkeeper.vault.layout import FRAMES, POINTS, SESSIONS, STREAMS, index_key, object_id
from drkeeper.vault.records import pack, unpack
from drkeeper.vault.store import Entry, ObjectMissing, Store

CLOCK_SLACK = timedelta(minutes=2)  # between our clock and that of a file system on another machine
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SessionNote(Record):
    """One session that is under way, or was when its machine went down."""

    boot_id: str
    started_at: AwareDatetime


class Sessions:
    """The notes of one store. Used under the lease `write`, so there is one session at a time."""

    def __init__(self, store: Store, codec: FrameCodec, hash_key: bytes) -> None:
        self._store = store
        self._codec = codec
        self._hash_key = hash_key

    def begin(self) -> str:
        """Deal with what earlier sessions left, and note ours; the key to `end` it with, "" where none is needed."""
        if not self._store.needs_flush:
            return ""
        for entry in list(self._store.list(SESSIONS)):
            self._settle(entry)
        key = f"{SESSIONS}{secrets.token_hex(8)}.json"
        self._store.create(key, pack(SessionNote(boot_id=_boot_id(), started_at=clock.now()), self._hash_key))
        self._store.flush()
        return key

    def end(self, key: str) -> None:
        """Everything of ours is safe; take the note back."""
        if key:
            self._store.flush()
            self._store.delete([key])

    def _settle(self, entry: Entry) -> None:
        """Of this boot: what it wrote is whole, once flushed. Of another: what no point names is dropped."""
        try:
            note = unpack(self._store.get(entry.key), SessionNote, self._hash_key, entry.key)[0]
            same_boot, since = note.boot_id == _boot_id(), note.started_at
        except RecordCorrupt:  # torn by the power cut itself
            same_boot, since = False, entry.modified_at
        if same_boot:
            self._store.flush()
        else:
            self._store.delete(list(self._unnamed(since - CLOCK_SLACK)))
        self._store.delete([entry.key])

    def _unnamed(self, since: AwareDatetime) -> Iterator[str]:
        """Keys of what was written since, and is named by no point."""
        frames, indices = self._named()
        for prefix, named in ((FRAMES, frames), (STREAMS, indices)):
            for entry in self._store.list(prefix):
                if entry.modified_at >= since and object_id(entry.key) not in named:
                    yield entry.key

    def _named(self) -> tuple[FrameIndex, set[str]]:
        """By the points that can be read here: a point that cannot keeps nothing that is torn."""
        frames = FrameIndex()
        indices: set[str] = set()
        for entry in self._store.list(POINTS):
            try:
                point = unpack(self._store.get(entry.key), RecoveryPoint, self._hash_key, entry.key)[0]
            except RecordCorrupt:
                continue
            for _, stream in point.named_streams():
                if stream.ref.index_id not in indices:
                    indices.add(stream.ref.index_id)
                    self._add_frames(stream.ref.index_id, frames)
        return frames, indices

    def _add_frames(self, index_id: str, frames: FrameIndex) -> None:
        try:
            packed = self._store.get(index_key(index_id))
            check_index(packed, index_id, self._codec)
        except (ObjectMissing, FrameCorrupt):
            return  # `verify` tells; its frames cannot be read in order any more
        for span in read_index(packed, index_id):
            frames.add(span.frame_id)


def _boot_id() -> str:
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
