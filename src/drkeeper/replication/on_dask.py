"""Pieces of a bucket brought by the workers of Dask: past one machine, the same work.

The coordinator cuts, guards, holds the lease and counts; workers compare and copy. Each piece is idempotent, so one
whose worker died is simply given to another, which copies what is left.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from drkeeper import clock
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.errors import BucketFull
from drkeeper.errors import DrkeeperError, Interrupted, Refused, ToolMissing
from drkeeper.log import get_logger
from drkeeper.replication.dask_client import DaskUnreachable, connected, forget_plugin
from drkeeper.replication.run import Run
from drkeeper.replication.shard_run import TABLE_KEYS, Tally, scopes
from drkeeper.replication.shards import Folders, Shard, bundles
from drkeeper.throttle import current_stop

if TYPE_CHECKING:
    from drkeeper.replication.dask_worker import Piece

PIECES_A_WORKER = 8
FEWEST_KEYS = 40
TRIES = 3
TICK_SECONDS = 0.5
SILENT_SECONDS = 25.0
"""After so long without a word from here workers stop: less than is left of a lease that is not renewed any more."""
BEATS = 8
"""So many words in that time."""
WORKERLESS_SECONDS = 60.0
STOP_SECONDS = 15.0
HOPELESS = 3
"""So many pieces failed before one was brought: the others are not tried."""
ENDING = (BucketFull, Refused, ToolMissing)
AGAIN = "what was copied stays copied; run it again"


@contextmanager
def shards_on(address: str, *, silent_seconds: float = SILENT_SECONDS) -> Iterator["OnDask"]:
    """The workers of the scheduler at this address (`tcp://host:8786`, `tls://…`), for `Run.bring_shards`.

    Args:
        address: Of the scheduler.
        silent_seconds: Workers stop by themselves so long after this process was last heard of.

    Raises:
        ToolMissing: `distributed` is not installed.
        DaskUnreachable: No scheduler answers there, or it has no workers.
        Refused: Scheduler or workers are of other versions.
    """
    with connected(address) as client:
        yield OnDask(client, silent_seconds)


class OnDask:
    """Brings pieces on workers."""

    def __init__(self, client: Any, silent_seconds: float) -> None:
        self._client = client
        self._silent_seconds = silent_seconds

    def count(self, run: Run, copier: Copier) -> Folders:
        """How many keys of either bucket each folder holds: workers list folders apart, as far as there are folders.

        Raises:
            DrkeeperError: A part could not be listed; nothing was changed.
        """
        parts = PIECES_A_WORKER * max(1, len(self._client.nthreads()))
        where = scopes(copier, parts)
        folders = Folders()
        with _begun(self._client, run, "count", self._silent_seconds) as ours:
            for first in range(min(parts, len(where))):
                ours.submit_count(tuple(where[first::parts]))
            for counted in ours.counts():
                folders.take_in(counted)
        return folders

    def piece_keys(self, keys: int) -> int:
        """Several pieces for each worker, so that all end at about the same time; none larger than a table."""
        share = keys // (PIECES_A_WORKER * max(1, len(self._client.nthreads())))
        return min(TABLE_KEYS // 2, max(FEWEST_KEYS, share))

    def bring(self, run: Run, task: str, pieces: Mapping[Shard, int]) -> Iterator[tuple[Shard, Tally]]:
        """Bring pieces, and give out each as it is done. One that cannot be brought costs the others nothing.

        Raises:
            BucketFull: No worker can go on.
            DaskUnreachable: The scheduler, or the last worker, is gone; or no piece at all could be brought.
            Interrupted, LeaseLost: The workers were told to stop, and have, or will within half a minute.
        """
        from drkeeper.replication.dask_worker import Piece

        what = "compare" if run.dry_run else "copy"
        with _begun(self._client, run, what, self._silent_seconds, task) as ours:
            most_keys = self.piece_keys(sum(shard.keys for shard in pieces))
            for bundle in bundles(pieces, most_keys):
                ours.submit(tuple(Piece(shard, pieces[shard]) for shard in bundle))
            yield from ours.results()


@contextmanager
def _begun(client: Any, run: Run, what: str, silent_seconds: float, task: str = "") -> Iterator["_Pass"]:
    from drkeeper.replication.dask_worker import TOPIC, BucketPass

    ours = _Pass(client, run, task, f"drkeeper-{what}-{secrets.token_hex(4)}", silent_seconds / BEATS)
    ours.beat()
    client.subscribe_topic(TOPIC, ours.told)
    try:
        plugin = BucketPass(
            ours.name, run.pair, dry_run=run.dry_run, silent_seconds=silent_seconds, workers=ours.workers
        )
        client.register_plugin(plugin, name=ours.name)
        yield ours
    finally:
        with suppress(OSError, ValueError):  # the scheduler may be gone: then there is nothing to clean up
            ours.end()
            client.unsubscribe_topic(TOPIC)
            forget_plugin(client, ours.name)


@dataclass
class _Pass:
    """One pass: what is under way, how often it was tried, and the word to the workers.

    Attributes:
        name: Of the workers' plugin, and what the tasks' keys begin with.
        workers: How many there were when we last looked.
    """

    client: Any
    run: Run
    task: str
    name: str
    beat_seconds: float
    _waiting: dict[str, tuple[Any, Any, int]] = field(default_factory=dict)
    _ended: "SimpleQueue[Any]" = field(default_factory=SimpleQueue)
    _submitted: int = 0
    _brought: int = 0
    _unfinished: int = 0
    _beats: int = 0
    workers: int = 0
    _beat_at: float = float("-inf")
    _worked_at: float = field(default_factory=clock.monotonic_seconds)

    def submit(self, pieces: "tuple[Piece, ...]", tries: int = 1) -> None:
        """Give a bundle of pieces to whichever worker is free."""
        from drkeeper.replication.dask_worker import bring_bundle

        self._submit(bring_bundle, pieces, tries)

    def submit_count(self, where: tuple[Shard, ...], tries: int = 1) -> None:
        """Have a worker count keys."""
        from drkeeper.replication.dask_worker import count_bundle

        self._submit(count_bundle, where, tries)

    def results(self) -> Iterator[tuple[Shard, Tally]]:
        """As they come, each piece once."""
        for bundle, tries, outcomes in self._finished():
            pieces = {piece.shard: piece for piece in bundle}
            if isinstance(outcomes, DrkeeperError):
                found: list[tuple[Shard, Tally | DrkeeperError]] = [(shard, outcomes) for shard in pieces]
            else:
                found = [(outcome.shard, outcome.result) for outcome in outcomes]
            for shard, result in found:
                if isinstance(result, Tally):
                    self._brought += bool(result.source_objects or result.replica_objects)
                    yield shard, result
                elif _worth_a_try(result) and tries < TRIES:
                    self.submit((pieces[shard],), tries + 1)
                else:
                    yield shard, self._failed(shard, result)

    def counts(self) -> Iterator[Folders]:
        """As they come. What cannot be counted would not be brought either: that ends the run."""
        for where, tries, counted in self._finished():
            if isinstance(counted, Folders):
                yield counted
            elif _worth_a_try(counted) and tries < TRIES:
                self.submit_count(where, tries + 1)
            else:
                raise counted

    def beat(self) -> None:
        """Tell the workers that we live, and how many of them share the rate.

        Raises:
            DaskUnreachable: The scheduler is gone, or there has been no worker for a minute.
        """
        now = clock.monotonic_seconds()
        if now - self._beat_at < self.beat_seconds:
            return
        try:
            self.workers = len(self.client.nthreads())
            self._tell()
        except (OSError, ValueError, CancelledError) as error:
            raise DaskUnreachable(f"{self._system}: the Dask scheduler is gone", hint=AGAIN) from error
        self._beat_at = now
        if self.workers:
            self._worked_at = now
        elif now - self._worked_at > WORKERLESS_SECONDS:
            raise DaskUnreachable(f"{self._system}: the last Dask worker is gone", hint=AGAIN)

    def told(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker says what it does. Called in the client's own thread."""
        facts = event[1]
        if facts.get("pass") == self.name:
            self.run.progress.advance(self.task, facts.get("moved", 0))

    def end(self) -> None:
        """What still runs is told to stop, and waited for: nothing is to be written once the lease is given back."""
        if not self._waiting:
            return
        self._tell(stop=True)
        give_up_at = clock.monotonic_seconds() + STOP_SECONDS
        while self._waiting and self.workers and clock.monotonic_seconds() < give_up_at:
            with suppress(Empty):
                self._waiting.pop(self._ended.get(timeout=TICK_SECONDS).key, None)
        if self._waiting:
            # Of workers that are gone, or that cannot be reached: without a word from here they stop by themselves.
            get_logger().warning("workers do not stop", system=self._system, bundles=len(self._waiting))
            self.client.cancel([future for _, future, _ in self._waiting.values()], force=True)

    @property
    def _system(self) -> str:
        return self.run.pair.system

    def _tell(self, *, stop: bool = False) -> None:
        self._beats += 1
        self.client.set_metadata([self.name], {"beat": self._beats, "workers": self.workers, "stop": stop})

    def _submit(self, work: Callable[..., Any], bundle: tuple[Any, ...], tries: int) -> None:
        number = self._submitted
        self._submitted += 1
        # Not pure: the same bundle again is another piece of work.
        future = self.client.submit(work, self.name, number, bundle, key=f"{self.name}-{number}", pure=False)
        self._waiting[future.key] = (bundle, future, tries)
        future.add_done_callback(self._ended.put)

    def _finished(self) -> Iterator[tuple[Any, int, Any]]:
        """What was submitted, how often it was tried, and its result or a DrkeeperError, as they come."""
        stop = current_stop()
        while self._waiting:
            if stop.is_set():
                raise Interrupted("interrupted")
            self.run.check()
            self.beat()
            try:
                future = self._ended.get(timeout=TICK_SECONDS)
            except Empty:
                continue
            bundle, _, tries = self._waiting.pop(future.key)
            yield bundle, tries, self._result(future)

    def _result(self, future: Any) -> Any:
        """An error of Dask's own (its workers died again and again) stands for what the bundle came to."""
        if future.cancelled():
            raise DaskUnreachable(f"{self._system}: the Dask scheduler has lost what it was given", hint=AGAIN)
        if future.status != "error":
            return future.result()
        error = future.exception()
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        get_logger().warning("bundle failed", system=self._system, error=said)
        return DrkeeperError(said)

    def _failed(self, shard: Shard, error: DrkeeperError) -> Tally:
        """A piece that was given up.

        Raises:
            DrkeeperError: The error itself, where it will be that of all others, too.
        """
        self._unfinished += 1
        hopeless = not self._brought and self._unfinished >= HOPELESS
        if hopeless or isinstance(error, ENDING):
            raise error
        get_logger().warning("piece failed", system=self._system, piece=shard.name(), error=str(error))
        return Tally(unfinished=1, failures=[(shard.name(), str(error))])


def _worth_a_try(error: DrkeeperError) -> bool:
    return error.retryable or isinstance(error, Interrupted)
