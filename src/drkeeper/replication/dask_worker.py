"""What a worker of Dask does: one bundle of pieces after the other, telling what it moves, until it is told to stop.

A pass over a bucket is a plugin of the workers while it lasts: so what it is made of (the policy's options, with their
secrets) goes to each worker once, over Dask's own connections, and stands in no task, no key and no log. A worker that
joins later gets it, too. Imported where `distributed` is installed only.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distributed import WorkerPlugin, get_worker

from drkeeper import clock
from drkeeper.buckets.reserved import protects
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.replication.pieces import bring_piece
from drkeeper.replication.run import Pair
from drkeeper.replication.shard_run import Bringing, Tally, TooManyKeys, listed_keys
from drkeeper.replication.shards import Folders, Shard, count_folders
from drkeeper.throttle import stopped_by

LISTEN_SECONDS = 1.0
FORGET_AFTER = 8
"""After so many times what makes a worker stop, a pass is taken from all of Dask: its coordinator was killed."""
SETUP_SECONDS = 10.0
TOPIC = "drkeeper"


class PieceFailed(DrkeeperError):
    """A piece could not be gone through, for a reason that another try does not remove."""


@dataclass(frozen=True)
class Piece:
    """A piece, and how many of the replica's objects it may overwrite."""

    shard: Shard
    may_overwrite: int


@dataclass(frozen=True)
class Outcome:
    """What came of one piece."""

    shard: Shard
    result: Tally | DrkeeperError


class BucketPass(WorkerPlugin):  # type: ignore[misc]
    """One pass over a bucket, on each worker.

    What the coordinator has to say (it lives; how many workers share the rate; stop) stands in the scheduler's metadata
    under the name of the pass; each worker looks there once a second. Without anything new for `silent_seconds` a
    worker stops, since the lease may soon be somebody else's.
    """

    def __init__(self, name: str, pair: Pair, *, dry_run: bool, silent_seconds: float, workers: int) -> None:
        self.name = name
        self._workers = workers
        self._silent_seconds = silent_seconds
        self._pair = pair
        self._dry_run = dry_run
        self.is_ready = False

    def setup(self, worker: Any) -> None:
        """Begin to listen. Called on the worker, in its event loop."""
        self._worker = worker
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._moved = _Moved()
        self._beat = -1
        self._heard_at = clock.monotonic_seconds()
        self._copier = self._pair.copier()
        self._share(self._workers)
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        self.is_ready = True

    def teardown(self, worker: Any) -> None:
        """The pass is over: whatever is still at work ends."""
        self._stop.set()
        self._listening.cancel()

    def bring(self, number: int, pieces: tuple[Piece, ...]) -> tuple[Outcome, ...]:
        """Bring pieces one after the other; a worker with several threads does so in one of them at a time."""
        with self._my_turn(), stopped_by(self._stop):
            self._say(bundle=number, pieces=len(pieces))
            how = Bringing(
                copier=self._copier,
                protected=protects(self._pair.options.exclude),
                may_overwrite=lambda _: None,
                dry_run=self._dry_run,
                progress=self._moved,
            )
            outcomes = tuple(self._outcome(how, piece) for piece in pieces)
            self._say(moved=self._moved.take())
            self._say(brought=number)
            return outcomes

    def count(self, number: int, where: tuple[Shard, ...]) -> Folders | DrkeeperError:
        """How many keys of both buckets each folder holds, in these parts of them."""
        protected = protects(self._pair.options.exclude)
        with self._my_turn(), stopped_by(self._stop):
            self._say(bundle=number, parts=len(where))
            try:
                return count_folders(key for each in where for key in self._keys(protected, each))
            except DrkeeperError as error:
                return error

    def _keys(self, protected: Callable[[str], bool], where: Shard) -> Iterator[str]:
        for key in listed_keys(self._copier, protected, where):
            if self._stop.is_set():
                raise Interrupted("interrupted")
            yield key

    def _outcome(self, how: Bringing, piece: Piece) -> Outcome:
        try:
            if self._stop.is_set():
                raise Interrupted("interrupted")  # noqa: TRY301 - to be told like any other end of a piece
            return Outcome(piece.shard, bring_piece(how, piece.shard, piece.may_overwrite))
        except DrkeeperError as error:
            return Outcome(piece.shard, error)
        except TooManyKeys:
            return Outcome(piece.shard, PieceFailed("it has grown too large since it was cut; the next run cuts anew"))
        except Exception as error:  # noqa: BLE001 - told to the coordinator; the other pieces go on
            return Outcome(piece.shard, PieceFailed(f"{type(error).__name__}: {error}"))

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """Tables of several pieces at once would not fit into the memory that one is promised to need."""
        while not self._turn.acquire(timeout=LISTEN_SECONDS):
            if self._stop.is_set():
                yield  # its pieces end at once
                return
        try:
            yield
        finally:
            self._turn.release()

    async def _listen(self) -> None:
        while True:
            try:
                told = await self._worker.scheduler.get_metadata(keys=[self.name], default=None)
            except OSError:
                told = None  # the scheduler is away; so is the coordinator
            self._heed(told)
            if self._silent_for() > FORGET_AFTER * self._silent_seconds:
                with suppress(OSError, ValueError):  # another worker may have done so
                    await self._worker.scheduler.unregister_worker_plugin(name=self.name)
                return
            self._say(moved=self._moved.take())
            await asyncio.sleep(LISTEN_SECONDS)

    def _heed(self, told: dict[str, Any] | None) -> None:
        if told and told["beat"] != self._beat:
            self._beat, self._heard_at = told["beat"], clock.monotonic_seconds()
            self._share(told["workers"])
            self._stop.clear()
        if (told and told["stop"]) or self._silent_for() > self._silent_seconds:
            self._stop.set()

    def _share(self, workers: int) -> None:
        rate = self._pair.rate_bytes_per_second
        self._copier.pace.cap(None if rate is None else rate / max(1, workers))

    def _silent_for(self) -> float:
        return clock.monotonic_seconds() - self._heard_at

    def _say(self, **facts: int) -> None:
        if facts != {"moved": 0}:
            self._worker.log_event(TOPIC, {"pass": self.name, "worker": self._worker.address, **facts})


class _Moved:
    """Counts the bytes that were moved since somebody asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """Nothing to tell."""

    def advance(self, task: str, size_bytes: int) -> None:
        """Count them."""
        with self._lock:
            self._bytes += size_bytes

    def end(self, task: str, outcome: str = "done") -> None:
        """Nothing to tell."""

    def take(self) -> int:
        """What was counted since the last time."""
        with self._lock:
            moved, self._bytes = self._bytes, 0
            return moved


def bring_bundle(name: str, number: int, pieces: tuple[Piece, ...]) -> tuple[Outcome, ...]:
    """The task: bring pieces by the pass of that name."""
    found = _pass_of(name)
    if isinstance(found, BucketPass):
        return found.bring(number, pieces)
    return tuple(Outcome(each.shard, found) for each in pieces)


def count_bundle(name: str, number: int, where: tuple[Shard, ...]) -> Folders | DrkeeperError:
    """The task: count keys by the pass of that name."""
    found = _pass_of(name)
    return found.count(number, where) if isinstance(found, BucketPass) else found


def _pass_of(name: str) -> BucketPass | DrkeeperError:
    """A worker that has just joined may not have it yet."""
    plugins = get_worker().plugins
    give_up_at = clock.monotonic_seconds() + SETUP_SECONDS
    while clock.monotonic_seconds() < give_up_at:
        found: BucketPass | None = plugins.get(name)
        if found is not None and found.is_ready:
            return found
        clock.sleep(LISTEN_SECONDS / 10)
    return Interrupted("the pass is over")
