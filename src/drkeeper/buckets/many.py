"""Many small requests at once on one thread.

A thread for each of 32 requests costs more in handing the interpreter about than in the requests themselves: 2,000
objects of 16 KiB took 1.5 s of CPU with threads, and 0.6 s here (`docs/adr/0120-one-client-for-buckets.md`).

What is to be asked is written as a generator, which gives out one request after the other and is sent each reply:
whatever its reply needs, another request or a result, is said there in one piece. Nothing is tried again here.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from drkeeper.buckets.answers import THROTTLING
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.transport import Exchange, NoAnswer, Reply
from drkeeper.errors import Interrupted
from drkeeper.throttle import current_stop

R = TypeVar("R")
WAIT_SECONDS = 0.5
IDLE_SECONDS = 0.02


@dataclass(frozen=True)
class Ask:
    """One request; all of its answer must fit into memory."""

    bucket: Bucket
    method: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    long: bool = False


Job = Generator[Ask, Reply, R]
"""Sent a reply for each request, whatever its status; NoAnswer is thrown into it where there is none."""


def run_many(jobs: Iterable[Job[R] | None], at_once: Callable[[], int]) -> Iterator[R]:
    """Results as they come.

    Args:
        jobs: Asked for one more whenever there is room; None: none just now, ask again.
        at_once: How many may be under way now.

    Raises:
        Interrupted: The work was told to stop.
    """
    crowd = _Crowd(iter(jobs), at_once)
    try:
        yield from crowd.results()
    finally:
        crowd.close()


class _Crowd(Generic[R]):
    def __init__(self, jobs: Iterator[Job[R] | None], at_once: Callable[[], int]) -> None:
        import pycurl

        self._jobs = jobs
        self._at_once = at_once
        self._multi = pycurl.CurlMulti()
        self._running: dict[Any, tuple[Job[R], Ask, Exchange]] = {}
        self._results: list[R] = []
        self._more = True

    def results(self) -> Iterator[R]:
        stop = current_stop()
        while self._more or self._running:
            if stop.is_set():
                raise Interrupted("interrupted")
            self._fill()
            if self._running:
                self._multi.perform()  # what was added begins here: before the wait, not after it
                if not self._collect():
                    self._multi.select(WAIT_SECONDS)
            elif self._more and not self._results:
                stop.wait(IDLE_SECONDS)  # those who give out jobs have none just now
            yield from self._results
            self._results.clear()

    def close(self) -> None:
        for handle, (job, ask, _) in self._running.items():
            job.close()
            self._multi.remove_handle(handle)
            handle.close()
            del ask
        self._running.clear()
        self._multi.close()

    def _fill(self) -> None:
        while self._more and len(self._running) < self._at_once():
            try:
                job = next(self._jobs)
            except StopIteration:
                self._more = False
                return
            if job is None:
                return
            self._go_on(job, lambda job=job: next(job))  # type: ignore[misc]

    def _collect(self) -> bool:
        """Take what has ended; whether there was any."""
        ended = False
        while True:
            left, well, failed = self._multi.info_read()
            ended = ended or bool(well or failed)
            for handle in well:
                job, ask, exchange = self._take(handle)
                reply = exchange.reply(handle)
                ask.bucket.transport.give_back(handle)
                if reply.status in THROTTLING:
                    ask.bucket.on_throttle()
                self._go_on(job, lambda job=job, reply=reply: job.send(reply))  # type: ignore[misc]
            for handle, code, text in failed:
                job, _, _ = self._take(handle)
                handle.close()  # its connection is in an unknown state
                error = NoAnswer(text or f"libcurl error {code}")
                self._go_on(job, lambda job=job, error=error: job.throw(error))  # type: ignore[misc]
            if not left:
                return ended

    def _take(self, handle: Any) -> tuple[Job[R], Ask, Exchange]:
        self._multi.remove_handle(handle)
        return self._running.pop(handle)

    def _go_on(self, job: Job[R], step: Callable[[], Ask]) -> None:
        try:
            ask = step()
        except StopIteration as end:
            self._results.append(end.value)
            return
        bucket = ask.bucket
        url, headers = bucket.signed(ask.method, ask.key, ask.query, ask.headers)
        handle = bucket.transport.take()
        exchange = bucket.transport.prepare(handle, ask.method, url, headers, ask.body, long=ask.long)
        self._running[handle] = (job, ask, exchange)
        self._multi.add_handle(handle)
