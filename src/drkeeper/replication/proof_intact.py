"""`intact`: read a stretch of a region's objects again, from where the last run ended, and keep account of it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import describe
from drkeeper.buckets.errors import BucketUnreachable, ObjectGone
from drkeeper.buckets.listed import Listed, is_multipart
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.pacing import Pace
from drkeeper.parallel import run_bounded
from drkeeper.progress import Progress
from drkeeper.replication.proof_records import Walk
from drkeeper.replication.rehash import Rehashed, rehash
from drkeeper.replication.ring import Stretch, ring_of
from drkeeper.replication.walk import begun, leg_end, looked_again, moved, numbered

STRETCH_OBJECTS = 5_000
"""So many at a time are held in memory."""
NOTED_OBJECTS = 500
NOTED_SECONDS = 60.0
THREADS = 8
COPY_ETAG = "its ETag is no digest of its parts; its bytes are those of its copy, by the copy's"


@dataclass
class Walker:
    """Re-hashes one region's objects.

    Attributes:
        bucket: The region's.
        other: The other region's: a second opinion where an ETag of parts does not fit.
        keep: Writes down where the walk came to.
        protected: Whether a key is part of what is protected.
        task: What progress is told under.
        walk: How far it has come.
        read_bytes: In this process.
    """

    bucket: Bucket
    other: Bucket
    pace: Pace
    keep: Callable[[Walk], None]
    protected: Callable[[str], bool]
    progress: Progress
    task: str
    walk: Walk
    read_bytes: int = 0
    elapsed_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _noted_at: float = field(default_factory=clock.monotonic_seconds)

    def go(self, share: float) -> None:
        """Look at what is known to be damaged, and then at that share of the ring.

        Raises:
            BucketUnreachable: The region does not answer; what was looked at is written down.
            LeaseHeld: Somebody else walks there, too.
            Interrupted: The work was told to stop; what was looked at is written down.
        """
        with self._told() as pool:
            self._look_at_known(pool)
            self.walk = begun(self.walk, share, clock.now())
            while self.walk.left:
                self._leg(pool)

    def look_again(self) -> None:
        """Look at what is known to be damaged only.

        Raises:
            BucketUnreachable, LeaseHeld, Interrupted: As above.
        """
        with self._told() as pool:
            self._look_at_known(pool)

    @contextmanager
    def _told(self) -> Iterator[ThreadPoolExecutor]:
        self.progress.begin(self.task)
        began = clock.monotonic_seconds()
        outcome = "failed"
        try:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="rehash") as pool:
                yield pool
            outcome = "done"
        finally:
            self.elapsed_seconds = clock.monotonic_seconds() - began
            self.progress.end(self.task, outcome)

    def _look_at_known(self, pool: ThreadPoolExecutor) -> None:
        if not self.walk.damaged:
            return
        known = [Listed(each.key, each.size_bytes, each.etag, "") for each in self.walk.damaged]
        again = [came for _, came in self._in_order(pool, enumerate(known))]
        self._write(looked_again(self.walk, again, clock.now()))

    def _leg(self, pool: ThreadPoolExecutor) -> None:
        """What is left of the run, or of the circle: listed once, and read in the order of the ring."""
        end = leg_end(self.walk)
        listed = _Counted(one for one in list_objects(self.bucket) if self.protected(one.key))
        with ring_of(listed, self.walk.cursor, end) as ring:
            self.walk = self.walk.model_copy(update={"of_objects": listed.objects, "of_bytes": listed.size_bytes})
            while True:
                stretch = ring.stretch(self.walk.cursor, STRETCH_OBJECTS)
                self._stretch(pool, stretch)
                if stretch.end >= end:
                    return

    def _stretch(self, pool: ThreadPoolExecutor, stretch: Stretch) -> None:
        """What comes before the cursor is done."""
        places = [place for place, _ in stretch.objects]
        came: list[Rehashed] = []
        done = 0
        try:
            for number, outcome in self._in_order(pool, enumerate(one for _, one in stretch.objects)):
                came.append(outcome)
                done = number + 1
                if done < len(places) and self._is_time(len(came)):
                    self._note(places[done], came)
                    came = []
            self._note(stretch.end, came)
            came = []
        finally:
            if came:  # stopped on the way
                self._note(places[done] if done < len(places) else stretch.end, came)

    def _in_order(
        self, pool: ThreadPoolExecutor, objects: Iterable[tuple[int, Listed]]
    ) -> Iterator[tuple[int, Rehashed]]:
        """Results in the order of the objects, several being read at once."""
        early: dict[int, Rehashed] = {}
        due = 0
        for number, outcome in run_bounded(pool, self._one, objects, at_once=2 * THREADS):
            early[number] = outcome
            while due in early:
                yield due, early.pop(due)
                due += 1

    def _one(self, each: tuple[int, Listed]) -> tuple[int, Rehashed]:
        number, one = each
        came = rehash(self.bucket, one, self.pace)
        self.progress.advance(self.task, one.size_bytes)
        with self._lock:
            self.read_bytes += one.size_bytes
        if came.state == "damaged" and came.found and is_multipart(one.etag) and self._copy_has(one, came.found):
            return number, Rehashed(one, "intact", COPY_ETAG)
        return number, came

    def _copy_has(self, one: Listed, found: str) -> bool:
        """Whether the other region's ETag says what our bytes come to: servers copy by themselves with odd ETags."""
        try:
            return describe(self.other, one.key).etag == found
        except (BucketUnreachable, ObjectGone):
            return False

    def _is_time(self, objects: int) -> bool:
        return objects >= NOTED_OBJECTS or clock.monotonic_seconds() - self._noted_at >= NOTED_SECONDS

    def _note(self, cursor: int, came: list[Rehashed]) -> None:
        self._noted_at = clock.monotonic_seconds()
        self._write(moved(self.walk, cursor, came, clock.now()))

    def _write(self, walk: Walk) -> None:
        walk = numbered(walk)
        self.keep(walk)
        self.walk = walk


class _Counted:
    """A listing that counts what goes by."""

    def __init__(self, listed: Iterable[Listed]) -> None:
        self._listed = listed
        self.objects = 0
        self.size_bytes = 0

    def __iter__(self) -> Iterator[Listed]:
        for one in self._listed:
            self.objects += 1
            self.size_bytes += one.size_bytes
            yield one
