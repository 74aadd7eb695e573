"""The writing side: cut, hash, and for new frames only compress, seal and put; then commit.

One caller's thread reads and cuts each stream; worker threads, shared by all streams of the session, do the rest.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from drkeeper.errors import DrkeeperError, LeaseLost, Refused
from drkeeper.recovery_point import RecoveryPoint, StreamRef
from drkeeper.vault.frames import FrameCodec, cut
from drkeeper.vault.header import Header
from drkeeper.vault.index import FrameIndex, IndexWriter
from drkeeper.vault.layout import POINTS, frame_key, index_key, point_key
from drkeeper.vault.records import pack, unpack
from drkeeper.vault.sessions import Sessions
from drkeeper.vault.store import Store, create_once

IN_FLIGHT_BYTES = 16 << 20
COMMIT_SECONDS = 10.0


class Claim(Protocol):
    """The lease under which somebody writes."""

    token: int

    def check(self, *, remaining_seconds: float = 0) -> None:
        """Raises LeaseLost where it is not ours any more, or will not be for so long."""
        ...


class Writer:
    """A writing session; from `Vault.writing`. `write` may be called from several threads at once."""

    def __init__(
        self, store: Store, header: Header, codec: FrameCodec, hash_key: bytes, claim: Claim, *, threads: int
    ) -> None:
        self._store = store
        self._header = header
        self._codec = codec
        self._hash_key = hash_key
        self._claim = claim
        self._known = FrameIndex()
        self._sessions = Sessions(store, codec, hash_key)
        self._note = ""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vault-write")
        self._budget = _Budget(IN_FLIGHT_BYTES)
        self._putting: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Deal with what a power cut left, and list what is there."""
        self._claim.check()
        self._note = self._sessions.begin()
        self._known = FrameIndex.load(self._store)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Join the workers."""
        self._pool.shutdown(cancel_futures=True)
        if kind is None:
            self._sessions.end(self._note)

    def write(self, chunks: Iterable[bytes], *, on_bytes: Callable[[int], None] | None = None) -> tuple[StreamRef, int]:
        """Store one stream; only frames that the vault lacks are written.

        Args:
            chunks: Blocks of any size. What they raise is passed on, and the stream counts for nothing.
            on_bytes: Told the plain size of each frame as it is cut.

        Returns:
            Where the stream lies, and how many bytes it added to the store (its index included).

        Raises:
            LeaseLost: The lease went; nothing more is written.
            VaultUnreachable, VaultFull: The primary region failed.
        """
        index = IndexWriter(self._codec)
        pending: deque[tuple[int, Future[tuple[str, int]]]] = deque()
        stored_bytes = 0
        try:
            for plain in cut(chunks, self._header.cutter):
                self._budget.acquire(len(plain))
                pending.append((len(plain), self._submit(plain)))
                if on_bytes is not None:
                    on_bytes(len(plain))
                while pending and pending[0][1].done():
                    stored_bytes += _record(index, *pending.popleft())
            while pending:
                stored_bytes += _record(index, *pending.popleft())
        finally:
            for _, future in pending:
                future.cancel()
            if isinstance(chunks, Generator):
                chunks.close()  # ends the program that feeds it, also when it is the store that failed
        index_id, packed = index.finish()
        self._claim.check()
        self._store.put(index_key(index_id), packed)
        ref = StreamRef(index_id=index_id, size_bytes=index.size_bytes, frame_count=index.frame_count)
        return ref, stored_bytes + (len(packed) if stored_bytes else 0)

    def commit(self, point: RecoveryPoint) -> RecoveryPoint:
        """Publish a recovery point: after this returns, it and its frames survive a power cut.

        The point's fencing token and the digest of the point before it are filled in here. A claim that was lost on
        the way withdraws the point: what it names may have been swept meanwhile (docs/adr/0003).

        Returns:
            The point as it was stored.

        Raises:
            LeaseLost: Nothing was published.
            Refused: A point of this id exists.
        """
        self._store.flush()
        point = point.model_copy(update={"fencing_token": self._claim.token, "previous_digest": self._newest_digest()})
        key = point_key(point.created_at, point.point_id)
        self._claim.check(remaining_seconds=COMMIT_SECONDS)
        if not create_once(self._store, key, pack(point, self._hash_key)):
            raise Refused(f"there is a recovery point {point.point_id} already")
        try:
            self._store.flush()
            self._claim.check()
        except DrkeeperError as error:
            self._store.delete([key])
            if isinstance(error, LeaseLost):
                raise LeaseLost(f"recovery point {point.point_id} was withdrawn: {error}") from error
            raise
        return point

    def _newest_digest(self) -> str:
        keys = sorted(entry.key for entry in self._store.list(POINTS))
        return unpack(self._store.get(keys[-1]), RecoveryPoint, self._hash_key, keys[-1])[1] if keys else ""

    def _submit(self, plain: bytes) -> Future[tuple[str, int]]:
        try:
            future = self._pool.submit(self._store_frame, plain)
        except BaseException:
            self._budget.release(len(plain))
            raise
        size = len(plain)
        future.add_done_callback(lambda _: self._budget.release(size))
        return future

    def _store_frame(self, plain: bytes) -> tuple[str, int]:
        """In a worker. Never takes a frame for stored before its put has returned."""
        frame_id = self._codec.id_of(plain)
        with self._alone(frame_id):
            if frame_id in self._known:
                return frame_id, 0
            self._claim.check()
            stored = self._codec.encode(plain)
            self._store.put(frame_key(frame_id, encrypted=bool(self._header.recipients)), stored)
            self._known.add(frame_id)
            return frame_id, len(stored)

    @contextmanager
    def _alone(self, frame_id: str) -> Iterator[None]:
        """Equal frames that are in flight at once are handled one after the other."""
        while True:
            with self._lock:
                other = self._putting.get(frame_id)
                if other is None:
                    mine = self._putting[frame_id] = threading.Event()
                    break
            other.wait()
        try:
            yield
        finally:
            with self._lock:
                del self._putting[frame_id]
            mine.set()


class _Budget:
    """Bytes that may be in flight. One piece larger than all of it passes when nothing else is."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, size_bytes: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + size_bytes <= self._size)
            self._used += size_bytes

    def release(self, size_bytes: int) -> None:
        with self._changed:
            self._used -= size_bytes
            self._changed.notify_all()


def _record(index: IndexWriter, size_bytes: int, future: Future[tuple[str, int]]) -> int:
    frame_id, stored_bytes = future.result()
    index.add(frame_id, size_bytes)
    return stored_bytes
